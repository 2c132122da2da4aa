"""What the shape of a graph's input must be where its placeholder doesn't say."""

from typing import Any

from saliency_cli.autodiff.runtime import tf

Tensor = Any


def shape_behind(tensor: Tensor) -> tuple[int | None, ...] | None:
    """Return the shape, with the batch axis, that the first operation on an input asks for.

    A reshape to `[-1, 28, 28, 1]` says it whole; a convolution says the rank and, by its kernel, the
    channels; a matrix product the number of features. None where no operation on it says anything.
    """
    for operation in tensor.consumers():
        if operation.type in ("Identity", "Cast"):
            found = shape_behind(operation.outputs[0])
        else:
            found = _asked_for(operation, tensor)
        if found is not None:
            return found
    return None


def _asked_for(operation: Any, tensor: Tensor) -> tuple[int | None, ...] | None:
    if operation.inputs[0] is not tensor:
        return None
    if operation.type == "Reshape":
        wanted = tf.get_static_value(operation.inputs[1])
        if wanted is not None and len(wanted) > 1 and wanted[0] == -1 and all(size > 0 for size in wanted[1:]):
            return (None, *(int(size) for size in wanted[1:]))
    elif operation.type in ("Conv2D", "DepthwiseConv2dNative"):
        channels = operation.inputs[1].shape[2] if operation.inputs[1].shape.rank == 4 else None
        if operation.get_attr("data_format") == b"NCHW":
            return (None, channels, None, None)
        return (None, None, None, channels)
    elif operation.type == "MatMul" and not operation.get_attr("transpose_a"):
        kernel = operation.inputs[1].shape
        if kernel.rank == 2:
            return (None, kernel[1 if operation.get_attr("transpose_b") else 0])
    return None
