"""Which tensors are functions, value by value, of one earlier tensor: activations, however they are written.

A GELU is five operations and a swish four; together each is a curve that takes one value to one value. A rule
for curves then needs to know nothing of how a curve is written.
"""

from typing import Any

from saliency_cli.autodiff.backward.flow import Flow
from saliency_cli.autodiff.backward.kinds import CURVES, ELEMENTWISE, JOINS

Tensor = Any
Operation = Any

_SUMS = ("Add", "AddV2", "AddN", "Sub")


class Elementwise:
    """For every tensor on a way, the earlier tensors that it is a function of value by value, nearest first."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self._behind: dict[str, tuple[Tensor, ...]] = {tensor.name: (tensor,) for tensor in flow.sources}
        for operation in flow.operations:
            if operation.type == "IdentityN":
                for given, out in zip(operation.inputs, operation.outputs, strict=True):
                    self._behind[out.name] = (out, *self._behind.get(given.name, ()))
                continue
            common = self._common(operation)
            for out in operation.outputs:
                self._behind[out.name] = (out, *common)

    def root(self, operation: Operation) -> Tensor | None:
        """Return the nearest tensor of which an operation's output is a function value by value, if any."""
        return next(iter(self._common(operation)), None)

    def is_curve(self, operation: Operation) -> bool:
        """Whether an operation bends a value, or joins values of which all come from one place.

        A sum joins them where one of them was bent on its way: ReLU(x) − α·ReLU(−x) is one activation, 2 x − x none.
        """
        carried = self.flow.carried(operation)
        if operation.type in CURVES:
            return self.root(operation) is not None
        if operation.type in _SUMS:
            return len(carried) > 1 and any(self.is_curve(found) for found in self._between(operation))
        bends = operation.type in JOINS
        one = len(carried) == 1
        if one and operation.type == "Mul":
            return False
        if one and operation.type in ("RealDiv", "Div", "DivNoNan") and carried == [0]:
            return False
        return bends and self.root(operation) is not None

    def joined(self, operation: Operation) -> list[Operation]:
        """Return the operations that an activation is written with, where this one joins several values to it."""
        if len(self.flow.carried(operation)) < 2 or not self.is_curve(operation):
            return []
        return self._between(operation)

    def _between(self, operation: Operation) -> list[Operation]:
        """Return the operations on the ways from the root of a join to it."""
        root = self.root(operation)
        if root is None:
            return []
        waiting = [operation.inputs[i] for i in self.flow.carried(operation)]
        found: dict[str, Operation] = {}
        while waiting:
            tensor = waiting.pop()
            if tensor.name != root.name and tensor.op.name not in found:
                found[tensor.op.name] = tensor.op
                waiting += [tensor.op.inputs[i] for i in self.flow.carried(tensor.op)]
        return list(found.values())

    def _common(self, operation: Operation) -> tuple[Tensor, ...]:
        if operation.type not in ELEMENTWISE or not _keeps_shape(operation, self.flow):
            return ()
        chains = [self._behind.get(operation.inputs[i].name, ()) for i in self.flow.carried(operation)]
        if not chains:
            return ()
        shared = set.intersection(*({tensor.name for tensor in chain} for chain in chains))
        first = next((i for i, tensor in enumerate(chains[0]) if tensor.name in shared), None)
        return () if first is None else chains[0][first:]


def _keeps_shape(operation: Operation, flow: Flow) -> bool:
    """Whether no input is broadcast to more values than the data had."""
    out = operation.outputs[0].shape
    if out.rank is None:
        return False
    for tensor in operation.inputs:
        shape = tensor.shape
        if tensor.name in flow.data:
            if shape.rank != out.rank or list(shape) != list(out):
                return False
        elif shape.rank is None or shape.rank > out.rank or not _fits(list(shape), list(out)):
            return False
    return True


def _fits(shape: list[int | None], whole: list[int | None]) -> bool:
    pairs = zip(shape[::-1], whole[::-1], strict=False)
    return all(own in (1, length) and (own is not None) for own, length in pairs)
