"""A convolution, its bias and an inference batch norm are one layer to relevance: folded into one kernel and shift.

Else a rule would be used two or three times over what is one sum.
"""

from dataclasses import replace
from typing import Any

from saliency_cli.autodiff.backward.flow import Flow
from saliency_cli.autodiff.backward.kinds import BATCH_NORMS, KERNELS
from saliency_cli.autodiff.backward.linear import Product, along_channels, channels_first
from saliency_cli.autodiff.runtime import tf

Tensor = Any
Operation = Any

_MOVES = ("Identity", "EnsureShape", "Squeeze", "ExpandDims", "Reshape", "BatchToSpaceND", "BatchToSpace")


def product_of(flow: Flow, operation: Operation) -> Product | None:
    """Return the product an operation begins, with all that scales and shifts it; None if it is none."""
    carried = flow.carried(operation)
    if operation.type not in KERNELS or len(carried) != 1:
        return None
    found = Product(operation, carried[0], operation.outputs[0])
    while True:
        longer = _longer(flow, found)
        if longer is None:
            return found
        found = longer


def _longer(flow: Flow, product: Product) -> Product | None:
    """Take in the next operation if it is the only reader and scales, shifts, or keeps the channels' axis."""
    readers = flow.readers(product.end)
    if len(readers) != 1 or product.end.name == flow.end.name:
        return None
    (operation,) = readers
    out, axis = operation.outputs[0], 1 if channels_first(product.operation) else -1
    if operation.type in _MOVES:
        came, goes = operation.inputs[0].shape, out.shape
        same = (came.rank or 0) > 1 and (goes.rank or 0) > 1 and came[axis] == goes[axis]
        return replace(product, end=out, moves=(*product.moves, operation)) if same and goes[axis] else None
    change = scale_and_shift(flow, operation)
    if change is None:
        return None
    scale, shift = change
    parts = [None if part is None else _by_channel(part, out, axis) for part in (scale, shift)]
    if any(part is None and given is not None for part, given in zip(parts, change, strict=True)):
        return None
    scale, shift = parts
    if scale is not None and not _takes_scale(product.operation, product.data):
        return None
    both = product.scale if scale is None else scale if product.scale is None else product.scale * scale
    moved = product.shift if scale is None or product.shift is None else product.shift * scale
    whole = moved if shift is None else shift if moved is None else moved + shift
    return replace(product, end=out, scale=both, shift=whole)


def scale_and_shift(flow: Flow, operation: Operation) -> tuple[Tensor | None, Tensor | None] | None:
    """Return what an operation multiplies its one data input by, and what it adds; None where it is no such thing."""
    carried = flow.carried(operation)
    if len(carried) != 1:
        return None
    (at,) = carried
    kind = operation.type
    if kind in BATCH_NORMS and at == 0 and not operation.get_attr("is_training"):
        _, gamma, beta, mean, variance = operation.inputs
        scale = gamma * tf.math.rsqrt(variance + operation.get_attr("epsilon"))
        return along_channels(operation, scale), along_channels(operation, beta - mean * scale)
    if kind == "Neg":
        return tf.constant(-1.0, operation.outputs[0].dtype), None
    if kind not in ("BiasAdd", "Add", "AddV2", "Sub", "Mul", "RealDiv"):
        return None
    other = operation.inputs[1 - at]
    if kind == "BiasAdd":
        return None, along_channels(operation, other) if at == 0 else other
    if kind in ("Add", "AddV2"):
        return None, other
    if kind == "Sub":
        return (None, -other) if at == 0 else (tf.constant(-1.0, other.dtype), other)
    if kind == "Mul":
        return other, None
    return (1 / other, None) if at == 0 else None


def _by_channel(number: Tensor, out: Tensor, axis: int) -> Tensor | None:
    """Return a number of every channel as one row, None where it differs from place to place."""
    if number.shape.rank is None or out.shape.rank is None or number.shape.rank > out.shape.rank:
        return None
    lengths = [1] * (out.shape.rank - number.shape.rank) + list(number.shape)
    own = lengths.pop(axis)
    if any(length != 1 for length in lengths) or own not in (1, out.shape[axis]):
        return None
    return tf.reshape(number, (-1,))


def _takes_scale(operation: Operation, data: int) -> bool:
    return operation.type != "Einsum" and (data == 0 or operation.type == "Conv2DBackpropInput")
