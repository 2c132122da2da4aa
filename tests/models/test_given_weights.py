"""Other weights given to models of every format: the function is that of the live model with those weights."""

import numpy as np
import pytest
from graph_tools import drawn
from legacy_corpus import MODELS, relative, save, seeded, tf_keras

from saliency_cli.autodiff.compiled import Compiled
from saliency_cli.autodiff.runtime import keras, tf
from saliency_cli.differentiable import GRADIENT, Trace
from saliency_cli.models.graphs import frozen_graph, saved_model
from saliency_cli.models.keras3.weights import named_variables
from saliency_cli.models.legacy import loading
from saliency_cli.models.legacy.taps import layer_paths
from saliency_cli.models.options import OpenOptions
from saliency_cli.models.tfjs.loading import load as load_tfjs

L = keras.layers
PLAIN = OpenOptions()


@pytest.fixture(autouse=True)
def _fresh_names():
    tf_keras.backend.clear_session()


def evaluate(compiled, inputs, trace=GRADIENT):
    n = compiled.batch
    rows = np.tile(np.linspace(1, 2, compiled.facts.classes, dtype=np.float32), (n, 1))
    return compiled(inputs, rows, np.zeros(n, bool), np.zeros(n, np.float32), trace)


def at(depth):
    return Trace(randomised=(3, depth))


# Models that draw at random or of half precision are not the same twice; one without weights has none to draw.
LEGACY = [name for name in MODELS if name not in ("augmented", "arithmetic", "half-precision")]


@pytest.mark.parametrize("name", LEGACY)
def test_files_of_keras_2(tmp_path, name):
    live = seeded(MODELS[name]())
    opened = loading.load(save(live, tmp_path / "model.h5"), PLAIN)
    inputs = drawn(opened)
    function = Compiled(opened, opened.outputs[0].name, batch=2)
    plain, same = evaluate(function, inputs), evaluate(function, inputs, at(0))
    np.testing.assert_array_equal(plain.values, same.values)
    depth = function.redrawing.depth
    if not depth:
        assert not any(len(weight.shape) > 1 for weight in opened.weights)
        return
    found = evaluate(function, inputs, at(depth))
    variables = named_variables(live, layer_paths(live))
    for weight, value in zip(opened.weights, function.redrawing.given(3, depth), strict=True):
        variables[weight.name].variable.assign(value)
    again = loading.load(save(live, tmp_path / "again.h5"), PLAIN)
    expected = evaluate(Compiled(again, again.outputs[0].name, batch=2), inputs)
    np.testing.assert_allclose(found.values, expected.values, rtol=2e-5, atol=1e-5)
    assert relative(found.values, plain.values) > 1e-4
    for key, gradient in expected.gradients.items():
        np.testing.assert_allclose(found.gradients[key], gradient, rtol=1e-4, atol=1e-4 * np.abs(gradient).max())


def test_a_tf_keras_model_reads_its_own_variables_afterwards(tmp_path):
    live = seeded(MODELS["lstm"]())
    opened = loading.load(save(live, tmp_path / "model.h5"), PLAIN)
    function = Compiled(opened, opened.outputs[0].name, batch=2)
    inputs = drawn(opened)
    before = evaluate(function, inputs)
    evaluate(function, inputs, at(function.redrawing.depth))
    fresh = evaluate(Compiled(opened, opened.outputs[0].name, batch=2), inputs)
    np.testing.assert_array_equal(fresh.values, before.values)


def pictures():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3), name="picture"),
            L.Rescaling([0.1, 0.2, 0.3], [0.5, 0.6, 0.7]),
            L.Conv2D(4, 3, use_bias=False),
            L.BatchNormalization(),
            L.DepthwiseConv2D(3, activation="tanh"),
            L.Flatten(),
            L.Dense(3, activation="softmax"),
        ]
    )
    return filled(model)


def series():
    model = [keras.Input((5, 3), name="series"), L.Bidirectional(L.LSTM(4, return_sequences=True)), L.GRU(3)]
    return filled(keras.Sequential([*model, L.Dense(2, activation="softmax")]))


def filled(model):
    rng = np.random.default_rng(0)
    model.set_weights([np.abs(rng.normal(0.5, 0.3, w.shape)).astype(w.dtype) for w in model.get_weights()])
    return model


def check_graph(opened, live, depth, output=None):
    """A graph's constants are found among the live model's variables by value, which are then given theirs."""
    inputs = drawn(opened)
    function = Compiled(opened, output or opened.outputs[0].name, batch=2)
    assert function.redrawing.depth == depth
    plain, same = evaluate(function, inputs), evaluate(function, inputs, at(0))
    np.testing.assert_allclose(same.values, plain.values, rtol=1e-6)
    found = evaluate(function, inputs, at(depth))
    drawn_names = {name for step in function.redrawing.steps for name in step.weights}
    arrays = live.get_weights()
    left = set(range(len(arrays)))
    for weight, value in zip(opened.weights, function.redrawing.given(3, depth), strict=True):
        if weight.name in drawn_names:
            (place,) = (i for i in left if np.array_equal(arrays[i], weight.read().numpy()))
            left.remove(place)
            arrays[place] = value.numpy()
    assert not left, "every weight of the live model was drawn"
    live.set_weights(arrays)
    with tf.GradientTape() as tape:
        x = tf.constant(next(iter(inputs.values())))
        tape.watch(x)
        z = tf.math.log(live(x, training=False))
        total = tf.reduce_sum(z @ np.linspace(1, 2, z.shape[-1], dtype=np.float32)[:, None])
    # ln p differs from the logits by a number for each row, whose gradient is taken off class by class
    gradient = tape.gradient(total, x).numpy()
    rows = np.tile(np.linspace(1, 2, z.shape[-1], dtype=np.float32), (2, 1))
    flags = np.zeros(2, bool), np.zeros(2, np.float32)
    logs = Compiled(opened, function.output, batch=2, space="log-probability")
    by_graph = logs(inputs, rows, *flags, at(depth))
    (other,) = by_graph.gradients.values()
    np.testing.assert_allclose(other, gradient, rtol=1e-3, atol=1e-4 * np.abs(gradient).max())
    assert relative(found.values, plain.values) > 1e-3


