"""Calls of library functions in a graph, replaced by the functions' bodies.

Then layers, logits and rules can be found by name, and every operation has a registered gradient: a call
in a graph that was read from a file has none. Loops and branches stay what they are.

A tensor has two notations: `node:1` in a graph, `node:output_name:1` in the body of a function, where an
argument is its bare name.
"""

import itertools
from collections.abc import Mapping
from typing import Any

from saliency_cli.autodiff.runtime import tf
from saliency_cli.errors import ModelError
from saliency_cli.models.graphs.guessing import node_of

Message = Any

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_DEPTH = 100


def replace_calls(graph: Message) -> None:
    """Replace every call of a library function by the function's body, in bodies first, then in the graph."""
    functions = {function.signature.name: function for function in graph.library.function}
    for function in graph.library.function:
        returned = dict(function.ret.items())
        _inline(function.node_def, functions, returned, flat=False)
        for key, value in returned.items():
            function.ret[key] = value
    _inline(graph.node, functions, {}, flat=True)


_numbers = itertools.count()


def newly_named(graph: Message) -> Message:
    """Return a graph whose library functions have names that nothing in this process has.

    TensorFlow keeps functions by name for the whole process, and a file's are called what functions here
    may be called too (`while_body_19`).
    """
    if not graph.library.function:
        return graph
    named = tf.compat.v1.GraphDef()
    named.CopyFrom(graph)
    del named.library.gradient[:]
    number = next(_numbers)
    names = {function.signature.name for function in graph.library.function}
    for function in named.library.function:
        function.signature.name = f"{function.signature.name}_of_model_{number}"
    bodies = (function.node_def for function in named.library.function)
    for node in (node for nodes in (named.node, *bodies) for node in nodes):
        for attribute in node.attr.values():
            kind = attribute.WhichOneof("value")
            calls = [attribute.func] if kind == "func" else list(attribute.list.func) if kind == "list" else []
            for call in calls:
                if call.name in names:
                    call.name = f"{call.name}_of_model_{number}"
    return named


def _inline(nodes: Any, functions: Mapping[str, Message], returned: dict[str, str], *, flat: bool) -> None:
    """Replace calls in one list of nodes until none is left. `flat`: tensors are `a:1`, not `a:out:1`."""
    for _ in range(_DEPTH):
        calls = [node for node in nodes if _callee(node) in functions]
        if not calls:
            return
        results: dict[str, str] = {}
        added: list[Message] = []
        for call in calls:
            body, outputs = _body(call, functions[_callee(call)], flat=flat)
            added += body
            results |= outputs
        left = [node for node in nodes if _callee(node) not in functions]
        fresh = tf.compat.v1.GraphDef()
        fresh.node.extend([*left, *added])
        for node in fresh.node:
            inputs = [_resolved(name, results) for name in node.input if not _ordering(name, calls)]
            del node.input[:]
            node.input.extend(inputs)
        for key, value in returned.items():
            returned[key] = _resolved(value, results)
        del nodes[:]
        nodes.extend(fresh.node)
    raise ModelError("the graph's functions call themselves without end", reason="recursive-graph")


def _callee(node: Message) -> str:
    return str(node.attr["f"].func.name) if node.op in _CALLS else str(node.op)


def _ordering(name: str, calls: list[Message]) -> bool:
    return name.startswith("^") and any(node_of(name) == call.name for call in calls)


def _resolved(name: str, results: Mapping[str, str]) -> str:
    while name in results or f"{name}:0" in results:
        name = results[name] if name in results else results[f"{name}:0"]
    return name


def _body(call: Message, function: Message, *, flat: bool) -> tuple[list[Message], dict[str, str]]:
    """Return a function's nodes as they stand in the place of a call, and the tensors its outputs become."""
    arguments = dict(zip((argument.name for argument in function.signature.input_arg), call.input, strict=False))
    counts = {node.name: _outputs(node) for node in function.node_def}

    def placed(name: str) -> str:
        if name.startswith("^"):
            inner = name.removeprefix("^")
            return f"^{node_of(arguments[inner])}" if inner in arguments else f"^{call.name}/{inner}"
        node, _, rest = name.partition(":")
        if node in arguments and not rest:
            return str(arguments[node])
        if not flat:
            return f"{call.name}/{name}"
        output, _, index = rest.partition(":")
        return f"{call.name}/{node}:{counts[node][output] + int(index or 0)}"

    nodes = []
    for node in function.node_def:
        copy = tf.compat.v1.NodeDef()
        copy.CopyFrom(node)
        copy.name = f"{call.name}/{node.name}"
        del copy.input[:]
        copy.input.extend(placed(name) for name in node.input)
        nodes.append(copy)
    kinds = function.signature.output_arg
    direct = call.op not in _CALLS
    results = {}
    for index, argument in enumerate(kinds):
        there = f"{call.name}:{index}" if flat else f"{call.name}:{argument.name if direct else 'output'}:{index}"
        if direct and not flat:
            there = f"{call.name}:{argument.name}:0"
        results[there] = placed(function.ret[argument.name])
    return nodes, results


def _outputs(node: Message) -> dict[str, int]:
    """Return the flat position of each named output of an operation."""
    from tensorflow.python.framework import op_def_registry

    definition = op_def_registry.get(node.op)
    if definition is None:
        return {}
    starts, position = {}, 0
    for argument in definition.output_arg:
        starts[argument.name] = position
        if argument.number_attr:
            position += node.attr[argument.number_attr].i
        elif argument.type_list_attr:
            position += len(node.attr[argument.type_list_attr].list.type)
        else:
            position += 1
    return starts
