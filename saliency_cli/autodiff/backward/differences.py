"""Exact multipliers of what is neither a line, a product, a curve nor a maximum: quotients and softmaxes.

Each takes what its operation was given in the sample (x) and in the reference (x₀).
"""

from typing import Any

from saliency_cli.autodiff.runtime import tf

Tensor = Any
Operation = Any
Pair = tuple[Tensor, Tensor]

# Below this share of their size a difference is mostly rounding, and the derivative is nearer the truth.
_SMALL = 1e-4
_TINY = 1e-30


def ratio(y: Pair, x: Pair, slope: Tensor) -> Tensor:
    """Return Δy/Δx, and the slope where Δx is next to nothing."""
    run = x[0] - x[1]
    small = tf.abs(run) <= _SMALL * (tf.abs(x[0]) + tf.abs(x[1])) + _TINY
    return tf.where(small, slope, (y[0] - y[1]) / tf.where(small, tf.ones_like(run), run))


def of_quotient(a: Pair, b: Pair, m: Tensor) -> Pair:
    """Return the multipliers of a and b in a/b: a product with 1/b, and 1/b is a curve."""
    axes = tf.raw_ops.BroadcastGradientArgs(s0=tf.shape(a[0]), s1=tf.shape(b[0]))
    of_a = m * (1 / b[0] + 1 / b[1]) / 2
    of_b = -m * (a[0] + a[1]) / 2 / (b[0] * b[1])
    found = [(of_a, axes[0], a[0]), (of_b, axes[1], b[0])]
    left, right = (tf.reshape(tf.reduce_sum(part, summed), tf.shape(like)) for part, summed, like in found)
    return left, right


def of_softmax(x: Pair, m: Tensor) -> Tensor:
    """e/Σe: exponentials are curves, the quotient as above."""
    e, total, rise = _exponentials(x, -1)
    of_total = -tf.reduce_sum(m * (e[0] + e[1]) / 2, -1, keepdims=True) / (total[0] * total[1])
    return (m * (1 / total[0] + 1 / total[1]) / 2 + of_total) * rise


def of_log_softmax(x: Pair, m: Tensor) -> Tensor:
    """X − log Σe."""
    return m - of_log_sum_exp(x, tf.constant(-1), tf.reduce_sum(m, -1, keepdims=True))


def of_log_sum_exp(x: Pair, axes: Tensor, m: Tensor) -> Tensor:
    """Log Σe as a whole: the largest value that is taken off before is no part of what it is."""
    _, total, rise = _exponentials(x, axes)
    logs = tf.math.log(total[0]), tf.math.log(total[1])
    return tf.reshape(m, tf.shape(total[0])) * ratio(logs, total, 1 / total[0]) * rise


def _exponentials(x: Pair, axes: Any) -> tuple[Pair, Pair, Tensor]:
    """Return e, Σe and Δe/Δx, with one shift for both so that nothing overflows."""
    highest = tf.reduce_max(tf.maximum(*x), axes, keepdims=True)
    e = tf.exp(x[0] - highest), tf.exp(x[1] - highest)
    total = tf.reduce_sum(e[0], axes, keepdims=True), tf.reduce_sum(e[1], axes, keepdims=True)
    return e, total, ratio(e, x, e[0])


def summed_exponentials(operation: Operation) -> tuple[Tensor, Tensor] | None:
    """Return the input and the axes of log Σ exp(x − c) + c where c has no derivative, as TensorFlow writes it."""
    if operation.type not in ("Add", "AddV2"):
        return None
    log, constant = (_behind_reshape(tensor) for tensor in operation.inputs)
    chain = []
    for kind in ("Log", "Sum", "Exp", "Sub"):
        if log.type != kind:
            return None
        chain.append(log)
        log = _behind_reshape(log.inputs[0])
    _, total, _, shifted = chain
    if constant.type != "StopGradient" or _behind_reshape(shifted.inputs[1]).name != constant.name:
        return None
    return shifted.inputs[0], total.inputs[1]


def _behind_reshape(tensor: Tensor) -> Operation:
    while tensor.op.type in ("Reshape", "Squeeze", "Identity"):
        tensor = tensor.op.inputs[0]
    return tensor.op
