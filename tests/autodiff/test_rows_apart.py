"""A model that mixes the rows of a batch is refused where a batch has several, and asked row by row."""

import numpy as np
import pytest
from asking import ask, compiled, one
from tiny_models import L, drawn, keras, seeded, tf

import saliency_cli as sal
from saliency_cli.errors import ModelError

SHAPE = (4, 4, 2)
X = drawn(*SHAPE)


class Own(L.Layer):
    """A layer that is a plain function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, inputs):
        return self.function(inputs)


def times_itself(rows):
    return tf.matmul(tf.matmul(rows, rows, transpose_b=True), rows)


MIXING = {
    "the largest of all": lambda x: x / tf.reduce_max(tf.abs(x)),
    "the mean of the batch": lambda x: x - tf.reduce_mean(x, 0, keepdims=True),
    "all of it": tf.nn.l2_normalize,
    "the first row": lambda x: x - x[:1],
    "the last row": lambda x: x - x[-1:],
    "the row before": lambda x: tf.roll(x, 1, 0),
    "a softmax over rows": lambda x: tf.nn.softmax(x, axis=0),
    "rows times rows": lambda x: tf.reshape(times_itself(tf.reshape(x, (-1, 32))), tf.shape(x)),
    "rows moved": lambda x: tf.gather(x, tf.reverse(tf.range(tf.shape(x)[0]), [0])),
}
APART = {
    "the largest of a row": lambda x: x / tf.reduce_max(tf.abs(x), [1, 2, 3], keepdims=True),
    "there and back": lambda x: tf.transpose(tf.transpose(x, [1, 0, 2, 3]) * 2, [1, 0, 2, 3]),
    "all places in a row": lambda x: tf.reshape(tf.reshape(x, (-1, 2)) * 2, tf.shape(x)),
    "each by itself": tf.image.per_image_standardization,
}


def model_of(function):
    x = keras.Input(SHAPE)
    return seeded(keras.Model(x, L.Dense(3)(L.Flatten()(L.Dense(2, "tanh")(Own(function)(x))))))


@pytest.mark.parametrize("kind", MIXING)
def test_rows_that_meet_are_told(kind):
    model = model_of(MIXING[kind])
    with pytest.raises(ModelError, match=r"mixes the rows of a batch \(at \w+ '") as caught:
        ask(compiled(model, batch=8), np.stack([X] * 8), weights=one(1, 3))
    assert caught.value.reason == "rows-meet"
    assert "--batch-size 1" in caught.value.hint


@pytest.mark.parametrize("kind", APART)
def test_rows_that_stay_apart_are_not(kind):
    model = model_of(APART[kind])
    found = ask(compiled(model, batch=8), np.stack([X] * 8), weights=one(1, 3))
    alone = ask(compiled(model, batch=1), X[None], weights=one(1, 3))
    for name, gradient in found.gradients.items():
        np.testing.assert_allclose(gradient[3], alone.gradients[name][0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("layer", [L.LSTM(3), L.TimeDistributed(L.Dense(2)), L.Bidirectional(L.GRU(2))])
def test_layers_that_turn_the_batch_round_inside_are_asked_and_pass(layer):
    x = keras.Input((5, 4))
    function = compiled(seeded(keras.Model(x, L.Dense(2)(L.Flatten()(layer(x))))), batch=8)
    assert function.facts.meeting
    ask(function, drawn(8, 5, 4), weights=one(1, 2))


def test_common_layers_are_not_even_asked():
    x = keras.Input((8, 8, 3))
    y = L.SeparableConv2D(4, 3, activation="swish")(L.BatchNormalization()(L.Rescaling(2.0)(x)))
    y = L.LayerNormalization()(L.Dense(4, "gelu")(L.MaxPooling2D()(y)))
    y = L.Reshape((9, 4))(y)
    y = L.MultiHeadAttention(2, 4)(y, y)
    model = keras.Model(x, L.Dense(2, "softmax")(L.GlobalAveragePooling1D()(y)))
    assert compiled(model, batch=8).facts.meeting == ""


def test_one_by_one_there_is_an_answer_of_the_model_s_own():
    model = model_of(MIXING["the largest of all"])
    with pytest.raises(ModelError, match="mixes the rows"):
        sal.wrap(model).attribute(X, method="smoothgrad", target=1)
    found = sal.wrap(model).attribute(X, target=1, batch_size=1)
    with tf.GradientTape() as tape:
        x = tf.constant(X[None])
        tape.watch(x)
        score = model(x)[0, 1]
    np.testing.assert_allclose(found.values, tape.gradient(score, x)[0], rtol=1e-5, atol=1e-7)


def test_numbers_of_words_are_not_doubled():
    words, shifted = keras.Input((4,), name="words"), keras.Input((4,), name="x")
    y = L.Concatenate()([L.Flatten()(L.Embedding(9, 3)(words)), shifted - tf.constant(1.0)])
    model = seeded(keras.Model([words, shifted], L.Dense(2)(Own(MIXING["the mean of the batch"])(y))))
    rows = {"words": np.full((8, 4), 8, np.float32), "x": np.full((8, 4), 3, np.float32)}
    with pytest.raises(ModelError, match="mixes the rows"):
        ask(compiled(model, batch=8), rows, weights=one(1, 2))
