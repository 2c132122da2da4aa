"""Batch normalisation of inference folded into the convolution or matrix product before it.

In inference `y = s·(W x + b) + t` with constants `s = γ / √(σ² + ε)` and `t = β − μ·s`, which is one product with
the weights `s·W` and the bias `s·b + t`: the same function, and two passes over every activation fewer, forward
and back. The operation is emitted again with weights computed once, in float64 (the formula: Jacob et al. 2018,
Quantization and training of neural networks, section 3.2). In float32 the two round differently, and ReLUs near zero
may flip. Zeros padded before it as its own padding would are left to it: the same numbers, and a copy fewer each way.

Left as they are: normalisation after anything else (an activation, a pool, a pad), dilated, grouped, transposed and
channels-first convolutions, half precision, weights that are no constants of the trace, and loops.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from saliency_cli.autodiff.runtime import tf
from saliency_cli.differentiable import Array

Tensor = Any

_PASSED = ("Identity", "Cast", "Reshape", "Squeeze")


def folded(x: Tensor, scale: Array, shift: Array) -> Tensor | None:
    """Return `scale·x + shift` as the operation behind `x` with other weights, or None where it can't be.

    `x` is a tensor of the graph being traced, `scale` and `shift` `(channels,)` of its last axis.
    """
    if x.dtype not in (tf.float32, tf.float64) or x.graph is not tf.compat.v1.get_default_graph():
        return None
    product, bias = _without_bias(x)
    emit = _EMITTED.get(product.op.type)
    if emit is None or bias is None or (bias.size > 1 and not bias.size == bias.shape[-1] == scale.size):
        return None
    kernel = _constant(product.op.inputs[1])
    if kernel is None:
        return None
    again = emit(product.op, kernel.astype(np.float64), scale.astype(np.float64))
    if again is None:
        return None
    whole = bias.reshape(-1).astype(np.float64) * scale + shift
    return tf.nn.bias_add(again, tf.constant(np.broadcast_to(whole, scale.shape), x.dtype))


def _without_bias(x: Tensor) -> tuple[Tensor, Array | None]:
    """Return the tensor that a constant bias was added to, and the bias; zero where there is none."""
    if x.op.type not in ("BiasAdd", "AddV2"):
        return x, np.zeros(1)
    if x.op.type == "BiasAdd" and x.op.get_attr("data_format") != b"NHWC":
        return x, None
    return x.op.inputs[0], _constant(x.op.inputs[1])


def _constant(tensor: Tensor) -> Array | None:
    """Return the value of a weight as it is read in a trace, None where it is no constant of it."""
    operation = tensor.op
    if operation.type in _PASSED:
        value = _constant(operation.inputs[0])
        if value is None or operation.type == "Identity":
            return value
        if operation.type == "Cast":
            return value.astype(tensor.dtype.as_numpy_dtype)
        return value.reshape(tensor.shape) if tensor.shape.is_fully_defined() else None
    if operation.type == "Const":
        return np.asarray(tf.get_static_value(tensor))
    captured = _captured(operation.inputs[0] if operation.type == "ReadVariableOp" else tensor)
    if captured is None:
        return None
    with tf.init_scope():
        if operation.type == "ReadVariableOp":
            captured = tf.raw_ops.ReadVariableOp(resource=captured, dtype=tensor.dtype)
        return np.asarray(captured)


def _captured(tensor: Tensor) -> Any:
    """Return the eager tensor that a placeholder of a function's graph stands for, None where it stands for none."""
    return next(
        (outer for outer, inner in tensor.graph.captures if inner is tensor and hasattr(outer, "numpy")), None
    )


def _plain(operation: Any) -> bool:
    """Whether a convolution is channels-last and not dilated."""
    last = operation.get_attr("data_format") in (b"NHWC", b"NDHWC")
    return last and set(operation.get_attr("dilations")) == {1}


def _weights(operation: Any, kernel: Array) -> Tensor:
    # An eager tensor is captured by the trace; a constant of its graph would be copied at every step of compiling it.
    with tf.init_scope():
        return tf.constant(kernel, operation.outputs[0].dtype)


def _padded(operation: Any, kernel: Array) -> tuple[Tensor, str]:
    """Return what a convolution reads and its padding; that of a `Pad` before it, where `SAME` would do the same."""
    x, padding = operation.inputs[0], operation.get_attr("padding").decode()
    before = x.op.inputs[0] if x.op.type == "Pad" else x
    if before is x or padding != "VALID" or not before.shape[1:].is_fully_defined():
        return x, padding
    pads = tf.get_static_value(x.op.inputs[1])
    strides = operation.get_attr("strides")[1:-1]
    sizes = zip(before.shape[1:-1], kernel.shape, strides, strict=False)
    wanted = [_same_padding(length, taps, stride) for length, taps, stride in sizes]
    same = pads is not None and pads.tolist() == [[0, 0], *wanted, [0, 0]]
    return (before, "SAME") if same else (x, padding)


def _same_padding(length: int, taps: int, stride: int) -> list[int]:
    whole = max((-(-length // stride) - 1) * stride + taps - length, 0)
    return [whole // 2, whole - whole // 2]


def _convolution(operation: Any, kernel: Array, scale: Array) -> Tensor | None:
    grouped = operation.inputs[0].shape[-1] != kernel.shape[-2]
    if grouped or not _plain(operation) or kernel.shape[-1] != scale.size:
        return None
    attributes = {key: operation.get_attr(key) for key in ("strides", "data_format", "dilations")}
    weights = _weights(operation, kernel * scale)
    x, padding = _padded(operation, kernel)
    attributes["data_format"] = attributes["data_format"].decode()
    if operation.type == "Conv3D":
        return tf.raw_ops.Conv3D(input=x, filter=weights, padding=padding, **attributes)
    explicit = list(operation.get_attr("explicit_paddings"))
    return tf.raw_ops.Conv2D(input=x, filter=weights, padding=padding, explicit_paddings=explicit, **attributes)


def _depthwise(operation: Any, kernel: Array, scale: Array) -> Tensor | None:
    if not _plain(operation) or kernel.shape[-2] * kernel.shape[-1] != scale.size:
        return None
    x, padding = _padded(operation, kernel)
    return tf.raw_ops.DepthwiseConv2dNative(
        input=x,
        filter=_weights(operation, kernel * scale.reshape(kernel.shape[-2:])),
        strides=operation.get_attr("strides"),
        padding=padding,
        explicit_paddings=list(operation.get_attr("explicit_paddings")),
        data_format="NHWC",
    )


def _product(operation: Any, kernel: Array, scale: Array) -> Tensor | None:
    if operation.get_attr("transpose_a") or operation.get_attr("transpose_b") or kernel.shape[-1] != scale.size:
        return None
    return tf.raw_ops.MatMul(a=operation.inputs[0], b=_weights(operation, kernel * scale))


_EMITTED: dict[str, Callable[[Any, Array, Array], Tensor | None]] = {
    "Conv2D": _convolution,
    "Conv3D": _convolution,
    "DepthwiseConv2dNative": _depthwise,
    "MatMul": _product,
}
