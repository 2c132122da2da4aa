"""Operations that are linear but for kinks: where a model has no others, its second derivative is zero."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_KINKED = (
    "Abs", "ClipByValue", "LeakyRelu", "Max", "MaxPool", "MaxPool3D", "MaxPoolV2", "Maximum", "Min", "Minimum",
    "Relu", "Relu6", "TopKV2",
)  # fmt: skip
_BODIES = {
    "While": ("body",), "StatelessWhile": ("body",), "If": ("then_branch", "else_branch"),
    "StatelessIf": ("then_branch", "else_branch"), "PartitionedCall": ("f",), "StatefulPartitionedCall": ("f",),
}  # fmt: skip


def kinks(operations: Iterable[Any]) -> Mapping[str, int]:
    """Return how many of some operations are linear but for kinks, by type, the most frequent first.

    What a loop, branch or call runs counts once.
    """
    found = Counter(kind for operation in operations for kind in (operation.type, *_inside(operation)))
    return {kind: count for kind, count in found.most_common() if kind in _KINKED}


def _inside(operation: Any) -> Iterator[str]:
    """Yield the types of the operations in the functions that an operation runs."""
    for attribute in _BODIES.get(operation.type, ()):
        function = operation.graph._get_function(operation.get_attr(attribute).name)  # noqa: SLF001 - no public way
        # A function of a graph that was imported is a definition only.
        for node in function.cached_definition.node_def if function is not None else ():
            yield node.op
