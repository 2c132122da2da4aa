"""Gradients by the weights of every sample of a batch of 32 against the one gradient of their sum."""

import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
from common import Row, Spent, clocked, finish, interleaved, ratio, spend, workshop
from keras import layers
from models import normalised, small

from saliency_cli.autodiff.compiled import Compiled
from saliency_cli.autodiff.parameters import WeightGradients
from saliency_cli.autodiff.runtime import tf
from saliency_cli.models.opening import open_model
from saliency_cli.models.options import OpenOptions

BATCH, BOUND, ROUNDS = 32, 4.0, 7


def deeper() -> keras.Model:
    """Three convolutions with batch normalisation, for pictures of 64×64."""
    x = inputs = keras.Input((64, 64, 3))
    for filters in (16, 32, 64):
        x = layers.Conv2D(filters, 3, padding="same")(x)
        x = layers.MaxPooling2D()(layers.ReLU()(layers.BatchNormalization()(x)))
    return normalised(keras.Model(inputs, layers.Dense(10, "softmax")(layers.GlobalAveragePooling2D()(x))))


def mobilenetv2(size: int) -> keras.Model:
    """MobileNetV2 of another size, with random batch-norm statistics."""
    return normalised(keras.applications.MobileNetV2(weights=None, input_shape=(size, size, 3)))


BUILDERS: dict[str, Callable[[], keras.Model]] = {
    "small CNN 28×28": small,
    "CNN with batch norm 64×64": deeper,
    "MobileNetV2 96×96": lambda: mobilenetv2(96),
    "MobileNetV2 224×224": lambda: mobilenetv2(224),
}
PREDICTED = {"small CNN 28×28": "1.3", "CNN with batch norm 64×64": "1.6", "MobileNetV2 96×96": "2.2",
             "MobileNetV2 224×224": "1.7"}  # fmt: skip


def summed(compiled: Compiled, weights: list[object]) -> Callable[..., None]:
    """Return the compiled gradient of the sum of a batch's targets, which is read back."""
    model, n = compiled.model, compiled.batch

    @tf.function(autograph=False)
    def gradient(x, rows, *values):
        given = dict(zip((weight.name for weight in weights), values, strict=True))
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            target, *_ = compiled.emitted(
                {model.inputs[0].name: x}, given, rows, tf.zeros((n,), tf.bool), tf.zeros((n,))
            )
        return tape.gradient(target, values)

    def run(x, rows) -> None:
        for found in gradient(tf.constant(x), tf.constant(rows), *(weight.read() for weight in weights)):
            found.numpy()

    return run


def against_sum(folder: Path, name: str) -> Row:
    """Compare both at one batch."""
    path = folder / f"{name.replace(' ', '-')}.keras"
    if not path.exists():
        spend([sys.executable, __file__, "--build", name, str(path)], folder)
    model = open_model(path, OpenOptions(), lambda: None)
    compiled = Compiled(model, model.outputs[0].name, batch=BATCH)
    weights = [weight for weight in model.weights if weight.trainable]
    each = WeightGradients(compiled, weights)
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (BATCH, *model.inputs[0].shape)).astype(np.float32)
    rows = np.zeros((BATCH, compiled.facts.classes), np.float32)
    rows[:, 1] = 1
    none = np.zeros(BATCH, bool), np.zeros(BATCH, np.float32)
    whole = summed(compiled, weights)
    tries = [
        lambda: clocked(lambda: each({model.inputs[0].name: x}, rows, *none)),
        lambda: clocked(lambda: whole(x, rows)),
    ]
    for attempt in tries:
        attempt()
    taken: list[list[Spent]] = interleaved(ROUNDS, *tries)
    ours, others = ([spent.wall for spent in part] for part in taken)
    note = f"{1000 * min(ours) / BATCH:.2f} : {1000 * min(others) / BATCH:.2f} ms a sample, {each.way}"
    what = f"weight gradients of each of {BATCH} : of their sum, {name}"
    return Row.ratio(what, PREDICTED[name], ratio(ours, others), BOUND, note)


def measure() -> list[Row]:
    with workshop() as folder:
        return [against_sum(folder, name) for name in BUILDERS]


if __name__ == "__main__":
    if "--build" in sys.argv:
        keras.utils.set_random_seed(0)
        BUILDERS[sys.argv[2]]().save(sys.argv[3])
    else:
        finish(measure)
