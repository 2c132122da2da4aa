"""Walks through a traced graph: what depends on what, where an operation's channels are."""

from collections.abc import Iterable, Mapping
from typing import Any

Tensor = Any

# What these give depends on how large an input is, not on its values.
_SHAPES = ("Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike")
_HANDING_ON = ("Identity", "Cast", "Squeeze", "ExpandDims", "Transpose", "EnsureShape", "StopGradient")
_KERNELS = (
    "BatchMatMul", "BatchMatMulV2", "Conv2D", "Conv2DBackpropInput", "Conv3D", "Conv3DBackpropInputV2",
    "DepthwiseConv2dNative", "Einsum", "MatMul", "PartitionedCall", "StatefulPartitionedCall", "StatelessWhile",
    "While",
)  # fmt: skip


def ancestors(operation: Any) -> set[str]:
    """Return the names of all that an operation depends on, itself among them."""
    found = {operation.name}
    waiting = [operation]
    while waiting:
        for tensor in waiting.pop().inputs:
            if tensor.op.name not in found:
                found.add(tensor.op.name)
                waiting.append(tensor.op)
    return found


def dependence(inputs: Mapping[str, Tensor], operations: Iterable[Any]) -> dict[str, tuple[str, ...]]:
    """Return, for each operation that depends on a value of an input, the names of those inputs, in their order."""
    starts = {tensor.op.name: (name,) for name, tensor in inputs.items()}
    order = tuple(inputs)
    found: dict[str, tuple[str, ...]] = {}
    for operation in operations:  # in the order of their making: each after its inputs
        if operation.name in starts:
            found[operation.name] = starts[operation.name]
        elif operation.type not in _SHAPES:
            before = {found[tensor.op.name] for tensor in operation.inputs if tensor.op.name in found}
            if before:
                joined = {name for names in before for name in names}
                found[operation.name] = tuple(name for name in order if name in joined)
    return found


def behind_kernels(depends: Mapping[str, tuple[str, ...]], operations: Iterable[Any]) -> set[str]:
    """Return the operations that depend on an input by way of a kernel: a convolution, a product, a loop."""
    found: set[str] = set()
    for operation in operations:
        if operation.name in depends:
            kernel = operation.type in _KERNELS
            if kernel or any(tensor.op.name in found for tensor in operation.inputs):
                found.add(operation.name)
    return found


def origin(operation: Any) -> Any:
    """Return the operation behind those that only hand on."""
    while operation.type in _HANDING_ON and operation.inputs:
        operation = operation.inputs[0].op
    return operation


def channel_axis(tensor: Tensor, depends: Mapping[str, tuple[str, ...]]) -> int:
    """Return the position of a tensor's channel axis: the last, unless the operations before it say otherwise.

    Read off the nearest operation before it that knows its order of axes, over transpositions in between.
    """
    from tensorflow.python.framework.tensor_util import constant_value  # no public name

    rank = int(tensor.shape.rank)
    turns: list[list[int]] = []
    operation = tensor.op
    while operation is not None and operation.inputs:
        order = operation.node_def.attr["data_format"].s if "data_format" in operation.node_def.attr else b""
        if order.startswith(b"N"):
            # A width-only convolution is one of rows and columns, squeezed: its channels stay first or last.
            axis = 1 if order[1:2] == b"C" else rank - 1
            for turn in reversed(turns):
                axis = turn.index(axis) if len(turn) == rank else axis
            return axis
        if operation.type == "Transpose":
            turn = constant_value(operation.inputs[1])
            if turn is None:
                break
            turns.append([int(position) for position in turn])
        if operation.type == "Reshape" and operation.inputs[0].shape.rank != operation.outputs[0].shape.rank:
            break
        operation = next((given.op for given in operation.inputs if given.op.name in depends), None)
    return rank - 1
