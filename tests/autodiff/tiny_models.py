"""Tiny Keras models built once, each beside its twin: the same weights without the softmax or sigmoid."""

from functools import cache

import numpy as np

from saliency_cli.autodiff.runtime import keras, tf

L = keras.layers
SHAPE = (6, 6, 2)
CLASSES = 4


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def seeded(model, seed=7):
    """Give every weight a value that depends on its place alone."""
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(0, 0.5, w.shape).astype(w.dtype) for w in model.get_weights()])
    return model


def _features(x):
    x = L.Conv2D(3, 3, activation="tanh")(x)
    return L.Flatten()(x)


def _functional(end):
    x = keras.Input(SHAPE, name="picture")
    return keras.Model(x, end(_features(x)))


def _sequential(*last):
    return keras.Sequential([keras.Input(SHAPE), L.Conv2D(3, 3, activation="tanh"), L.Flatten(), *last])


class Subclassed(keras.Model):
    def __init__(self, activation):
        super().__init__()
        self.convolution = L.Conv2D(3, 3, activation="tanh")
        self.flatten = L.Flatten()
        self.head = L.Dense(CLASSES, activation=activation)

    def call(self, x, training=None):
        return self.head(self.flatten(self.convolution(x)))


def _subclassed(activation):
    model = Subclassed(activation)
    model(np.zeros((1, *SHAPE), np.float32))
    return model


def _nested(activation):
    inner = _functional(L.Dense(CLASSES, activation=activation))
    x = keras.Input(SHAPE)
    return keras.Model(x, inner(L.Rescaling(0.5)(x)))


def _deeply_nested(activation):
    inner = _nested(activation)
    return keras.Sequential([keras.Input(SHAPE), keras.Sequential([keras.Input(SHAPE), inner])])


HEADS = {
    "dense softmax": lambda: _functional(L.Dense(CLASSES, activation="softmax")),
    "softmax layer": lambda: _functional(lambda h: L.Softmax()(L.Dense(CLASSES)(h))),
    "activation layer": lambda: _functional(lambda h: L.Activation("softmax")(L.Dense(CLASSES)(h))),
    "softmax operation": lambda: _functional(lambda h: keras.ops.softmax(L.Dense(CLASSES)(h))),
    "log softmax": lambda: _functional(lambda h: keras.ops.log_softmax(L.Dense(CLASSES)(h))),
    "reshaped softmax": lambda: _functional(lambda h: L.Reshape((CLASSES,))(L.Dense(CLASSES, "softmax")(h))),
    "sequential": lambda: _sequential(L.Dense(CLASSES, activation="softmax")),
    "sequential softmax layer": lambda: _sequential(L.Dense(CLASSES), L.Softmax()),
    "subclassed": lambda: _subclassed("softmax"),
    "nested": lambda: _nested("softmax"),
    "deeply nested": lambda: _deeply_nested("softmax"),
}
_TWINS = {
    "subclassed": lambda: _subclassed(None),
    "nested": lambda: _nested(None),
    "deeply nested": lambda: _deeply_nested(None),
}


@cache
def headed(kind):
    """A softmax classifier of 6×6×2 pictures, and its twin that gives the logits."""
    model = seeded(HEADS[kind]())
    twin = _TWINS.get(kind, lambda: _functional(L.Dense(CLASSES)))()
    twin.set_weights(model.get_weights())
    return model, twin


@cache
def table(units=3, activation=None, hidden="tanh", features=5, dtype=None):
    """A dense model of a row of features, and its twin without the last activation."""

    def build(last):
        x = keras.Input((features,), dtype=dtype)
        return keras.Model(x, L.Dense(units, last, dtype=dtype)(L.Dense(6, hidden, dtype=dtype)(x)))

    model, twin = seeded(build(activation)), build(None)
    twin.set_weights(model.get_weights())
    return model, twin


@cache
def two_by_two():
    """Two inputs, two outputs, a layer shared between the inputs: logits of both outputs from the twin."""

    def build(softmax, sigmoid):
        a, b = keras.Input((5,), name="left"), keras.Input((5,), name="right")
        shared = L.Dense(4, "tanh", name="shared")
        joined = L.Concatenate()([shared(a), shared(b), L.Multiply()([a, b])])
        first = L.Dense(3, softmax, name="kind")(joined)
        return keras.Model([a, b], [first, L.Dense(1, sigmoid, name="alarm")(joined)])

    model, twin = seeded(build("softmax", "sigmoid")), build(None, None)
    twin.set_weights(model.get_weights())
    return model, twin


@cache
def dictionaries():
    """Dictionaries in and out."""

    def build(activation):
        a, b = keras.Input((3,), name="a"), keras.Input((2,), name="b")
        hidden = L.Dense(4, "tanh")(L.Concatenate()([a, b]))
        return keras.Model({"a": a, "b": b}, {"u": L.Dense(3, activation)(hidden), "v": L.Dense(2)(hidden)})

    model, twin = seeded(build("softmax")), build(None)
    twin.set_weights(model.get_weights())
    return model, twin


@cache
def with_tokens():
    """A float input beside an integer one."""
    x, tokens = keras.Input((4,), name="x"), keras.Input((3,), dtype="int32", name="tokens")
    words = L.Flatten()(L.Embedding(10, 2)(tokens))
    return seeded(keras.Model([x, tokens], L.Dense(3)(L.Dense(5, "tanh")(L.Concatenate()([x, words])))))


@cache
def dense_output(activation=None, channels_last=(None, None, 2)):
    """A class for every place of a picture of any size."""
    x = keras.Input(channels_last)
    hidden = L.Conv2D(3, 3, padding="same", activation="tanh")(x)
    return seeded(keras.Model(x, L.Conv2D(CLASSES, 1, activation=activation)(hidden)))


@cache
def any_size():
    """A classifier of pictures of any size."""
    x = keras.Input((None, None, 3))
    hidden = L.Conv2D(3, 3, padding="same", activation="tanh")(x)
    return seeded(keras.Model(x, L.Dense(CLASSES, "softmax")(L.GlobalAveragePooling2D()(hidden))))


@keras.saving.register_keras_serializable("tests")
class Noisy(L.Layer):
    """Random in inference too."""

    def __init__(self, **options):
        super().__init__(**options)
        self.seeds = keras.random.SeedGenerator(3)

    def call(self, x):
        return x + keras.random.normal(keras.ops.shape(x), seed=self.seeds)


@cache
def noisy():
    x = keras.Input((5,))
    return seeded_but_seeds(keras.Model(x, L.Dense(2, "softmax")(Noisy(name="noisy")(x))))


def seeded_but_seeds(model):
    model.layers[-1].set_weights([drawn(5, 2), drawn(2)])
    return model


def relative(found, expected):
    """The largest difference as a share of the largest value."""
    expected = np.asarray(expected, np.float64)
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def taped(model, x, score):
    """The gradient a hand-written tape gives: of `score(model(x))`, for every input."""
    tensors = tf.nest.map_structure(tf.constant, x)
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = score(model(tensors, training=False))
    return tf.nest.map_structure(lambda t: t.numpy(), tape.gradient(value, tensors))