@pytest.mark.parametrize(("build", "depth"), [(pictures, 3), (series, 3)])
def test_saved_models(tmp_path, build, depth):
    live = build()
    live.export(tmp_path / "model", verbose=False)
    opened = saved_model.load(tmp_path / "model", PLAIN)
    check_graph(opened, live, depth)


def test_what_pictures_are_brought_to_stays_in_a_graph(tmp_path):
    live = pictures()
    live.export(tmp_path / "model", verbose=False)
    opened = saved_model.load(tmp_path / "model", PLAIN)
    function = Compiled(opened, opened.outputs[0].name, batch=2)
    shifts = [w.name for w in opened.weights if w.shape == (1, 1, 1, 3) or w.shape == (3,)]
    values = [next(w for w in opened.weights if w.name == name).read().numpy().ravel() for name in shifts]
    drawn_names = {name for step in function.redrawing.steps for name in step.weights}
    for name, value in zip(shifts, values, strict=True):
        if np.allclose(value, [0.5, 0.6, 0.7]) or np.allclose(value, [0.1, 0.2, 0.3]):
            assert name not in drawn_names


def test_a_frozen_graph_without_scopes(tmp_path):
    rng = np.random.default_rng(2)
    w, b, v = (rng.normal(0, 0.5, shape).astype(np.float32) for shape in ((6, 40), (40,), (40, 3)))
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, (None, 6), name="x")
        tf.nn.softmax(tf.tanh(x @ tf.constant(w, name="W1") + tf.constant(b, name="b1")) @ tf.constant(v, name="W2"))
    path = tmp_path / "net.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    opened = frozen_graph.load(path, PLAIN)
    function = Compiled(opened, opened.outputs[0].name, batch=2)
    assert [set(step.weights) for step in function.redrawing.steps] == [{"W2"}, {"W1", "b1"}]
    inputs = drawn(opened)
    given = dict(zip((w.name for w in opened.weights), function.redrawing.given(3, 2), strict=True))
    found = evaluate(function, inputs, at(2))
    expected = np.tanh(inputs["x"] @ given["W1"].numpy() + given["b1"].numpy()) @ given["W2"].numpy()
    np.testing.assert_allclose(found.logits, expected, rtol=1e-4, atol=1e-5)
    assert sorted(given["b1"].numpy()) == sorted(b)
    assert not np.array_equal(given["b1"].numpy(), b)


def test_layers_models_of_tensorflow_js(tmp_path):
    from tfjs_writer import write_model

    live = filled(
        keras.Sequential(
            [keras.Input((4,)), L.Dense(5, "tanh", name="hidden"), L.Dense(3, "softmax", name="classes")]
        )
    )
    opened = load_tfjs(write_model(tmp_path, live), PLAIN)
    function = Compiled(opened, opened.outputs[0].name, batch=2)
    assert [step.layers for step in function.redrawing.steps] == [("classes",), ("hidden",)]
    inputs = drawn(opened)
    given = {w.name: v.numpy() for w, v in zip(opened.weights, function.redrawing.given(3, 2), strict=True)}
    (x,) = inputs.values()
    hidden = np.tanh(x @ given["hidden/kernel"] + given["hidden/bias"])
    found = evaluate(function, inputs, at(2))
    np.testing.assert_allclose(found.logits, hidden @ given["classes/kernel"] + given["classes/bias"], rtol=1e-4)


def test_only_some_weights_given(tmp_path):
    """What gradients by the weights will be taken of: a few names, the others as they are."""
    live = seeded(MODELS["convolution"]())
    opened = loading.load(save(live, tmp_path / "model.h5"), PLAIN)
    weight = opened.weights[0]
    inputs = {name: tf.constant(value) for name, value in drawn(opened).items()}

    @tf.function(autograph=False)
    def emit(value):
        with tf.GradientTape() as tape:
            tape.watch(value)
            total = tf.reduce_sum(next(iter(opened.forward(inputs, {weight.name: value}).outputs.values()))[..., 0])
        return total, tape.gradient(total, value)

    _, gradient = emit(weight.read())
    direction = tf.constant(np.random.default_rng(0).normal(size=weight.shape), tf.float32)
    step = 1e-2
    change = emit(weight.read() + step * direction)[0] - emit(weight.read() - step * direction)[0]
    expected = float(tf.reduce_sum(gradient * direction))
    assert float(change) / (2 * step) == pytest.approx(expected, rel=2e-2, abs=1e-4)
