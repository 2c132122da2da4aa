"""Small models trained from a seed, each of a kind that tools stumble over."""

from __future__ import annotations

from collections.abc import Iterator

import data
import keras
import numpy as np
import shapes as drawn_shapes
import signals as drawn_signals
from keras import layers

_SHAPES = 4000
_BATCH = 64
_ROUNDS = 20
_FRAME = 6
_NOISE = 40.0  # grey levels


def shapes() -> keras.Model:
    """Which shape has the warm object? Every class has an evidence map and looks at its own best places.

    The evidence is averaged over places with a softmax of itself as weights, a smooth maximum made of plain
    layers. With a plain average the gradient of one class lay on the objects of another in 30 % of pictures; with
    a hard maximum even an untrained model looks at the objects.
    """
    picture = keras.Input((drawn_shapes.SIZE, drawn_shapes.SIZE, 3), name="picture")
    # To ±¼ only: near 0 gelu is a straight line, so an untrained model doesn't yet see that objects are bright. And a
    # frame around the picture: at the border of the maps fewer weights meet a pixel, and corners can be told apart.
    hidden = layers.Rescaling(1 / 510, offset=-1 / 4, name="rescaling")(picture)
    hidden = layers.ZeroPadding2D(_FRAME, name="frame")(hidden)
    for number, (width, reach) in enumerate([(12, 5), (24, 5), (32, 3), (32, 3)], start=1):
        # gelu and average pooling keep the gradient smooth
        hidden = layers.Conv2D(width, reach, padding="same", activation="gelu", name=f"conv{number}")(hidden)
        if number <= 2:
            hidden = layers.AveragePooling2D(2, name=f"pool{number}")(hidden)
    count = len(drawn_shapes.CLASSES)
    # starts near 0: an untrained model attends to every place alike
    small = keras.initializers.RandomNormal(stddev=0.01)
    evidence = layers.Conv2D(count, 1, kernel_initializer=small, name="evidence")(hidden)
    attention = layers.Softmax(axis=[1, 2], name="attention")(evidence)
    mean = layers.GlobalAveragePooling2D(name="mean")(layers.Multiply(name="attended")([evidence, attention]))
    found = layers.Rescaling(((drawn_shapes.SIZE + 2 * _FRAME) // 4) ** 2, name="sum")(mean)

    # Trained on logits: the probabilities' own loss has no gradient where softmax rounds to 0. The last layer starts
    # as the identity, which keeps every class with its own evidence map.
    head = layers.Dense(count, kernel_initializer="identity", name="logits")
    trained = keras.Model(picture, head(found))
    steps = _SHAPES // _BATCH * _ROUNDS
    trained.compile(
        keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(4e-3, steps), weight_decay=1e-4),
        loss=_presence_loss,
    )
    trained.fit(_noisy_shapes(steps), steps_per_epoch=steps, epochs=1, shuffle=False, verbose=0)

    answer = layers.Dense(count, activation="softmax", name="class")
    model = keras.Model(picture, answer(found), name="shapes")
    answer.set_weights(head.get_weights())
    return model


def _presence_loss(truth: object, logits: object) -> object:
    """Share of the probability, and presence of each class by itself.

    The second part stops the model from finding a class by what else is there: two classes at once both have a
    high logit, none at all has none.
    """
    present = keras.ops.cast(truth > 0, "float32")
    share = keras.losses.categorical_crossentropy(truth, logits, from_logits=True)
    return share + keras.losses.binary_crossentropy(present, logits, from_logits=True)


def _noisy_shapes(steps: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches of none to three objects, mirrored and turned at random, under noise of random strength."""
    drawn = drawn_shapes.draw_many(1, _SHAPES, objects=(0, 1, 1, 1, 2, 2, 2, 3), repeat=True)
    pixels, truth = np.stack([one.pixels for one in drawn]), np.stack([one.label for one in drawn])
    rng = np.random.default_rng(2)
    for _ in range(steps):
        chosen = rng.choice(_SHAPES, _BATCH, replace=False)
        batch = np.rot90(pixels[chosen], rng.integers(4), axes=(1, 2))
        if rng.random() < 0.5:
            batch = batch[:, ::-1]
        strength = rng.uniform(0, _NOISE, (_BATCH, 1, 1, 1)).astype(np.float32)
        yield batch + strength * rng.standard_normal(batch.shape, np.float32), truth[chosen]


def two_inputs_two_outputs() -> keras.Model:
    """A picture and four numbers in, a class and an amount out; both outputs need both inputs."""
    picture, numbers = keras.Input((16, 16, 1), name="picture"), keras.Input((4,), name="numbers")
    hidden = layers.Rescaling(1 / 255, name="rescaling")(picture)
    hidden = layers.Conv2D(8, 3, activation="relu", name="conv1")(hidden)
    hidden = layers.MaxPooling2D(2, name="pool")(hidden)
    hidden = layers.Conv2D(16, 3, activation="relu", name="conv2")(hidden)
    hidden = layers.Dense(24, activation="relu", name="seen")(layers.Flatten(name="flatten")(hidden))
    hidden = layers.Concatenate(name="both")([hidden, numbers])
    hidden = layers.Dense(64, activation="gelu", name="mixed1")(hidden)
    hidden = layers.Dense(64, activation="gelu", name="mixed2")(hidden)
    digit = layers.Dense(10, activation="softmax", name="digit")(hidden)
    amount = layers.Dense(1, name="amount")(hidden)
    model = keras.Model([picture, numbers], [digit, amount], name="two_inputs_two_outputs")

    pictures, shown = data.digits(held_out=False)
    pictures, shown = pictures.repeat(8, axis=0), shown.repeat(8)
    given, named, worth = data.numbers(1, shown)
    model.compile("adam", loss=["sparse_categorical_crossentropy", "mse"])
    model.fit(
        {"picture": pictures, "numbers": given},
        [named, worth],
        batch_size=_BATCH,
        epochs=12,
        verbose=0,
    )
    return model


def signal() -> keras.Model:
    """Which event has the first of two channels? Softmax is a layer of its own."""
    drawn = drawn_signals.draw_many(1, 3000)
    values = np.stack([one.values for one in drawn] * 2)
    rng = np.random.default_rng(2)
    strength = rng.uniform(0, 0.6, (len(values), 1, 1)).astype(np.float32)
    values = values + strength * rng.standard_normal(values.shape, np.float32)
    truth = np.array([drawn_signals.CLASSES.index(one.kind) for one in drawn] * 2)
    model = keras.Sequential(
        [
            keras.Input((drawn_signals.STEPS, 2), name="signal"),
            layers.Conv1D(12, 7, padding="same", activation="gelu", name="conv1"),
            layers.AveragePooling1D(2, name="pool"),
            layers.Conv1D(16, 5, padding="same", activation="gelu", name="conv2"),
            layers.Conv1D(16, 5, padding="same", activation="gelu", name="conv3"),
            layers.GlobalAveragePooling1D(name="mean"),
            layers.Dense(len(drawn_signals.CLASSES), name="logits"),
            layers.Activation("softmax", name="class"),
        ],
        name="signal",
    )
    model.compile(keras.optimizers.Adam(3e-3), loss="sparse_categorical_crossentropy")
    model.fit(values, truth, batch_size=_BATCH, epochs=10, verbose=0)
    return model


def table() -> keras.Model:
    """Which cultivar is the wine of? Normalisation learnt from the data is part of the model."""
    features, truth, names = data.wines(held_out=False)
    normal = layers.Normalization(name="normalization")
    normal.adapt(features)
    model = keras.Sequential(
        [
            keras.Input((len(names),), name="features"),
            normal,
            layers.Dense(16, activation="tanh", name="hidden"),
            layers.Dense(len(data.CULTIVARS), name="logits"),
            layers.Softmax(name="class"),
        ],
        name="table",
    )
    model.compile(keras.optimizers.Adam(1e-2), loss="sparse_categorical_crossentropy")
    model.fit(features, truth, batch_size=16, epochs=25, verbose=0)
    return model


def nested() -> keras.Model:
    """A digit's class from a nested backbone and a nested head, in which the softmax hides."""
    model = keras.Sequential([keras.Input((16, 16, 1), name="picture"), _backbone(), _head()], name="nested")
    pictures, shown = data.digits(held_out=False)
    model.compile(keras.optimizers.Adam(3e-3), loss="sparse_categorical_crossentropy")
    model.fit(pictures, shown, batch_size=_BATCH, epochs=15, verbose=0)
    return model


def _backbone() -> keras.Model:
    picture = keras.Input((16, 16, 1), name="grey")
    hidden = layers.Rescaling(1 / 255, name="rescaling")(picture)
    hidden = layers.Conv2D(12, 3, padding="same", use_bias=False, name="conv1")(hidden)
    hidden = layers.BatchNormalization(momentum=0.9, name="norm1")(hidden)
    hidden = layers.ReLU(name="relu1")(hidden)
    hidden = layers.SeparableConv2D(24, 3, padding="same", use_bias=False, name="conv2")(hidden)
    hidden = layers.BatchNormalization(momentum=0.9, name="norm2")(hidden)
    hidden = layers.ReLU(name="relu2")(hidden)
    hidden = layers.MaxPooling2D(2, name="pool")(hidden)
    hidden = layers.DepthwiseConv2D(3, padding="same", name="conv3")(hidden)
    hidden = layers.BatchNormalization(momentum=0.9, name="norm3")(hidden)
    hidden = layers.ReLU(max_value=6, name="relu3")(hidden)
    return keras.Model(picture, hidden, name="backbone")


def _head() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((8, 8, 24), name="features"),
            layers.AveragePooling2D(2, name="mean"),
            layers.Flatten(name="flatten"),
            layers.Dropout(0.2, name="dropout"),
            layers.Dense(10, activation="softmax", name="class"),
        ],
        name="head",
    )
