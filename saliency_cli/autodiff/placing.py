"""How a layer's output is told: channels last, and places in the order and direction of the input's.

A model may turn rows and columns round on the way (a Permute layer before a recurrent one, an exported graph), or
mirror them. Laid over the input as it stands such a map would be of other places, and its shape would not say so.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from saliency_cli.autodiff.runtime import tf

Tensor = Any
Operation = Any
Axes = list[int | None]

# What has each axis of its output from the same axis of its input, channels aside.
_ALIGNED = frozenset({
    "Abs", "Add", "AddN", "AddV2", "AvgPool", "AvgPool3D", "BatchMatMulV2", "BiasAdd", "Cast", "ClipByValue",
    "Concat", "ConcatV2", "Conv2D", "Conv2DBackpropInput", "Conv3D", "Conv3DBackpropInputV2", "DepthToSpace",
    "DepthwiseConv2dNative", "Div", "DivNoNan", "Elu", "EnsureShape", "Erf", "Exp", "FusedBatchNorm",
    "FusedBatchNormV2", "FusedBatchNormV3", "Identity", "IdentityN", "LRN", "LeakyRelu", "Log", "Log1p",
    "LogSoftmax", "MaxPool", "MaxPool3D", "MaxPoolV2", "Maximum", "Minimum", "MirrorPad", "Mul", "Neg", "Pad",
    "PadV2", "Pow", "RealDiv", "Relu", "Relu6", "ResizeBicubic", "ResizeBilinear", "ResizeNearestNeighbor",
    "Rsqrt", "Select", "SelectV2", "Selu", "Sigmoid", "Slice", "Softmax", "Softplus", "Softsign", "SpaceToDepth",
    "Sqrt", "Square", "SquaredDifference", "StopGradient", "StridedSlice", "Sub", "Tanh", "Tile",
})  # fmt: skip


class Laid(NamedTuple):
    """A tensor's axes in the order they are told in, batch first and channels last, and which told ones run back."""

    order: tuple[int, ...]
    mirrored: tuple[int, ...] = ()

    def told(self, tensor: Tensor) -> Tensor:
        """Return a tensor of the model's order as it is told."""
        turned = tensor if self._as_it_stands else tf.transpose(tensor, self.order)
        return tf.reverse(turned, self.mirrored) if self.mirrored else turned

    def as_it_was(self, tensor: Tensor) -> Tensor:
        """Return what is told in the model's order."""
        turned = tf.reverse(tensor, self.mirrored) if self.mirrored else tensor
        back = [self.order.index(axis) for axis in range(len(self.order))]
        return turned if self._as_it_stands else tf.transpose(turned, back)

    @property
    def _as_it_stands(self) -> bool:
        return self.order == tuple(range(len(self.order)))


def laid(tensor: Tensor, channels: int, depends: Mapping[str, tuple[str, ...]]) -> Laid:
    """Return how a tensor is told: by the first input its axes can be followed back to, else in its own order.

    `channels` is its channel axis, `depends` the inputs behind each operation.
    """
    rank = int(tensor.shape.rank or 0)
    places = [axis for axis in range(1, rank) if axis != channels]
    own = Laid((0, *places, channels) if rank > 1 else tuple(range(rank)))
    found = _followed(tensor, depends) if places else None
    if found is None:
        return own
    at, mirrored = found
    known: dict[int, int] = {axis: place for place, axis in enumerate(at) if axis is not None}
    if known.get(0) != 0 or not all(axis in known for axis in places):
        return own
    order = (0, *sorted(places, key=known.__getitem__), channels)
    return Laid(order, tuple(i for i, axis in enumerate(order) if axis in mirrored and axis != channels))


def _followed(tensor: Tensor, depends: Mapping[str, tuple[str, ...]]) -> tuple[Axes, set[int]] | None:
    """Follow a tensor's axes back to an input: for each of the input's axes the tensor's, and those that run back."""
    axes: Axes = list(range(int(tensor.shape.rank or 0)))
    mirrored: set[int] = set()
    while tensor.op.type != "Placeholder":
        operation = tensor.op
        behind = [given for given in operation.inputs if given.op.name in depends and given.shape.rank]
        if not behind:
            return None
        before = max(behind, key=lambda given: (given.shape.rank == tensor.shape.rank, _size(given)))
        if operation.type == "ReverseV2":
            turned = tf.get_static_value(operation.inputs[1])
            if turned is None:
                return None
            mirrored ^= {axis for at in turned.ravel() if (axis := axes[at]) is not None}
            found: Axes | None = axes
        else:
            found = _before(operation, axes, before)
        if found is None:
            return None
        axes, tensor = found, before
    return axes, mirrored


def _before(operation: Operation, axes: Axes, before: Tensor) -> Axes | None:
    """Return which of the followed axes each axis of an operation's input is; None where that isn't known."""
    rank = before.shape.rank
    if operation.type == "Transpose":
        order = tf.get_static_value(operation.inputs[1])
        if order is None:
            return None
        turned: Axes = [None] * rank
        for at, axis in zip(order, axes, strict=True):
            turned[at] = axis
        return turned
    if operation.type in ("Reshape", "Squeeze", "ExpandDims"):
        return _reshaped(list(before.shape), list(operation.outputs[0].shape), axes)
    return axes if operation.type in _ALIGNED and rank == len(axes) else None


def _reshaped(before: list[int | None], after: list[int | None], axes: Axes) -> Axes | None:
    """Follow axes through a reshape that only adds or takes away axes of length 1."""
    long = [(size, axis) for size, axis in zip(after, axes, strict=True) if size != 1]
    if [size for size, _ in long] != [size for size in before if size != 1]:
        return None
    waiting = iter(axis for _, axis in long)
    return [None if size == 1 else next(waiting) for size in before]


def _size(tensor: Tensor) -> int:
    return int(tensor.shape.num_elements() or 0)
