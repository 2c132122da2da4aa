"""The models of the calibration: three architectures on two tasks, each trained from a seed in seconds."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from keras import layers

sys.path.insert(0, str(Path(__file__).parents[2] / "sample_models"))

import shapes as drawn_shapes
import signals as drawn_signals

_BATCH = 64
_PATCH = 8


class Task(NamedTuple):
    """Training data, inputs to check on, and how a class is marked by a shortcut."""

    x: np.ndarray
    y: np.ndarray
    held: np.ndarray
    held_y: np.ndarray
    mark: Callable[[np.ndarray, np.ndarray], np.ndarray]


class Architecture(NamedTuple):
    """A model's builder and the task it is for."""

    task: str
    build: Callable[[], keras.Model]
    epochs: int


def shapes_task() -> Task:
    """Pictures of one warm object each; the shortcut is a patch in the corner, its grey the class."""
    drawn, held = drawn_shapes.draw_many(101, 2400), drawn_shapes.draw_many(202, 48)
    index = {name: i for i, name in enumerate(drawn_shapes.CLASSES)}

    def mark(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        marked = x.copy()
        marked[:, :_PATCH, :_PATCH] = (y * 80)[:, None, None, None]
        return marked

    def arrays(pictures: list[drawn_shapes.Picture]) -> tuple[np.ndarray, np.ndarray]:
        pixels = np.stack([one.pixels for one in pictures]).astype(np.float32)
        return pixels, np.array([index[one.classes[0]] for one in pictures])

    return Task(*arrays(drawn), *arrays(held), mark)


def signal_task() -> Task:
    """Signals with one event each; the shortcut is a level at the end of the second channel."""
    drawn, held = drawn_signals.draw_many(101, 3000), drawn_signals.draw_many(202, 48)

    def mark(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        marked = x.copy()
        marked[:, -_PATCH:, 1] = (2.0 * y - 2.0)[:, None]
        return marked

    def arrays(signals: list[drawn_signals.Signal]) -> tuple[np.ndarray, np.ndarray]:
        values = np.stack([one.values for one in signals])
        return values, np.array([drawn_signals.CLASSES.index(one.kind) for one in signals])

    return Task(*arrays(drawn), *arrays(held), mark)


def plain() -> keras.Model:
    """Convolutions with batch normalisation and ReLU."""
    x = picture = keras.Input((drawn_shapes.SIZE, drawn_shapes.SIZE, 3), name="picture")
    x = layers.Rescaling(1 / 127.5, offset=-1)(x)
    for width, reach, step in ((24, 5, 2), (32, 3, 1), (48, 3, 2), (48, 3, 1)):
        x = layers.Conv2D(width, reach, strides=step, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    return _classifier(picture, x, len(drawn_shapes.CLASSES))


def separable() -> keras.Model:
    """Depthwise-separable convolutions with swish and a residual."""
    x = picture = keras.Input((drawn_shapes.SIZE, drawn_shapes.SIZE, 3), name="picture")
    x = layers.Rescaling(1 / 127.5, offset=-1)(x)
    x = layers.Conv2D(24, 3, strides=2, padding="same", activation="swish")(x)
    for _ in range(2):
        before = x
        x = layers.SeparableConv2D(24, 3, padding="same", use_bias=False)(x)
        x = layers.Activation("swish")(layers.BatchNormalization(momentum=0.9)(x))
        x = layers.AveragePooling2D(2)(layers.Add()([before, x]))
    x = layers.SeparableConv2D(48, 3, padding="same", activation="swish")(x)
    return _classifier(picture, x, len(drawn_shapes.CLASSES))


def waves() -> keras.Model:
    """One-dimensional convolutions with GELU."""
    x = values = keras.Input((drawn_signals.STEPS, 2), name="signal")
    for width, reach in ((12, 7), (16, 5), (16, 5)):
        x = layers.Conv1D(width, reach, padding="same", activation="gelu")(x)
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(values, layers.Dense(len(drawn_signals.CLASSES), activation="softmax")(x), name="waves")


ARCHITECTURES = {
    "plain": Architecture("shapes", plain, 14),
    "separable": Architecture("shapes", separable, 16),
    "waves": Architecture("signal", waves, 8),
}


def _classifier(picture: keras.KerasTensor, x: keras.KerasTensor, classes: int) -> keras.Model:
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(picture, layers.Dense(classes, activation="softmax")(x))


def trained(architecture: Architecture, task: Task, seed: int, *, marked: bool = False) -> keras.Model:
    """Train from a seed; `marked` trains on data in which a shortcut tells the class."""
    keras.utils.set_random_seed(seed)
    model = architecture.build()
    steps = len(task.x) // _BATCH * architecture.epochs
    fit(model, task, architecture.epochs, keras.optimizers.schedules.CosineDecay(4e-3, steps), marked=marked)
    return model


def fit(model: keras.Model, task: Task, epochs: int, rate: object, *, marked: bool = False) -> None:
    """Train a model some epochs further."""
    x = task.mark(task.x, task.y) if marked else task.x
    model.compile(keras.optimizers.Adam(rate), loss="sparse_categorical_crossentropy")
    model.fit(x, task.y, batch_size=_BATCH, epochs=epochs, verbose=0)
