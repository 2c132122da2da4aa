"""A rule gives the same of one network however it is built and whatever file it comes from."""

import numpy as np
import pytest
from rule_nets import L, by_rule, inputs, pictures, seeded

from saliency_cli.autodiff.compiled import Compiled
from saliency_cli.autodiff.rules import guided
from saliency_cli.autodiff.runtime import keras, tf
from saliency_cli.models.graphs import frozen_graph, saved_model
from saliency_cli.models.legacy import loading as legacy
from saliency_cli.models.options import OpenOptions

X = inputs((8, 8, 3), rows=2)
BEFORE = inputs((8, 8, 3), rows=2, seed=5)
RULES = {
    "guided": [],
    "guided:form=deconvnet": [],
    "deeplift": [BEFORE],
    "lrp:epsilon=0.01": [],
    "lrp:dense=epsilon,convolution=zplus,first=flat,epsilon=0.01": [],
    "lrp:dense=alpha-beta,convolution=alpha-beta": [],
    "lrp:convolution=gamma,first=zbox": [np.float32(-4), np.float32(4)],
}
PLAIN = OpenOptions()


def nested(layers, framework):
    """The same network as `pictures`, its convolutions in a model inside a model."""
    x = framework.Input((8, 8, 3))
    y = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(6, 3, padding="same")(x)))
    y = layers.MaxPooling2D()(y)
    z = layers.ReLU()(layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same")(y)))
    y = layers.Add()([y, z])
    inner = framework.Model(x, layers.Concatenate()([layers.ZeroPadding2D()(y), layers.ZeroPadding2D()(y)]))
    x = framework.Input((8, 8, 3), name="picture")
    y = layers.GlobalAveragePooling2D()(inner(x))
    return framework.Model(x, layers.Dense(4, "softmax")(layers.Dense(8, "relu")(y)))


class Subclassed(keras.Model):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def call(self, x):
        return self.inner(x)


def _saved(folder):
    model = pictures()
    model.export(folder / "saved", verbose=False)
    return saved_model.load(folder / "saved", PLAIN)


def _frozen(folder):
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    model = pictures()
    function = tf.function(lambda x: model(x, training=False)).get_concrete_function(
        tf.TensorSpec((None, 8, 8, 3), tf.float32, name="picture")
    )
    path = folder / "net.pb"
    path.write_bytes(convert_variables_to_constants_v2(function).graph.as_graph_def().SerializeToString())
    return frozen_graph.load(path, PLAIN)


def _legacy(folder):
    import tf_keras

    model = nested(tf_keras.layers, tf_keras)
    model.set_weights(pictures().get_weights())
    model.save(folder / "net.h5")
    return legacy.load(folder / "net.h5", PLAIN)


def _nested(_):
    model = nested(L, keras)
    model.set_weights(pictures().get_weights())
    return model


def _subclassed(_):
    model = Subclassed(pictures())
    model(X)
    return model


WAYS = {"nested": _nested, "subclassed": _subclassed, "saved model": _saved, "frozen graph": _frozen}
WAYS["legacy, nested"] = _legacy


@pytest.fixture(scope="module", params=WAYS)
def other(request, tmp_path_factory):
    from asking import compiled

    made = WAYS[request.param](tmp_path_factory.mktemp("model"))
    if isinstance(made, keras.Model):
        return compiled(made)
    return Compiled(made, made.outputs[0].name, batch=2)


@pytest.fixture(scope="module")
def flat():
    from asking import compiled

    return compiled(pictures())


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("rule", RULES)
def test_one_network_one_map(rule, flat, other):
    found, map_of_flat = by_rule(flat, X, rule, RULES[rule], target=1)
    again, map_of_other = by_rule(other, X, rule, RULES[rule], target=1)
    assert np.abs(map_of_flat).max() > 1e-3
    np.testing.assert_allclose(map_of_other, map_of_flat, atol=2e-6 * np.abs(map_of_flat).max())
    np.testing.assert_allclose(again.values, found.values, rtol=1e-5)
    assert again.activations["patched"][0] == found.activations["patched"][0] > 0


@pytest.mark.parametrize("rule", RULES)
def test_values_are_those_of_the_gradient(rule, flat):
    found, _ = by_rule(flat, X, rule, RULES[rule], target=1)
    plain, gradient = by_rule(flat, X, target=1)
    np.testing.assert_allclose(found.values, plain.values, rtol=1e-6)
    np.testing.assert_array_equal(found.tops, plain.tops)
    np.testing.assert_allclose(found.logits, plain.logits, rtol=1e-5, atol=1e-6)
    assert np.abs(found.gradients[flat.model.inputs[0].name] - gradient).max() > 1e-3


def test_a_graph_that_is_left_alone_has_the_plain_gradient(monkeypatch):
    """So whoever forgets to change it, fails the tests by hand."""
    from asking import compiled

    monkeypatch.setattr(guided, "_override", lambda operation, name: None)
    model = compiled(pictures())
    _, unchanged = by_rule(model, X, "guided")
    np.testing.assert_allclose(unchanged, by_rule(model, X)[1], atol=1e-6)


def test_guiding_leaves_the_gradient_of_the_same_model_as_it_was():
    from asking import compiled

    model = pictures()
    before = by_rule(compiled(model), X)[1]
    by_rule(compiled(model), X, "guided")
    np.testing.assert_array_equal(by_rule(compiled(model), X)[1], before)


def test_another_class_does_not_trace_again(flat):
    calls = []
    forward = flat.model.forward
    by_rule(flat, X, "deeplift", [BEFORE])
    object.__setattr__(flat.model, "forward", lambda *given, **more: calls.append(1) or forward(*given, **more))
    for target in (0, 1, 2):
        by_rule(flat, X, "deeplift", [0 * BEFORE], target=target)
    assert not calls


def test_two_inputs_an_integer_one_and_a_shared_layer():
    a, b = keras.Input((5,), name="left"), keras.Input((3,), dtype="int32", name="words")
    shared = L.Dense(4, "relu")
    words = L.Flatten()(L.Embedding(9, 2)(b))
    model = seeded(keras.Model([a, b], L.Dense(3)(L.Concatenate()([shared(a), shared(2 * a), words]))))
    from asking import compiled

    from saliency_cli.differentiable import Trace, against

    function = compiled(model)
    rows, before = inputs((5,), rows=2), inputs((5,), rows=2, seed=1)
    given = {"left": rows, "words": np.int32([[1, 2, 3], [4, 5, 6]]), against(0, "left"): before}
    weights = np.eye(3, dtype=np.float32)[[0, 0]]
    nothing = np.zeros(2, bool), np.zeros(2, np.float32)
    found = function(given, weights, *nothing, Trace(rule="deeplift"))
    change = found.values - found.activations["reference_value_0"]
    np.testing.assert_allclose((found.gradients["left"] * (rows - before)).sum(1), change, atol=1e-5)
    found = function(given, weights, *nothing, Trace(rule="lrp:epsilon=1e-7"))
    plain = function(given, weights, *nothing)
    np.testing.assert_allclose(found.gradients["left"], plain.gradients["left"] * rows, atol=1e-5)


def test_weights_drawn_anew_go_back_by_the_rule_too(flat):
    from saliency_cli.differentiable import Trace

    name = flat.model.inputs[0].name
    weights, nothing = np.eye(4, dtype=np.float32)[[0, 0]], (np.zeros(2, bool), np.zeros(2, np.float32))
    trace = Trace(rule="guided", randomised=(0, 1))
    drawn = flat({name: X}, weights, *nothing, trace)
    _, own = by_rule(flat, X, "guided")
    assert drawn.activations["patched"][0] == 3
    assert np.abs(drawn.gradients[name] - own).max() > 1e-3


def test_an_input_that_is_no_matter_needs_no_reference():
    """A run differentiates by connected inputs alone, so its samples bring references for those."""
    from asking import compiled

    from saliency_cli.differentiable import Trace, against

    a, b = keras.Input((5,), name="left"), keras.Input((3,), name="idle")
    model = seeded(keras.Model([a, b], L.Dense(3)(L.Dense(4, "relu")(a))))
    function = compiled(model)
    rows, before = inputs((5,), rows=2), inputs((5,), rows=2, seed=1)
    given = {"left": rows, "idle": inputs((3,), rows=2), against(0, "left"): before}
    nothing = np.zeros(2, bool), np.zeros(2, np.float32)
    found = function(given, np.eye(3, dtype=np.float32)[[0, 0]], *nothing, Trace(rule="deeplift"))
    assert list(found.gradients) == ["left"]
    change = found.values - found.activations["reference_value_0"]
    np.testing.assert_allclose((found.gradients["left"] * (rows - before)).sum(1), change, atol=1e-5)


def channels(first):
    """One network in either order of axes; its weights are the same."""
    order = {"data_format": "channels_first" if first else "channels_last"}
    x = keras.Input((3, 8, 8) if first else (8, 8, 3))
    axis = 1 if first else -1
    y = L.Conv2D(6, 3, dilation_rate=2, padding="same", **order)(x)
    y = L.ReLU()(L.BatchNormalization(axis=axis)(y))
    z = L.ReLU()(L.Conv2D(6, 3, padding="same", groups=2, **order)(y))
    y = L.BatchNormalization(axis=axis)(L.Add()([y, z]))  # of its own: behind a sum
    y = L.Conv2DTranspose(4, 2, strides=2, use_bias=False, **order)(y)
    y = L.Dense(5, "relu")(L.GlobalAveragePooling2D(**order)(y))
    return seeded(keras.Model(x, L.Dense(4, "softmax")(y)))


@pytest.mark.parametrize("rule", RULES)
def test_the_order_of_axes_is_no_matter(rule):
    last, map_of_last = by_rule(channels(first=False), X, rule, RULES[rule], target=1)
    turned = [before if before.ndim == 0 else before.transpose(0, 3, 1, 2) for before in RULES[rule]]
    first, map_of_first = by_rule(channels(first=True), X.transpose(0, 3, 1, 2), rule, turned, target=1)
    assert np.abs(map_of_last).max() > 1e-3
    expected = map_of_last.transpose(0, 3, 1, 2)
    np.testing.assert_allclose(map_of_first, expected, atol=3e-6 * np.abs(expected).max())
    np.testing.assert_allclose(first.values, last.values, rtol=1e-5)
    assert first.activations["patched"][0] == last.activations["patched"][0]


def test_a_row_with_channels_first():
    models = []
    for first in (True, False):
        order = {"data_format": "channels_first" if first else "channels_last"}
        x = keras.Input((3, 9) if first else (9, 3))
        y = L.ReLU()(L.BatchNormalization(axis=1 if first else -1)(L.Conv1D(5, 3, **order)(x)))
        models.append(seeded(keras.Model(x, L.Dense(2)(L.GlobalAveragePooling1D(**order)(y)))))
    x = inputs((3, 9))
    for rule in ("lrp:epsilon=0.01", "lrp:convolution=zplus,first=flat"):
        turned = by_rule(models[1], x.transpose(0, 2, 1), rule)[1].transpose(0, 2, 1)
        np.testing.assert_allclose(by_rule(models[0], x, rule)[1], turned, atol=3e-6 * np.abs(turned).max())
