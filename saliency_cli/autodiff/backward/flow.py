"""The part of a traced graph that leads from some inputs to one tensor."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from saliency_cli.autodiff.backward.kinds import SHAPES
from saliency_cli.autodiff.calls import is_compiled_convolution
from saliency_cli.autodiff.runtime import tf
from saliency_cli.errors import ModelError

Tensor = Any
Operation = Any

WITHOUT_RULES = "a method without a rule: integrated-gradients, expected-gradients, smoothgrad"


@dataclass(frozen=True, eq=False)
class Flow:
    """The operations on a way from `sources` to `end`, and which tensors depend on the sources' values."""

    sources: tuple[Tensor, ...]
    end: Tensor

    @cached_property
    def data(self) -> frozenset[str]:
        """The names of all tensors that depend on the values of a source."""
        found = {tensor.name for tensor in self.sources}
        for operation in self.end.graph.get_operations():
            if operation.type not in SHAPES and any(tensor.name in found for tensor in operation.inputs):
                found.update(tensor.name for tensor in operation.outputs)
        return frozenset(found)

    @cached_property
    def operations(self) -> tuple[Operation, ...]:
        """The operations on the way, in the order of their making: each after its inputs."""
        needed = {self.end.op.name}
        found = []
        ends = {tensor.name for tensor in self.sources}
        for operation in reversed(self.end.graph.get_operations()):
            if operation.name not in needed:
                continue
            data = [tensor for tensor in operation.inputs if tensor.name in self.data]
            needed.update(tensor.op.name for tensor in data)
            if data and not any(tensor.name in ends for tensor in operation.outputs):
                found.append(operation)
        return tuple(reversed(found))

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of the operations on the way."""
        return frozenset(operation.name for operation in self.operations)

    def carried(self, operation: Operation) -> list[int]:
        """Return which inputs of an operation depend on the sources."""
        return [i for i, tensor in enumerate(operation.inputs) if tensor.name in self.data]

    def readers(self, tensor: Tensor) -> list[Operation]:
        """Return the operations on the way that read a tensor."""
        return [operation for operation in tensor.consumers() if operation.name in self.names]

    def require_in_sight(self, what: str) -> None:
        """Raise `ModelError` where operations on the way hide in a loop, a branch or a call."""
        for operation in self.operations:
            if is_compiled_convolution(operation):
                raise ModelError(
                    f"{what} can't look into '{operation.name}': a convolution in groups, or of channels first, that "
                    "TensorFlow computes on this device as a compiled whole (XLA) only",
                    hint=WITHOUT_RULES,
                    reason="hidden-operations",
                )
            if has_inside(operation):
                hiding, hint = hidden_by(operation)
                raise ModelError(
                    f"{what} can't look into {operation.type} ('{operation.name}'): {hiding} hides its operations",
                    hint=hint,
                    reason="hidden-operations",
                )

    def require_precision(self, what: str) -> None:
        """Raise `ModelError` where values on the way are in half precision, in which shares would be lost."""
        for operation in self.operations:
            if any(tensor.dtype in (tf.float16, tf.bfloat16) for tensor in operation.outputs):
                raise ModelError(
                    f"{what} divides by small values, and '{operation.name}' computes in "
                    f"{operation.outputs[0].dtype.name}",
                    hint="save the model with the policy float32",
                    reason="half-precision",
                )


def has_inside(operation: Operation) -> bool:
    """Whether an operation calls a function of its own: a loop, a branch, a call."""
    return any(attribute.type == "func" or attribute.type == "list(func)" for attribute in operation.op_def.attr)


def hidden_by(operation: Operation) -> tuple[str, str]:
    """Return what hides operations in one of them, and what to do about it."""
    for part, what in {"While": "a loop", "If": "a branch", "Case": "a branch"}.items():
        if operation.type.endswith(part):
            return what, ("save recurrent layers with unroll=True, or " if part == "While" else "") + WITHOUT_RULES
    return "a call", WITHOUT_RULES


def twins(flow: Flow, end: Tensor) -> Mapping[str, Tensor]:
    """Return, for each tensor on a way, the one that stands in its place on another way that ends in `end`.

    Both were emitted by the same forward pass; they are paired from their ends backward, input by input.
    """
    found = {flow.end.name: end}
    pending = [(flow.end, end)]
    stops = {tensor.name for tensor in flow.sources}
    while pending:
        here, there = pending.pop()
        if here.op.type != there.op.type or len(here.op.inputs) != len(there.op.inputs):
            raise ModelError(
                f"two forward passes of the model differ at '{here.op.name}' ({here.op.type}) and "
                f"'{there.op.name}' ({there.op.type}), so a sample and its baseline can't be compared",
                hint="a model that changes when it is called can't be explained by this method",
                reason="changing-model",
            )
        if here.name in stops:
            continue
        for mine, other in zip(here.op.outputs, there.op.outputs, strict=True):
            found[mine.name] = other
        for mine, other in zip(here.op.inputs, there.op.inputs, strict=True):
            if mine.name in flow.data and mine.name not in found:
                found[mine.name] = other
                pending.append((mine, other))
    return found
