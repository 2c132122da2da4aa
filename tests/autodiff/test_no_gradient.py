"""Where there is no gradient, and where layers are random: named, with the operation in the way."""

import re

import numpy as np
import pytest
from asking import ask, compiled, one
from tiny_models import L, Noisy, drawn, keras, noisy, seeded, tf, with_tokens

from saliency_cli.errors import ModelError


def reason_of(model, **options):
    with pytest.raises(ModelError) as caught:
        _ = compiled(model, **options).facts
    assert caught.value.reason == "disconnected"
    assert caught.value.exit_code == 4
    assert "saliency inspect MODEL" in caught.value.hint
    return caught.value.message


def test_a_model_of_tokens_only():
    tokens = keras.Input((4,), dtype="int32", name="tokens")
    model = keras.Model(tokens, L.Dense(2)(L.Flatten()(L.Embedding(9, 3)(tokens))))
    assert "input 'tokens' is int32, and integers have no gradient" in reason_of(model)


def test_an_embedding_behind_a_float_input():
    x = keras.Input((4,), name="words")
    model = keras.Model(x, L.Dense(2)(L.Flatten()(L.Embedding(9, 3, name="lookup")(x))))
    message = reason_of(model)
    assert "input 'words' reaches the target only through a cast to int32" in message
    assert "lookup" in message


@pytest.mark.parametrize(
    ("operation", "what"),
    [
        (lambda x: keras.ops.cast(keras.ops.argmax(x, -1), "float32")[:, None], "argmax"),
        (lambda x: keras.ops.round(x), "round"),
        (lambda x: keras.ops.floor(x), "floor"),
        (lambda x: keras.ops.cast(x > 0.5, "float32"), "a comparison"),
        (lambda x: keras.ops.cast(keras.ops.cast(x, "int32"), "float32"), "a cast to int32"),
        (lambda x: keras.ops.stop_gradient(x), "stop_gradient"),
    ],
)
def test_what_stands_in_the_way_is_named(operation, what):
    x = keras.Input((4,), name="x")
    model = keras.Model(x, L.Dense(2)(operation(x)))
    assert re.search(
        rf"input 'x' reaches the target only through {what} \(.+\), which has no gradient", reason_of(model)
    )


def test_stop_gradient_after_the_softmax_is_not_looked_behind():
    x = keras.Input((4,), name="x")
    model = keras.Model(x, keras.ops.stop_gradient(L.Dense(3, "softmax")(x)))
    assert "only through stop_gradient" in reason_of(model)


def test_an_input_the_output_does_not_depend_on():
    a, b = keras.Input((3,), name="a"), keras.Input((2,), name="b")
    model = seeded(
        keras.Model([a, b], [L.Dense(2, name="of_a")(a), L.Dense(2, name="of_both")(L.Concatenate()([a, b]))])
    )
    facts = compiled(model, "of_a").facts
    assert facts.connected == ("a",)
    assert facts.disconnected == {"b": "input 'b' is not connected to the target: the output does not depend on it"}
    found = ask(compiled(model, "of_a"), {"a": drawn(2, 3), "b": drawn(2, 2)}, weights=one(0, 2))
    assert list(found.gradients) == ["a"]
    assert compiled(model, "of_both").facts.connected == ("a", "b")


def test_one_way_around_the_blocking_operation_is_enough():
    x = keras.Input((4,), name="x")
    model = seeded(keras.Model(x, L.Dense(2)(L.Concatenate()([keras.ops.round(x), x]))))
    (found,) = ask(compiled(model), drawn(2, 4), weights=one(0, 2)).gradients.values()
    np.testing.assert_allclose(found[0], model.get_weights()[0][4:, 0], rtol=1e-6)


def test_an_integer_input_beside_a_float_one_is_no_fault():
    assert compiled(with_tokens()).facts.disconnected == {}


def test_an_output_whose_number_of_classes_varies():
    x = keras.Input((None,), name="x")
    model = keras.Model(x, 2.0 * x)
    with pytest.raises(ModelError, match=r"last axis of the output .* varies") as caught:
        _ = compiled(model).facts
    assert caught.value.reason == "varying-classes"


def test_a_layer_that_is_random_in_inference_is_named():
    function = compiled(noisy())
    (name,) = function.facts.stochastic
    assert name == "noisy"
    first, second = (ask(function, drawn(2, 5), weights=one(0, 2)).values for _ in range(2))
    assert np.any(first != second)


def test_random_layers_inside_a_nested_model_and_a_loop_are_found():
    class Looped(L.Layer):
        def call(self, x):
            return tf.while_loop(lambda i, _: i < 2, lambda i, y: (i + 1, y + tf.random.normal((5,))), [0, x])[1]

    x = keras.Input((5,))
    inner = keras.Model(x, Noisy(name="noisy")(x))
    y = keras.Input((5,))
    assert compiled(keras.Model(y, inner(y))).facts.stochastic == (f"{inner.name}/noisy",)
    z = keras.Input((5,))
    assert compiled(keras.Model(z, Looped(name="looped")(z))).facts.stochastic == ("looped",)


def test_layers_that_are_random_in_training_only_are_not():
    x = keras.Input((8, 8, 3))
    h = L.RandomFlip()(L.RandomRotation(0.1)(x))
    h = L.Dropout(0.5)(L.GaussianNoise(0.3)(L.Flatten()(h)))
    model = seeded_dense(keras.Model(x, L.Dense(2)(h)))
    function = compiled(model)
    assert function.facts.stochastic == ()
    first, second = (ask(function, drawn(2, 8, 8, 3), weights=one(0, 2)).gradients for _ in range(2))
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


def seeded_dense(model):
    model.layers[-1].set_weights([drawn(*w.shape) for w in model.layers[-1].get_weights()])
    return model
