"""Methods that look at layers, on Keras models: resolved by a run, and equal to what a hand-written tape gives."""

from functools import partial

import numpy as np
import pytest
from tiny_models import L, drawn, keras, seeded, table, tf, two_by_two

import saliency_cli as sal
from saliency_cli.errors import InputError, ModelError, UsageError
from saliency_cli.models.keras3.taps import layer_paths

SHAPE = (8, 8, 3)
X = drawn(*SHAPE)


def averaged(activation="relu"):
    """The model of the CAM paper: convolutions, their average, a dense unit a class."""
    x = keras.Input(SHAPE, name="picture")
    hidden = L.Conv2D(5, 3, activation=activation, name="features")(L.Conv2D(4, 3, activation="relu")(x))
    return seeded(keras.Model(x, L.Dense(3, "softmax", name="end")(L.GlobalAveragePooling2D()(hidden))))


@pytest.fixture(scope="module")
def model():
    return averaged()


def features(model, x=X):
    inner = keras.Model(model.inputs[0], model.get_layer("features").output)
    return inner(x[None]).numpy()[0].astype(np.float64)


@pytest.mark.parametrize("name", ["grad-cam", "hirescam", "xgrad-cam"])
def test_grad_cam_is_cam(model, name):
    found = sal.wrap(model).attribute(X, method=name, target=1, options={"relu": False})
    kernel, bias = model.get_layer("end").get_weights()
    cam = features(model) @ kernel[:, 1] / 16
    np.testing.assert_allclose(found.layers["features"], cam, rtol=1e-4, atol=1e-6)
    resized = tf.image.resize(cam[..., None], (8, 8))[..., 0].numpy()
    for channel in range(3):
        np.testing.assert_allclose(found.values[..., channel], resized, rtol=1e-4, atol=1e-6)
    assert cam.sum() + bias[1] == pytest.approx(found.record.target.value, rel=1e-4)


def test_the_layer_is_on_the_record(model):
    found = sal.wrap(model).attribute(X, method="grad-cam")
    assert list(found.layers) == ["features"]
    assert found.layers["features"].shape == (4, 4)
    named = sal.wrap(model).attribute(X, method="grad-cam", options={"layer": "features"})
    assert found.values.tobytes() == named.values.tobytes()


