"""Convolutions in groups, which Keras hides in a call: in the open they have the same gradient, and rules."""

import numpy as np
import pytest
from asking import compiled
from rule_nets import L, by_rule, inputs, seeded, stacked

from saliency_cli.autodiff import calls
from saliency_cli.autodiff.runtime import keras, tf
from saliency_cli.differentiable import GRADIENT

X = inputs((8, 8, 4))
BEFORE = inputs((8, 8, 4), seed=5)
RULES = {
    "lrp:epsilon=1e-7": [],  # ε is a share of a whole layer's outputs, not of a group's
    "lrp:dense=epsilon,convolution=zplus,first=flat": [],
    "lrp:dense=alpha-beta,convolution=alpha-beta": [],
    "lrp:convolution=gamma,first=zbox": [np.float32(-4), np.float32(4)],
    "lrp:first=wsquare": [],
    "deeplift": [BEFORE],
    "guided": [],
}


def in_groups(shape=(8, 8, 4), kind=L.Conv2D, **options):
    more = {"padding": "same", **options}
    rank = len(shape) - 1
    pool = {1: L.GlobalAveragePooling1D, 2: L.GlobalAveragePooling2D, 3: L.GlobalAveragePooling3D}[rank]
    first = options.get("data_format", "channels_last")
    return stacked(
        shape, kind(6, 3, groups=2, **more), L.ReLU(), kind(4, 3, groups=2, **more), L.ReLU(),
        pool(data_format=first), L.Dense(3),
    )  # fmt: skip


def apart(model):
    """The same network, its groups taken apart: slices, convolutions of their own, a concatenation."""
    x = y = keras.Input(model.input_shape[1:])
    weights = []
    for layer in model.layers[1:]:
        if not isinstance(layer, L.Conv2D):
            y = type(layer).from_config(layer.get_config() | {"name": None})(y)
            weights += layer.get_weights()
            continue
        kernel, bias = layer.get_weights()
        size, filters = kernel.shape[2], kernel.shape[3] // layer.groups
        parts = []
        for group in range(layer.groups):
            part = L.Conv2D(filters, 3, padding="same")
            parts.append(part(y[..., group * size : (group + 1) * size]))
            own = slice(group * filters, (group + 1) * filters)
            weights += [kernel[..., own], bias[own]]
        y = L.Concatenate()(parts)
    twin = keras.Model(x, y)
    twin.set_weights(weights)
    return twin


def operations(function):
    return {operation.type for operation in function.function(GRADIENT).graph.get_operations()}


@pytest.mark.parametrize(
    ("shape", "kind", "options"),
    [
        ((8, 8, 4), L.Conv2D, {}),
        ((8, 8, 4), L.Conv2D, {"strides": 2}),
        ((8, 8, 4), L.Conv2D, {"dilation_rate": 2}),
        ((8, 4), L.Conv1D, {"dilation_rate": 2, "padding": "causal"}),
        ((4, 8, 8), L.Conv2D, {"data_format": "channels_first"}),
    ],
)
def test_in_the_open_the_gradient_is_the_same(shape, kind, options, monkeypatch):
    model, x = in_groups(shape, kind, **options), inputs(shape)
    function = compiled(model, batch=len(x))
    found, gradient = by_rule(function, x)
    assert not any("Call" in kind for kind in operations(function))
    monkeypatch.setattr(calls, "_tried", lambda *_: False)
    hidden = compiled(model, batch=len(x))
    expected, whole = by_rule(hidden, x)
    assert "StatefulPartitionedCall" in operations(hidden)
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradient, whole, atol=2e-6 * np.abs(whole).max())


@pytest.mark.parametrize("rule", RULES)
def test_rules_of_groups_are_those_of_their_parts(rule):
    model = in_groups()
    found, mine = by_rule(model, X, rule, RULES[rule])
    expected, others = by_rule(apart(model), X, rule, RULES[rule])
    assert np.abs(mine).max() > 1e-4
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-5)
    np.testing.assert_allclose(mine, others, atol=3e-6 * np.abs(others).max())


def test_a_volume_in_groups_still_has_a_gradient():
    """TensorFlow on a CPU has no kernel for it: it stays in its call."""
    model, x = in_groups((4, 4, 4, 4), L.Conv3D), inputs((4, 4, 4, 4))
    _, gradient = by_rule(model, x)
    tensor = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        score = tf.reduce_sum(model(tensor, training=False)[:, 0])
    np.testing.assert_allclose(gradient, tape.gradient(score, tensor), atol=1e-6)


def test_calls_of_ones_own_stay_calls():
    """They may hold Python that only AutoGraph can trace."""

    class Branching(L.Layer):
        @tf.function
        def call(self, x):
            if tf.reduce_sum(x) > 1e9:  # Python's if, of a tensor
                return x * 2
            return x

    model = stacked((8, 8, 4), L.Conv2D(4, 3, groups=2), Branching(), L.GlobalAveragePooling2D(), L.Dense(3))
    function = compiled(model, batch=len(X))
    _, gradient = by_rule(function, X)
    assert np.any(gradient)
    assert "StatefulPartitionedCall" in operations(function)


def test_functions_are_run_as_before():
    before = tf.config.functions_run_eagerly()
    with pytest.raises(ZeroDivisionError), calls.in_the_open():
        raise ZeroDivisionError
    assert tf.config.functions_run_eagerly() == before is False


def test_weights_drawn_anew_reach_a_convolution_in_groups():
    from dataclasses import replace

    model = in_groups()
    function = compiled(model, batch=len(X))
    assert function.redrawing.depth == 3
    weights = np.eye(3, dtype=np.float32)[[0, 0, 0]]
    given = {function.model.inputs[0].name: X}, weights, np.zeros(3, bool), np.zeros(3, np.float32)
    first, second = (function(*given, replace(GRADIENT, randomised=(1, depth))) for depth in (1, 3))
    assert not np.allclose(first.values, second.values)


def test_seeded_weights_reach_the_groups():
    """A twin with other weights has another gradient, so the two above don't agree by being 0."""
    other = seeded(in_groups(), seed=8)
    assert not np.allclose(by_rule(in_groups(), X)[1], by_rule(other, X)[1])
