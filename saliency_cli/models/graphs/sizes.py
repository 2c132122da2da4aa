"""How many numbers a graph declares, beside how many bytes are there to hold them."""

from collections.abc import Iterable, Iterator
from typing import Any

from saliency_cli.errors import ModelError
from saliency_cli.models.graphs.messages import BYTES, numbers
from saliency_cli.models.limits import WEIGHT_BYTES, swollen

Message = Any

VARIABLES = ("VarHandleOp", "Variable", "VariableV2")


def declared(node: Message) -> tuple[int, int]:
    """Return the type of a variable or constant, as a number, and how many numbers it holds; 0 of other nodes."""
    if node.op in VARIABLES:
        return node.attr["dtype"].type, numbers(node.attr["shape"].shape)
    if node.op == "Const":
        tensor = node.attr["value"].tensor
        return tensor.dtype, numbers(tensor.tensor_shape)
    return 0, 0


def every_node(graph: Message) -> Iterator[Message]:
    """Yield the nodes of a graph and of its library."""
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def


def require_stored(path: object, nodes: Iterable[Message], stored: int) -> None:
    """Raise `ModelError` for variables and constants that can't all lie in the `stored` bytes of the model."""
    total = 0
    for node in nodes:
        dtype, count = declared(node)
        total += count * BYTES.get(dtype, 1)
    if swollen(total, stored) or total > WEIGHT_BYTES:
        raise ModelError(
            f"'{path}' is refused: its weights are declared as {total:,} bytes, and the model has {stored:,}",
            hint="was it copied whole?",
            reason="refused-size",
        )
