"""The gradient of a strided convolution of few channels, as a convolution of its own.

The first convolution of most networks takes three channels and a stride, and TensorFlow's gradient by its input is
slow on a CPU: of ResNet50's whole gradient it takes an eighth. With `x[s·q + i] = Σ_p dy[q − p]·w[s·p + i]` for each
phase `i` of the stride `s`, it is a plain convolution of `dy` that gives every phase as channels of its own, which
are then laid out in space (the phases of a transposed convolution: Shi et al. 2016, Is the deconvolution layer the
same as a convolutional layer?). The same numbers but for rounding.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from saliency_cli.autodiff.runtime import tf
from saliency_cli.autodiff.walks import ancestors

Tensor = Any

_FEW = 4
"""Phases are padded to the longest kernel: with many channels that costs more than it saves."""


class _Axis(NamedTuple):
    """One axis of places: taps of a phase, padding of the gradient before and after, where the input begins."""

    taps: int
    before: int
    after: int
    start: int


def replaced(gradients: Sequence[Tensor | None], target: Tensor) -> list[Tensor | None]:
    """Return the gradients of a target in the graph being traced, with the slow convolutions done another way.

    Whatever reads one of them in the graph reads the other from then on. The target's own way is left alone: a
    transposed convolution is the same operation.
    """
    forward = ancestors(target.op)
    others: dict[str, Tensor] = {}
    for operation in target.graph.get_operations():
        if operation.type != "Conv2DBackpropInput" or operation.name in forward:
            continue
        other = _by_phases(operation)
        if other is not None:
            _redirect(operation.outputs[0], other)
            others[operation.outputs[0].name] = other
    return [None if gradient is None else others.get(gradient.name, gradient) for gradient in gradients]


def _redirect(tensor: Tensor, other: Tensor) -> None:
    for reader in tensor.consumers():
        for position, read in enumerate(reader.inputs):
            if read is tensor:
                reader._update_input(position, other)  # noqa: SLF001 - no public way


def _by_phases(operation: Any) -> Tensor | None:
    """Return the gradient by phases, None where that is no gain or not known to be the same."""
    _, stride, across, _ = operation.get_attr("strides")
    kernel, dy = operation.inputs[1:]
    shapes = operation.outputs[0].shape, kernel.shape, dy.shape
    if not all(shape.is_fully_defined() for shape in shapes) or dy.dtype not in (tf.float32, tf.float64):
        return None
    (batch, *lengths, channels), (*sizes, deep, _), (_, *given, _) = (shape.as_list() for shape in shapes)
    plain = operation.get_attr("data_format") == b"NHWC" and set(operation.get_attr("dilations")) == {1}
    if stride == 1 or stride != across or not plain or deep != channels or channels > _FEW:
        return None
    axes = [_axis(operation, n, stride, *each) for n, each in enumerate(zip(lengths, sizes, given, strict=True))]
    if any(axis.before < 0 or axis.after < 0 for axis in axes):
        return None
    phases = tf.raw_ops.Conv2D(
        input=dy, filter=_kernel(kernel, stride, axes), strides=[1] * 4, padding="EXPLICIT",
        explicit_paddings=[0, 0, *(pad for axis in axes for pad in axis[1:3]), 0, 0],
    )  # fmt: skip
    starts = [axis.start for axis in axes]
    return tf.slice(tf.nn.depth_to_space(phases, stride), [0, *starts, 0], [batch, *lengths, channels])


def _axis(operation: Any, axis: int, stride: int, length: int, size: int, given: int) -> _Axis:
    padding = operation.get_attr("padding")
    if padding == b"EXPLICIT":
        pad = operation.get_attr("explicit_paddings")[2 + 2 * axis]
    else:
        pad = max((given - 1) * stride + size - length, 0) // 2 if padding == b"SAME" else 0
    taps, first, last = -(-size // stride), pad // stride, (pad + length - 1) // stride
    return _Axis(taps, taps - 1 - first, last - given + 1, pad - stride * first)


def _kernel(kernel: Tensor, stride: int, axes: Sequence[_Axis]) -> Tensor:
    """Return the kernel with every phase as channels, `(taps, taps, out, stride² · in)`, back to front."""
    *sizes, channels, out = kernel.shape.as_list()
    longer = [[0, axis.taps * stride - size] for axis, size in zip(axes, sizes, strict=True)]
    split = [length for axis in axes for length in (axis.taps, stride)]
    apart = tf.reshape(tf.pad(kernel, [*longer, [0, 0], [0, 0]]), [*split, channels, out])
    ordered = tf.reverse(tf.transpose(apart, [0, 2, 5, 1, 3, 4]), [0, 1])
    return tf.reshape(ordered, [*(axis.taps for axis in axes), out, stride * stride * channels])