def test_ablation_and_layer_integrals_share_the_logit(model):
    wrapped = sal.wrap(model)
    kernel, _ = model.get_layer("end").get_weights()
    activation = features(model)
    ablated = wrapped.attribute(X, method="ablation-cam", target=2, options={"relu": False})
    falls = kernel[:, 2] * activation.mean((0, 1))
    np.testing.assert_allclose(ablated.layers["features"], activation @ falls, rtol=1e-3, atol=1e-5)
    for name in ("layer-integrated-gradients", "conductance"):
        found = wrapped.attribute(X, method=name, target=2, options={"points": 60, "baseline": "zero"})
        assert abs(found.record.details["relative_gap"]) < 1e-3
        if name.startswith("layer"):
            expected = (activation - features(model, 0 * X)) * kernel[:, 2] / 16
            np.testing.assert_allclose(found.layers["features"], expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("points", [10, 40, 160])
def test_conductance_closes_its_gap(points):
    found = sal.wrap(averaged("tanh")).attribute(
        X, method="conductance", target=0, options={"points": points, "baseline": "zero"}
    )
    assert abs(found.record.details["completeness_gap"]) < 30 / points**2


def nested_picture():
    inner = keras.Sequential(
        [keras.Input(SHAPE), L.Conv2D(4, 3, name="first"), L.BatchNormalization(), L.ReLU(name="on")]
    )
    x = keras.Input(SHAPE)
    y = L.Dense(3)(L.Flatten()(L.MaxPooling2D()(inner(L.Rescaling(0.5, -0.1)(x)))))
    return seeded_positive(keras.Model(x, y))


def seeded_positive(model):
    rng = np.random.default_rng(3)
    model.set_weights([rng.normal(0, 0.5, w.shape) ** (2 if "variance" in v.path else 1)
                       for w, v in zip(model.get_weights(), model.weights, strict=True)])  # fmt: skip
    return model


def test_nested_layers_are_found_and_named():
    model = nested_picture()
    wrapped = sal.wrap(model)
    found = wrapped.attribute(X, method="layercam", target=1)
    (path,) = found.layers
    assert path.endswith("/on")
    layers = {layer.name: layer for layer in layer_paths(model).values()}
    with tf.GradientTape() as tape:
        hidden = tf.constant(X[None]) * 0.5 - 0.1
        for layer in next(layer for layer in layers.values() if isinstance(layer, keras.Sequential)).layers:
            hidden = layer(hidden)
        tape.watch(hidden)
        rest = hidden
        for layer in model.layers[3:]:
            rest = layer(rest)
        score = rest[0, 1]
    gradient = tape.gradient(score, hidden).numpy()[0]
    expected = np.maximum((np.maximum(gradient, 0) * hidden.numpy()[0]).sum(-1), 0)
    np.testing.assert_allclose(found.layers[path], expected, rtol=1e-4, atol=1e-6)
    with pytest.raises(UsageError, match="no layer 'sequential/onn'") as refused:
        wrapped.attribute(X, method="layercam", options={"layer": "sequential/onn"})
    assert "did you mean" in refused.value.hint or "lists them" in refused.value.hint


def test_smoothgrad_of_a_cam_finds_its_layer(model):
    found = sal.wrap(model).attribute(
        X, method="smoothgrad", options={"of": "grad-cam:relu=false", "draws": 3, "noise": 0.0}
    )
    plain = sal.wrap(model).attribute(X, method="grad-cam", options={"relu": False})
    np.testing.assert_allclose(found.values, plain.values, rtol=1e-5, atol=1e-7)


def test_score_cam_runs(model):
    found = sal.wrap(model).attribute(X, method="score-cam", target=1)
    assert found.record.details["channels"] <= 5
    assert found.values.min() >= 0


CURVES = ("relu", "tanh", "gelu", "elu", "relu6", "softplus", "leaky_relu", "sigmoid", "silu")


def through(*layers):
    x = y = keras.Input(SHAPE)
    for layer in layers:
        y = layer(y)
    return seeded(keras.Model(x, L.Dense(3)(L.GlobalAveragePooling2D()(y))))


ADDING = {
    "layer norm": lambda: through(
        L.Conv2D(4, 3), L.LayerNormalization(epsilon=0.5), L.Conv2D(4, 3, activation="silu")
    ),
    "transposed": lambda: through(L.Conv2D(4, 3), L.Conv2DTranspose(4, 3, strides=2, activation="relu")),
    "groups": lambda: through(L.Conv2D(4, 3), L.Conv2D(6, 3, groups=2, activation="tanh")),
}


@pytest.mark.parametrize("build", [nested_picture, *(partial(averaged, curve) for curve in CURVES), *ADDING.values()])
@pytest.mark.parametrize("form", ["paper", "signed"])
def test_fullgrad_adds_up(build, form):
    model = build()
    found = sal.wrap(model).attribute(X * 3, method="fullgrad", target=1, options={"form": form})
    details = found.record.details
    assert abs(details["completeness_gap"]) < 1e-4 * (abs(details["input"]) + abs(details["biases"]))
    if form == "signed":
        # Enlarging bilinearly keeps a sum but for what its borders repeat.
        expected = found.record.target.value - details["placeless"]
        assert found.values.sum() == pytest.approx(expected, abs=0.35 * abs(expected) + 0.5)


def test_fullgrad_of_one_convolution():
    """s = Σ w·(k∗x + b): the bias is b times what lies behind it."""
    x = keras.Input((4, 4, 1))
    model = seeded(keras.Model(x, L.Dense(1)(L.Flatten()(L.Conv2D(2, 1, name="one")(x)))))
    found = sal.wrap(model).attribute(drawn(4, 4, 1), method="fullgrad", target=0, options={"form": "signed"})
    (kernel, bias), (dense, end) = (layer.get_weights() for layer in model.layers if layer.get_weights())
    ahead = dense.reshape(4, 4, 2)
    expected = drawn(4, 4) * (ahead @ kernel[0, 0, 0]) + ahead @ bias
    np.testing.assert_allclose(found.values[..., 0], expected, rtol=1e-4, atol=1e-6)
    assert found.record.details["placeless"] == pytest.approx(float(end[0]), rel=1e-5)


def test_fullgrad_of_a_sum_of_rows():
    """Where the batch is 1, Keras adds a row by BiasAdd: then the bias depends on the input as well."""
    x = keras.Input((5, 3))
    model = seeded(keras.Model(x, L.Dense(3)(L.LSTM(4, unroll=True)(x))))
    for batch_size in (1, 8):
        found = sal.wrap(model).attribute(drawn(5, 3), method="fullgrad", target=2, batch_size=batch_size)
        assert abs(found.record.details["completeness_gap"]) < 1e-6


@pytest.mark.parametrize("channels", [1, 2])
def test_fullgrad_of_a_volume(channels):
    """Its channels are told by the maps: of one convolution, s = Σ w·(k∗x + b)."""
    x = keras.Input((4, 4, 4, channels))
    model = seeded(keras.Model(x, L.Dense(1)(L.Flatten()(L.Conv3D(2, 1)(x)))))
    given = drawn(4, 4, 4, channels)
    found = sal.wrap(model).attribute(given, method="fullgrad", target=0, options={"form": "signed"})
    (kernel, bias), (dense, _) = (layer.get_weights() for layer in model.layers if layer.get_weights())
    ahead = dense.reshape(4, 4, 4, 2)
    expected = (given * (ahead @ kernel[0, 0, 0].T)).sum(-1) + ahead @ bias
    np.testing.assert_allclose(found.values.sum(-1), expected, rtol=1e-4, atol=1e-5)


class TwoResults(L.Layer):
    def call(self, x):
        @tf.custom_gradient
        def both(y):
            return (y, y + 1), lambda a, b: a + b

        return both(x)[1]


def test_fullgrad_refuses_what_it_cannot_tell():
    with pytest.raises(InputError, match="with a gradient of its own"):
        sal.wrap(through(L.Conv2D(4, 3), TwoResults())).attribute(X, method="fullgrad")
    x = keras.Input((6, 2))
    loop = seeded(keras.Model(x, L.Dense(2)(L.GRU(3)(x))))
    with pytest.raises(ModelError, match="what the operation"):
        sal.wrap(loop).attribute(drawn(6, 2), method="fullgrad")
    with pytest.raises(ModelError, match="a loss is no sum"):
        sal.wrap(averaged()).attribute(X, method="fullgrad", loss="sparse_categorical_crossentropy", label=1)


def test_models_without_places_are_refused():
    with pytest.raises(ModelError, match="has places left") as refused:
        sal.wrap(table(3)[0]).attribute(drawn(5), method="grad-cam")
    assert refused.value.reason == "no-layer"
    model = table(3)[0]
    with pytest.raises(InputError, match="has no places, only channels"):
        sal.wrap(model).attribute(drawn(5), method="grad-cam", options={"layer": model.layers[1].name})


def test_tokens_of_a_transformer_are_refused_with_the_reason():
    x = keras.Input(SHAPE)
    tokens = L.Reshape((16, 4))(L.Conv2D(4, 2, 2, name="patches")(x))
    mixed = L.MultiHeadAttention(1, 4, name="attention")(tokens, tokens)
    wrapped = sal.wrap(seeded(keras.Model(x, L.Dense(2)(L.GlobalAveragePooling1D()(mixed)))))
    with pytest.raises(ModelError, match="mixes places before the target") as refused:
        wrapped.attribute(X, method="grad-cam")
    assert refused.value.reason == "attention"
    assert wrapped.attribute(X, method="hirescam", options={"layer": "patches"}).layers["patches"].shape == (4, 4)
    with pytest.raises(InputError, match="has 16 places, and can't be laid over"):
        wrapped.attribute(X, method="hirescam", options={"layer": "attention"})


def test_outputs_with_places_and_layers_side_by_side():
    x = keras.Input(SHAPE)
    dense = seeded(keras.Model(x, L.Conv2D(2, 1)(L.Conv2D(4, 3, name="middle")(x))))
    with pytest.raises(ModelError, match="has places itself"):
        sal.wrap(dense).attribute(X, method="grad-cam")
    assert sal.wrap(dense).attribute(X, method="grad-cam", options={"layer": "middle"}).layers["middle"].shape == (
        6,
        6,
    )
    sides = [L.GlobalAveragePooling2D()(L.Conv2D(2, size, name=f"side{size}")(x)) for size in (3, 5)]
    both = sal.wrap(seeded(keras.Model(x, L.Dense(2)(L.Concatenate()(sides)))))
    with pytest.raises(ModelError, match="lead to the target side by side") as refused:
        both.attribute(X, method="grad-cam")
    assert "--layer" in refused.value.hint
    found = both.attribute(X, method="hirescam", options={"layer": "side3+side5"})
    assert {path: plane.shape for path, plane in found.layers.items()} == {"side3": (6, 6), "side5": (4, 4)}


def test_a_shared_layer_is_refused_until_a_call_is_named():
    model, _ = two_by_two()
    inputs = {"left": drawn(5), "right": drawn(5, seed=1)}
    with pytest.raises(UsageError, match="is called 2 times"):
        sal.wrap(model).attribute(inputs, method="neuron-gradient", options={"layer": "shared"}, output_name="kind")
    options = {"layer": "shared#2", "neuron": "1"}
    found = sal.wrap(model).attribute(inputs, method="neuron-gradient", options=options, output_name="kind")
    assert not np.any(found.inputs["left"])
    kernel, bias = model.get_layer("shared").get_weights()
    slope = 1 - np.tanh(inputs["right"] @ kernel + bias)[1] ** 2
    np.testing.assert_allclose(found.inputs["right"], slope * kernel[:, 1], rtol=1e-4)


def test_an_input_a_layer_does_not_depend_on_gets_no_map():
    picture, numbers = keras.Input(SHAPE, name="picture"), keras.Input((4,), name="numbers")
    seen = L.GlobalAveragePooling2D()(L.Conv2D(4, 3, activation="relu", name="seen")(picture))
    model = seeded(keras.Model([picture, numbers], L.Dense(3)(L.Concatenate()([seen, numbers]))))
    x = {"picture": X, "numbers": drawn(4)}
    found = sal.wrap(model).attribute(x, method="grad-cam", metrics=("gini", "infidelity"))
    assert list(found.inputs) == ["picture"]
    assert found.metrics["infidelity"] is None
    assert "tells nothing of the input 'numbers'" in found.record.notes["infidelity"]


def test_metrics_run_a_cam_again(model):
    metrics = ("model-randomisation", "max-sensitivity:draws=2")
    found = sal.wrap(model).attribute(X, method="grad-cam", metrics=metrics, valid_range=(-3, 3))
    assert all(value is not None for value in found.metrics.values())
