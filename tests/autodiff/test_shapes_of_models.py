"""Several inputs and outputs, dictionaries, dense outputs, other types and layouts, against a tape."""

import numpy as np
import pytest
from asking import ask, compiled, one
from tiny_models import (
    CLASSES,
    L,
    any_size,
    dense_output,
    dictionaries,
    drawn,
    keras,
    relative,
    seeded,
    table,
    taped,
    tf,
    two_by_two,
    with_tokens,
)

from saliency_cli.models.keras3.live import wrap


@pytest.mark.parametrize(("output", "position", "units"), [("kind", 0, 3), ("alarm", 1, 1)])
def test_two_inputs_two_outputs_and_a_shared_layer(output, position, units):
    model, twin = two_by_two()
    x = {"left": drawn(2, 5), "right": drawn(2, 5, seed=1)}
    function = compiled(model, output)
    found = ask(function, x, weights=one(-1, function.facts.classes))
    expected = taped(twin, [x["left"], x["right"]], lambda z: tf.reduce_sum(z[position][:, units - 1]))
    assert list(found.gradients) == ["left", "right"]
    for name, gradient in zip(x, expected, strict=True):
        assert relative(found.gradients[name], gradient) < 1e-6
    assert set(function.facts.layers) >= {"shared", output}


@pytest.mark.parametrize(("output", "units"), [("u", 3), ("v", 2)])
def test_dictionaries_in_and_out(output, units):
    model, twin = dictionaries()
    opened = wrap(model)
    assert [spec.name for spec in opened.inputs] == ["a", "b"]
    assert [spec.name for spec in opened.outputs] == ["u", "v"]
    x = {"a": drawn(2, 3), "b": drawn(2, 2)}
    found = ask(compiled(model, output), x, weights=one(1, units))
    expected = taped(twin, x, lambda z: tf.reduce_sum(z[output][:, 1]))
    for name in x:
        assert relative(found.gradients[name], expected[name]) < 1e-6


def test_an_integer_input_is_held_fixed():
    model = with_tokens()
    x, tokens = drawn(2, 4), np.int32([[1, 2, 3], [9, 0, 4]])
    function = compiled(model)
    assert function.facts.connected == ("x",)
    found = ask(function, {"x": x, "tokens": tokens}, weights=one(0, 3))
    assert list(found.gradients) == ["x"]
    expected = taped(
        lambda x, training: model([x, tf.constant(tokens)], training=False), x, lambda y: tf.reduce_sum(y[:, 0])
    )
    assert relative(found.gradients["x"], expected) < 1e-6
    other = ask(function, {"x": x, "tokens": tokens[::-1]}, weights=one(0, 3))
    assert relative(found.gradients["x"], other.gradients["x"]) > 1e-3


@pytest.mark.parametrize("activation", [None, "softmax"])
def test_a_dense_output_is_averaged_over_positions(activation):
    model, twin = dense_output(activation), dense_output()
    twin.set_weights(model.get_weights())
    x = drawn(2, 5, 4, 2)
    found = ask(compiled(model), x, weights=one(2, CLASSES))
    (gradient,) = found.gradients.values()
    assert relative(gradient, taped(twin, x, lambda z: tf.reduce_sum(tf.reduce_mean(z[..., 2], (1, 2))))) < 1e-6
    np.testing.assert_allclose(found.values, twin(x).numpy()[..., 2].mean((1, 2)), rtol=1e-5)
    np.testing.assert_allclose(found.scores, model(x).numpy().mean((1, 2)), rtol=1e-5)


def test_one_compiled_function_takes_every_size():
    function = compiled(any_size())
    twin = keras.Model(any_size().inputs, any_size().layers[-1].input)
    kernel, bias = any_size().layers[-1].get_weights()
    for size in ((7, 5), (4, 9)):
        x = drawn(2, *size, 3)
        (gradient,) = ask(function, x, weights=one(3, CLASSES)).gradients.values()
        expected = taped(twin, x, lambda h: tf.reduce_sum((h @ kernel + bias)[:, 3]))
        assert relative(gradient, expected) < 1e-6
        assert gradient.shape == x.shape


def test_a_fixed_batch_size():
    x = keras.Input(batch_shape=(3, 5))
    model = seeded(keras.Model(x, L.Dense(2, "softmax")(x)))
    assert wrap(model).batch == 3
    found = ask(compiled(model, batch=3), drawn(3, 5), weights=one(0, 2))
    (gradient,) = found.gradients.values()
    np.testing.assert_allclose(gradient, np.broadcast_to(model.get_weights()[0][:, 0], (3, 5)), rtol=1e-6)


def test_an_output_without_a_class_axis():
    x = keras.Input((5,))
    model = seeded(keras.Model(x, keras.ops.squeeze(L.Dense(1, "sigmoid")(x), -1)))
    function = compiled(model)
    assert (function.facts.head, function.facts.classes) == ("binary", 2)
    (gradient,) = ask(function, drawn(2, 5), weights=one(1, 2)).gradients.values()
    np.testing.assert_allclose(gradient, np.broadcast_to(model.get_weights()[0][:, 0], (2, 5)), rtol=1e-6)


