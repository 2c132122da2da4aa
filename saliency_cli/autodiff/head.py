"""What stands at the end of a model: the softmax or sigmoid, and the logits before it.

The head is found in the traced graph, so it does not matter whether the softmax is a Dense layer's
activation, a `Softmax` or `Activation` layer, or inside a nested model, and nothing of the model is
changed. Not found (then the output is used as it is, and that is said): a softmax over several axes or
another axis than the last, one written out by hand, a hard sigmoid, anything that comes after the head.
"""

from typing import Any, NamedTuple

from saliency_cli.autodiff.runtime import tf
from saliency_cli.errors import UsageError, nearest

Tensor = Any

SPACES = ("logit", "probability", "log-probability")

# How far each class is ahead of the others: log(p / (1 − p)), and z less the largest other z.
LEADS = ("log-odds", "margin")

_TRANSPARENT = ("Identity", "Cast", "Reshape", "EnsureShape", "Squeeze", "ExpandDims")
_LINEAR = (
    "BiasAdd",
    "MatMul",
    "Add",
    "AddV2",
    "Einsum",
    "Conv2D",
    "BatchMatMulV2",
    "Mul",
    "Sub",
    "Sum",
    "Mean",
)


class Head(NamedTuple):
    """The end of one output. `kind`: softmax, sigmoid, binary (one sigmoid unit), linear, or the operation.

    `logits`: the tensor behind a softmax or sigmoid, shaped like the output; None where there is none.
    """

    kind: str
    output: Tensor
    logits: Tensor | None

    @property
    def has_classes(self) -> bool:
        """Whether the output's units are classes of which one can be on top."""
        return self.kind in ("softmax", "sigmoid", "binary") or int(self.output.shape[-1] or 0) > 1

    def scores(self, space: str) -> Tensor:
        """Return the classes' scores in a space, float32 `(batch, …, classes)`.

        `logit` z; `probability` softmax(z) or σ(z); `log-probability` log softmax(z) or log σ(z);
        `output` the output itself; `log-odds` z less the log of the sum of the other classes' eᶻ, and `margin` z
        less the largest other z, of logits averaged over positions, `(batch, classes)`, or of the output
        itself where there are none. One sigmoid unit becomes two classes: −z and z. Raises `UsageError` where
        the head has no such space.
        """
        if space == "output":
            return self.output
        if space in LEADS:
            return _leads(self.scores("output" if self.logits is None else "logit"), space)
        if space not in SPACES:
            raise UsageError(
                f"there is no space '{space}'", hint=nearest(space, SPACES) or f"there are: {', '.join(SPACES)}"
            )
        if self.logits is None:
            raise UsageError(
                f"--space {space} needs a softmax or sigmoid at the end of the model; its last operation is "
                f"{self.kind}",
                hint="leave --space away to take the output as it is",
                reason="no-logits",
            )
        z = self.logits
        if self.kind == "binary":
            z = tf.concat([-z, z], axis=-1)
        if space == "logit":
            return z
        if self.kind == "softmax":
            return tf.nn.softmax(z) if space == "probability" else tf.nn.log_softmax(z)
        return tf.sigmoid(z) if space == "probability" else tf.math.log_sigmoid(z)


def _leads(z: Tensor, kind: str) -> Tensor:
    """Return how far each class is ahead of the others, without the cancellation of 1 − p where p rounds to 1."""
    z = tf.reduce_mean(z, axis=list(range(1, z.shape.rank - 1))) if z.shape.rank > 2 else z
    first = tf.one_hot(tf.argmax(z, axis=-1), z.shape[-1], on_value=True, off_value=False)
    others = tf.where(first, tf.constant(z.dtype.min, z.dtype), z)
    if kind == "margin":
        best, second = (tf.reduce_max(each, axis=-1, keepdims=True) for each in (z, others))
        return z - tf.where(first, second, best)
    ahead = z - tf.reduce_logsumexp(others, axis=-1, keepdims=True)
    # Nobody but the first has more than half, and what the first has is not subtracted from 1.
    rest = tf.where(first, tf.zeros_like(z), tf.nn.softmax(z))
    return tf.where(first, ahead, tf.nn.log_softmax(z) - tf.math.log1p(-rest))


def find_head(output: Tensor) -> Head:
    """Walk back from a traced output over operations that change nothing to its softmax or sigmoid."""
    tensor = output
    while tensor.op.type in _TRANSPARENT and tensor.dtype.is_floating:
        tensor = tensor.op.inputs[0]
    kind = tensor.op.type
    output = tf.cast(output, tf.float32) if output.dtype != tf.float64 else output
    if kind in ("Softmax", "LogSoftmax", "Sigmoid") and _same_classes(tensor, output):
        logits = tf.cast(tensor.op.inputs[0], output.dtype)
        if logits.shape.rank != output.shape.rank:
            logits = tf.reshape(logits, tf.shape(output))
        if kind != "Sigmoid":
            return Head("softmax", output, logits)
        return Head("binary" if output.shape[-1] == 1 else "sigmoid", output, logits)
    return Head("linear" if kind in _LINEAR else kind, output, None)


def _same_classes(tensor: Tensor, output: Tensor) -> bool:
    if tensor.op.type == "Sigmoid":
        return bool(tensor.shape.num_elements() == output.shape.num_elements())
    return bool(output.shape.rank and tensor.shape.rank and tensor.shape[-1] == output.shape[-1])
