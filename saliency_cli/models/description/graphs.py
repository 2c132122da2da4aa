"""What a graph tells of itself without being imported: its ends, its weights, and which operations it is made of."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from saliency_cli.errors import ModelError
from saliency_cli.models.description.facts import Description, End, written
from saliency_cli.models.graphs import saved_model_reading as saved
from saliency_cli.models.graphs.guessing import guess_inputs, guess_outputs, named, node_of
from saliency_cli.models.graphs.messages import FLOATING, TYPES, axes
from saliency_cli.models.graphs.sizes import declared

Message = Any

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")


def describe_saved_model(told: Description, path: Path, graphs: list[Message], signature: str | None) -> None:
    """Describe the signature that would be used; where none can be chosen, say what there is."""
    graph = saved.serving(graphs)
    told.writer = saved.writer(graph)
    told.signatures = {
        name: f"{_listed(entry.inputs)} → {_listed(entry.outputs)}"
        for name, entry in sorted(graph.signature_def.items())
        if not name.startswith("__")
    }
    try:
        chosen = graph.signature_def[saved.choose(path, graph, signature)]
    except ModelError:
        return
    told.inputs, told.outputs = _ends(chosen.inputs), _ends(chosen.outputs)
    ends = ([node_of(tensor.name) for tensor in side.values()] for side in (chosen.inputs, chosen.outputs))
    _count(told, list(_needed(graph.graph_def, *ends)))


def require_usable(path: Path, graphs: list[Message], signature: str | None) -> None:
    """Raise `ModelError` where no signature can be chosen, or the chosen one takes strings."""
    graph = saved.serving(graphs)
    chosen = saved.choose(path, graph, signature)
    saved.require_numbers(path, chosen, graph.signature_def[chosen])


def _ends(tensors: Mapping[str, Message]) -> list[End]:
    return [
        End(name, written(axes(tensor.tensor_shape)), TYPES.get(tensor.dtype, ""))
        for name, tensor in sorted(tensors.items())
    ]


def _listed(tensors: Mapping[str, Message]) -> str:
    return ", ".join(f"{end.name} {end.shape} {end.dtype}".replace("  ", " ") for end in _ends(tensors)) or "nothing"


def describe_graph(
    told: Description, path: Path, graph: Message, inputs: Iterable[str] = (), outputs: Iterable[str] = ()
) -> None:
    """Describe a graph without a signature: the tensors named, else those that can be told.

    Raises `ModelError` where they can't be told, with all else described.
    """
    _count(told, list(graph.node))
    if graph.versions.producer:
        told.writer = f"TensorFlow (graph version {graph.versions.producer})"
    nodes = {node.name: node for node in graph.node}
    given = list(inputs) or list(guess_inputs(path, graph))
    told.inputs = [_placeholder(name, nodes[node_of(name)]) for name in given if node_of(name) in nodes]
    taken = list(outputs) or list(guess_outputs(path, graph))
    told.outputs = [End(named(name), by=nodes[node_of(name)].op) for name in taken if node_of(name) in nodes]


def _placeholder(name: str, node: Message) -> End:
    # TensorFlow 1 wrote a shape that isn't known as one without axes.
    shape = (axes(node.attr["shape"].shape) if "shape" in node.attr else None) or None
    return End(named(name), written(shape), TYPES.get(node.attr["dtype"].type, ""))


def _count(told: Description, nodes: list[Message]) -> None:
    told.operations = dict(Counter(str(node.op) for node in nodes).most_common())
    sizes = [(kind, size, _ranked(node)) for node in nodes for kind, size in [declared(node)]]
    told.parameters = sum(size for kind, size, ranked in sizes if ranked and kind in FLOATING)


def _ranked(node: Message) -> bool:
    """Whether a variable or constant has an axis: a single number is no weight."""
    shape = node.attr["value"].tensor.tensor_shape if node.op == "Const" else node.attr["shape"].shape
    return len(shape.dim) > 0


def _needed(graph: Message, inputs: Iterable[str], outputs: Iterable[str]) -> Iterator[Message]:
    """Yield the nodes between inputs and outputs in the main graph, and those of the functions called on the way."""
    functions = {function.signature.name: function for function in graph.library.function}
    nodes = {node.name: node for node in graph.node}
    waiting, given, seen = list(outputs), set(inputs), set()
    called: list[str] = []
    while waiting:
        name = waiting.pop()
        if name not in nodes or name in seen:
            continue
        seen.add(name)
        yield nodes[name]
        called.append(_callee(nodes[name]))
        if name not in given:
            waiting += [node_of(needed) for needed in nodes[name].input]
    entered: set[str] = set()
    while called:
        name = called.pop()
        if name in functions and name not in entered:
            entered.add(name)
            yield from functions[name].node_def
            called += [_callee(node) for node in functions[name].node_def]


def _callee(node: Message) -> str:
    return str(node.attr["f"].func.name) if node.op in _CALLS else str(node.op)
