"""Convolutions that Keras has XLA compile, emitted in the open.

Keras 3 puts every convolution in groups, and every volume with channels first, into a function compiled by XLA, on
any device, because TensorFlow's kernels for the CPU once could not do them. No rule can look into such a call; its
gradient also computes that of the kernel; and where TensorFlow can do without, it is several times as slow.
"""

import contextlib
from collections.abc import Iterator
from functools import cache
from typing import Any

from saliency_cli.autodiff.runtime import tf

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_KERAS = "_conv_xla"  # what Keras calls the function; its gradient's name holds it too
_BACK = {"Conv2D": "Conv2DBackpropInput", "Conv3D": "Conv3DBackpropInputV2"}


def can_be_open(graph: Any) -> bool:
    """Whether a traced graph has calls, all of them convolutions that their device can do without XLA."""
    calls = [operation for operation in graph.get_operations() if operation.type in _CALLS]
    return bool(calls) and all(_KERAS in _name(call) for call in calls) and all(map(_runs_without, calls))


@contextlib.contextmanager
def in_the_open() -> Iterator[None]:
    """Emit functions in the place of their calls for the length of the block."""
    before = tf.config.functions_run_eagerly()
    # Inside a trace this is no eager run: the function's operations go into the graph that is being traced.
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


def is_compiled_convolution(operation: Any) -> bool:
    """Whether an operation is a call of what Keras has XLA compile."""
    return operation.type in _CALLS and _KERAS in _name(operation)


def _name(call: Any) -> str:
    return str(call.get_attr("f").name)


def _runs_without(call: Any) -> bool:
    body = call.graph._get_function(_name(call)).graph  # noqa: SLF001 - it has no public way
    for operation in body.get_operations():
        if operation.type in _BACK:
            order = operation.get_attr("data_format").decode()
            x, kernel = (tensor.shape for tensor in operation.inputs)
            grouped = x[1 if order.startswith("NC") else -1] != kernel[-2]
            if not _tried(operation.type, kernel.rank - 2, order, grouped, call.device):
                return False
    return True


@cache
def _tried(kind: str, axes: int, order: str, grouped: bool, device: str) -> bool:
    """Try a tiny convolution, there and back: what TensorFlow's kernels take differs from build to build."""
    places, ones = [2] * axes, [1] * axes
    size = [1, 4, *places] if order.startswith("NC") else [1, *places, 4]
    how = {"strides": [1, 1, *ones], "padding": "SAME", "data_format": order}
    with tf.init_scope(), tf.device(device):
        kernel = tf.ones([*ones, 2 if grouped else 4, 4])
        try:
            y = getattr(tf.raw_ops, kind)(input=tf.ones(size), filter=kernel, **how)
            getattr(tf.raw_ops, _BACK[kind])(input_sizes=size, filter=kernel, out_backprop=y, **how)
        except tf.errors.OpError:
            return False
    return True
