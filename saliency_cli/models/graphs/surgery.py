"""A GraphDef made ready to be imported again and again: flat, pruned, and without its weights.

Everything here keeps the function the graph computes.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from saliency_cli.autodiff.runtime import tf
from saliency_cli.errors import ModelError, nearest
from saliency_cli.models.graphs.calls import replace_calls
from saliency_cli.models.graphs.guessing import node_of

Message = Any

# A weight is handed over as a tensor, not written into each trace; what is smaller may be a shape or an axis.
_WEIGHT_SIZE = 256
_OLD_LOOP = ("Enter", "Exit", "LoopCond", "NextIteration", "RefEnter", "RefExit", "RefNextIteration")


def tensor_of(name: str) -> str:
    """Return a tensor's full name: `a` is `a:0`."""
    return name if ":" in name else f"{name}:0"


def flattened(graph_def: Message) -> tuple[Message, list[str]]:
    """Return a copy of a graph whose calls are replaced, and which can be traced at any batch size.

    Also return what was left out: gradients of the model's own making. A file holds at most their names,
    or functions of tensors that are there no longer once calls are replaced.
    """
    graph = tf.compat.v1.GraphDef()
    graph.CopyFrom(graph_def)
    replace_calls(graph)
    _rename_private_nodes(graph)
    notes = _forget(graph)
    for node in graph.node:
        # Control inputs order side effects and assertions, and nothing with a side effect is left.
        data = [tensor_of(needed) for needed in node.input if not needed.startswith("^")]
        del node.input[:]
        node.input.extend(data)
    return graph, notes


def pruned(graph: Message, outputs: Iterable[str], *, cut: Iterable[str], there: Iterable[str]) -> Message:
    """Return what of a flattened graph leads to its outputs from the tensors in `cut`.

    `there`: tensors that need no operation, because they are handed over.
    """
    nodes = {node.name: node for node in graph.node}
    ends = {*cut, *there}
    kept: set[str] = set()
    waiting = list(outputs)
    while waiting:
        tensor = waiting.pop()
        name = node_of(tensor)
        if tensor in ends or name in kept:
            continue
        if name not in nodes:
            raise no_tensor(name, nodes)
        kept.add(name)
        waiting += nodes[name].input
    part = tf.compat.v1.GraphDef(library=graph.library, versions=graph.versions)
    part.node.extend(node for node in graph.node if node.name in kept)
    return part


def require_no_old_loops(graph: Message) -> None:
    """Refuse loops of TensorFlow 1: a file loses what their gradient needs, which loop an operation belongs to."""
    for node in graph.node:
        if node.op in _OLD_LOOP:
            raise ModelError(
                f"the model holds a loop of TensorFlow 1 ('{node.name}'), which can't be differentiated",
                hint="name an --output-tensor before it or an --input-tensor behind it",
                reason="old-loop",
            )


def no_tensor(name: str, known: Iterable[str]) -> ModelError:
    """Return the error for an operation that isn't in the graph."""
    return ModelError(
        f"the graph has no operation '{name}'",
        hint=nearest(name, list(known)) or "saliency inspect MODEL lists them",
        reason="no-tensor",
    )


def readers(graph: Message) -> dict[str, str]:
    """Return, for each constant, the name of the first operation that does more than hand it on."""
    consumers: dict[str, Message] = {}
    for node in graph.node:
        for needed in node.input:
            consumers.setdefault(node_of(needed), node)
    found = {}
    for name in list(consumers):
        reader = consumers[name]
        while reader.op in ("Identity", "Cast", "ReadVariableOp") and reader.name in consumers:
            reader = consumers[reader.name]
        found[name] = reader.name
    return found


def take_weights(graph: Message) -> dict[str, Any]:
    """Take the large floating constants out of a graph; return them by the name of their tensor."""
    weights = {}
    rest = []
    for node in graph.node:
        if node.op == "Const":
            value = node.attr["value"].tensor
            size = int(np.prod([dimension.size for dimension in value.tensor_shape.dim]))
            if size >= _WEIGHT_SIZE and tf.as_dtype(node.attr["dtype"].type).is_floating:
                weights[f"{node.name}:0"] = tf.constant(tf.make_ndarray(value))
                continue
        rest.append(node)
    kept = tf.compat.v1.GraphDef()
    kept.node.extend(rest)
    del graph.node[:]
    graph.node.extend(kept.node)
    return weights


def _forget(graph: Message) -> list[str]:
    """Drop the shapes written beside the operations: they hold the batch size of the day of saving.

    Also drop the names of custom gradients, numbered by the process that wrote the file: here the same
    number may be the gradient of something else.
    """
    own = []
    bodies = [function.node_def for function in graph.library.function]
    for node in (node for nodes in (graph.node, *bodies) for node in nodes):
        if "_gradient_op_type" in node.attr:
            own.append(node.name)
        _drop(node.attr, "_output_shapes", "_gradient_op_type")
    for function in graph.library.function:
        _drop(function.attr, "_input_shapes")
        for attributes in function.arg_attr.values():
            _drop(attributes.attr, "_output_shapes")
    if not own:
        return []
    some = f"'{own[0]}'" + (f" and {len(own) - 1} more" if len(own) > 1 else "")
    return [f"differentiated as computed, not by a gradient of the model's own: {some}"]


def _drop(attributes: Any, *names: str) -> None:
    for name in names:
        if name in attributes:
            del attributes[name]


def _rename_private_nodes(graph: Message) -> None:
    """Rename nodes in bodies that begin with `_`: TensorFlow writes such names and refuses to read them."""
    for function in graph.library.function:
        names = {node.name for node in function.node_def}
        changed = {name: f"body{name}" for name in names if name.startswith("_")}
        if not changed:
            continue
        for node in function.node_def:
            node.name = changed.get(node.name, node.name)
            renamed = [_moved(name, changed) for name in node.input]
            del node.input[:]
            node.input.extend(renamed)
        for key, value in list(function.ret.items()):
            function.ret[key] = _moved(value, changed)
        for key, value in list(function.control_ret.items()):
            function.control_ret[key] = changed.get(value, value)


def _moved(name: str, changed: Mapping[str, str]) -> str:
    node = node_of(name)
    return name.replace(node, changed[node], 1) if node in changed else name