def test_channels_first():
    """A CPU may have no kernel for it: then there is nothing to compare with."""
    x = keras.Input((2, 6, 5))
    h = L.Conv2D(3, 3, activation="tanh", data_format="channels_first")(x)
    model = seeded(keras.Model(x, L.Dense(3, "softmax")(L.Flatten(data_format="channels_first")(h))))
    opened = wrap(model)
    assert opened.inputs[0].channels == 0
    values = drawn(2, 2, 6, 5)
    last = keras.Input((6, 5, 2))
    g = L.Conv2D(3, 3, activation="tanh")(last)
    twin = keras.Model(last, L.Dense(3)(L.Flatten()(g)))
    kernel, bias, head, offset = model.get_weights()
    # Channels-first flattening orders places by channel last, as channels-last does.
    twin.set_weights([kernel, bias, head, offset])
    (gradient,) = ask(compiled(model), values, weights=one(1, 3)).gradients.values()
    turned = np.ascontiguousarray(values.transpose(0, 2, 3, 1))
    expected = taped(twin, turned, lambda z: tf.reduce_sum(z[:, 1])).transpose(0, 3, 1, 2)
    assert relative(gradient, expected) < 1e-5


def _body(policy):
    with_policy = {"dtype": policy}
    x = keras.Input((6, 6, 2))
    h = L.Conv2D(3, 3, activation="tanh", **with_policy)(x)
    h = L.BatchNormalization(**with_policy)(h)
    inner_input = keras.Input((48,), dtype=h.dtype)
    inner = keras.Model(inner_input, L.Dense(5, "tanh", **with_policy)(inner_input))
    h = inner(L.Flatten(**with_policy)(h))
    return keras.Model(x, L.Dense(3, "softmax", dtype="float32")(L.Dense(4, **with_policy)(h)))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16", "bfloat16"])
def test_half_precision_is_computed_in_float32(policy):
    model, twin = _body(policy), _body("float32")
    seeded(model)
    variances = [w for w in model.weights if w.path.endswith("moving_variance")]
    for w in variances:
        w.assign(keras.ops.abs(w) + 1)
    twin.set_weights([np.float32(w) for w in model.get_weights()])
    policies = [layer.dtype_policy.name for layer in model._flatten_layers()]
    x = drawn(2, 6, 6, 2)
    opened = wrap(model)
    assert opened.notes == ("half-precision layers are computed in float32",)
    logits = keras.Model(twin.inputs, twin.layers[-1].input)
    kernel, bias = twin.layers[-1].get_weights()
    (gradient,) = ask(compiled(model), x, weights=one(0, 3)).gradients.values()
    assert gradient.dtype == np.float32
    assert relative(gradient, taped(logits, x, lambda h: tf.reduce_sum((h @ kernel + bias)[:, 0]))) < 1e-6
    assert [layer.dtype_policy.name for layer in model._flatten_layers()] == policies


def test_dropout_and_batch_norm_are_in_inference_mode():
    x = keras.Input((5,))
    h = L.Dropout(0.9)(L.BatchNormalization()(x))
    model = keras.Model(x, L.Dense(2)(L.GaussianNoise(0.9)(h)))
    seeded_weights = [np.float32(w) for w in (drawn(5) + 2, drawn(5), drawn(5), drawn(5) ** 2 + 1)]
    kernel = drawn(5, 2)
    model.layers[1].set_weights(seeded_weights)
    model.layers[-1].set_weights([kernel, np.zeros(2, np.float32)])
    function = compiled(model)
    found = ask(function, drawn(2, 5), weights=one(0, 2))
    (gradient,) = found.gradients.values()
    gamma, _, _, variance = seeded_weights
    np.testing.assert_allclose(gradient[0], kernel[:, 0] * gamma / np.sqrt(variance + 1e-3), rtol=1e-5)
    np.testing.assert_array_equal(gradient[0], gradient[1])
    assert function.facts.stochastic == ()


@pytest.mark.parametrize("space", ["logit", "probability", "log-probability"])
def test_finite_differences_in_float64(space):
    model, _ = table(3, "softmax", dtype="float64")
    x = np.random.default_rng(0).normal(size=(2, 5))
    function = compiled(model, space=space)
    weights = np.float32([1, -0.5, 0.25])
    (gradient,) = ask(function, x, weights=weights).gradients.values()
    assert gradient.dtype == np.float64
    step = 1e-5
    for feature in range(5):
        h = step * np.eye(5)[feature]
        difference = ask(function, x + h, weights=weights).values - ask(function, x - h, weights=weights).values
        np.testing.assert_allclose(gradient[:, feature], difference / (2 * step), rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("end", ["convolution", "lstm"])
def test_finite_differences_of_other_layers(end):
    x = keras.Input((6, 2), dtype="float64")
    layers = {
        "convolution": lambda: L.GlobalMaxPooling1D(dtype="float64")(L.Conv1D(3, 3, dtype="float64")(x)),
        "lstm": lambda: L.LSTM(3, dtype="float64")(x),
    }
    model = seeded(keras.Model(x, L.Dense(2, "sigmoid", dtype="float64")(layers[end]())))
    function = compiled(model)
    values = np.random.default_rng(1).normal(size=(2, 6, 2))
    (gradient,) = ask(function, values, weights=one(1, 2)).gradients.values()
    for place in ((0, 0), (2, 1), (5, 1)):
        h = np.zeros((6, 2))
        h[place] = 1e-5
        upper, lower = (ask(function, values + s * h, weights=one(1, 2)).values for s in (1, -1))
        np.testing.assert_allclose(gradient[:, *place], (upper - lower) / 2e-5, rtol=1e-6, atol=1e-9)
