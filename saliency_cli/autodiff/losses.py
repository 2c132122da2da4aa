"""Losses whose gradient with respect to the input can be asked for: one value per sample.

The cross-entropies are taken on the logits where a softmax or sigmoid was found (so their gradient at
the logits is exactly p − y), and on a linear head's output as logits. Anything else is a probability
and is clipped to [ε, 1 − ε] with ε = 1e-7, as Keras does. `mse`, `mae` and `huber` (δ = 1) are means
over the output's values.

`compiled` is the loss as Keras saved it, on the model's own output. Keras 3 does not save the δ of a Huber
loss, which comes back as 1.
"""

from collections.abc import Callable
from typing import Any

from saliency_cli.autodiff.head import Head
from saliency_cli.autodiff.model import Model
from saliency_cli.autodiff.runtime import keras, tf
from saliency_cli.autodiff.user_code import run_python
from saliency_cli.errors import ModelError, UsageError, nearest

Tensor = Any
Loss = Callable[[Tensor, Head], Tensor]

_EPSILON = 1e-7
_PER_SAMPLE = "function(truth, output) returns one value per sample: average over every axis but the first"


def _categorical(truth: Tensor, head: Head) -> Tensor:
    if head.kind in ("sigmoid", "binary"):
        raise UsageError(
            "categorical_crossentropy needs classes that exclude each other; this head is a sigmoid",
            hint="--loss binary_crossentropy",
        )
    if head.logits is not None or head.kind == "linear":
        z = head.logits if head.logits is not None else head.output
        return -tf.reduce_sum(truth * tf.nn.log_softmax(z), axis=-1)
    p = head.output / tf.reduce_sum(head.output, axis=-1, keepdims=True)
    return -tf.reduce_sum(truth * tf.math.log(tf.clip_by_value(p, _EPSILON, 1 - _EPSILON)), axis=-1)


def _sparse_categorical(truth: Tensor, head: Head) -> Tensor:
    classes = int(head.output.shape[-1])
    return _categorical(tf.one_hot(tf.cast(truth, tf.int32), classes, dtype=head.output.dtype), head)


def _binary(truth: Tensor, head: Head) -> Tensor:
    if head.kind in ("sigmoid", "binary", "linear"):
        z = head.logits if head.logits is not None else head.output
        return tf.nn.sigmoid_cross_entropy_with_logits(labels=truth, logits=z)
    p = tf.clip_by_value(head.output, _EPSILON, 1 - _EPSILON)
    return -truth * tf.math.log(p) - (1 - truth) * tf.math.log(1 - p)


def _huber(truth: Tensor, head: Head) -> Tensor:
    error = tf.abs(head.output - truth)
    return tf.where(error <= 1, error * error / 2, error - 0.5)


LOSSES: dict[str, Loss] = {
    "categorical_crossentropy": _categorical,
    "sparse_categorical_crossentropy": _sparse_categorical,
    "binary_crossentropy": _binary,
    "mse": lambda truth, head: tf.square(head.output - truth),
    "mae": lambda truth, head: tf.abs(head.output - truth),
    "huber": _huber,
}

ALIASES = {"mean_squared_error": "mse", "mean_absolute_error": "mae"}


def find_loss(text: str, model: Model, output: str) -> tuple[str, Loss]:
    """Return a loss's plain name and function: a name of `LOSSES`, `compiled`, or `FILE.py:function`.

    The function returns one value per sample (further axes are averaged by the caller).
    """
    name = ALIASES.get(text, text)
    if name in LOSSES:
        return name, LOSSES[name]
    if name == "compiled":
        return _compiled(model, output)
    if ":" in name:
        return name, _from_file(name)
    known = (*LOSSES, "compiled")
    raise UsageError(
        f"no loss is called '{text}'",
        hint=nearest(text, known) or f"there are: {', '.join(known)}, or FILE.py:function",
        reason="unknown-loss",
    )


def _compiled(model: Model, output: str) -> tuple[str, Loss]:
    saved = model.losses.get(output)
    if saved is None:
        raise ModelError(
            f"the model was saved without a loss for the output '{output}'",
            hint="name one: --loss categorical_crossentropy, mse, …",
            reason="no-compiled-loss",
        )
    try:
        loss = keras.losses.get(saved)
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"the loss the model was saved with can't be made: {str(error).strip().partition(chr(10))[0][:300]}",
            hint="name one of Keras's, or give your own: --loss FILE.py:function",
            reason="custom-loss",
        ) from error
    name = getattr(loss, "name", None) or getattr(loss, "__name__", str(saved))
    call = loss.call if isinstance(loss, keras.losses.Loss) else loss
    return str(name), lambda truth, head: call(truth, head.output)


def _from_file(text: str) -> Loss:
    file, _, function = text.rpartition(":")
    found = run_python(file, f"--loss {text}", "--loss FILE.py:function")
    if function not in found:
        names = list(found)
        raise UsageError(
            f"'{file}' has no function '{function}'",
            hint=nearest(function, names) or f"it has: {', '.join(names)}",
        )

    def loss(truth: Tensor, head: Head) -> Tensor:
        try:
            value = tf.convert_to_tensor(found[function](truth, head.output))
        except Exception as error:
            raise UsageError(f"--loss {text} failed: {type(error).__name__}: {error}", hint=_PER_SAMPLE) from error
        batch = head.output.shape[0]
        if value.shape.rank == 0:
            raise UsageError(f"--loss {text} returned one number for the whole batch", hint=_PER_SAMPLE)
        if value.shape.rank and value.shape[0] != batch:
            raise UsageError(
                f"--loss {text} returned an array of shape {tuple(value.shape)}, and the batch is {batch}",
                hint=_PER_SAMPLE,
            )
        return value

    return loss
