"""Backward rules on networks small enough to be done by hand."""

import numpy as np
import pytest
from rule_nets import L, by_rule, inputs, lrp_of_two_layers, shared, stacked, two_layers

from saliency_cli.autodiff.runtime import keras

X = inputs((5,))


def parts(model):
    return [weight.astype(np.float64) for weight in model.get_weights()]


@pytest.mark.parametrize("form", ["guided", "deconvnet"])
def test_guided_and_deconvnet(form):
    model = stacked((5,), L.Dense(4, "relu"), L.Dense(4, "relu"), L.Dense(3))
    w1, b1, w2, b2, w3, _ = parts(model)
    z1 = X @ w1 + b1
    z2 = np.maximum(z1, 0) @ w2 + b2
    back = np.tile(w3[:, 1], (3, 1))
    for z, w in ((z2, w2), (z1, w1)):
        back = (np.maximum(back, 0) * (z > 0 if form == "guided" else 1)) @ w.T
    _, found = by_rule(model, X, f"guided:form={form}", target=1)
    np.testing.assert_allclose(found, back, rtol=1e-5, atol=1e-6)
    _, plain = by_rule(model, X, target=1)
    assert np.abs(found - plain).max() > 0.1 * np.abs(plain).max()


def test_guided_and_deconvnet_differ_where_a_relu_is_off():
    model = two_layers()
    both = [by_rule(model, X, f"guided:form={form}")[1] for form in ("guided", "deconvnet")]
    assert np.abs(both[0] - both[1]).max() > 1e-2


def test_relu_6_is_on_below_6_and_a_maximum_with_0_is_a_relu():
    x = keras.Input((5,))
    y = L.Concatenate()([keras.ops.maximum(L.ReLU(max_value=6.0)(3 * x), 0.0), -keras.ops.maximum(-x, 0.0)])
    model = keras.Model(x, keras.ops.sum(y, -1, keepdims=True))
    rows = np.float32([[1, 3, -1, -2, 0.5]])
    found, guided = by_rule(model, rows, "guided")
    np.testing.assert_array_equal(guided, [[3, 0, 0, 0, 3]])
    assert (found.activations["patched"], found.activations["patched_maximum"]) == (3, 2)
    _, plain = by_rule(model, rows)
    np.testing.assert_array_equal(plain, [[3, 0, 1, 1, 3]])


RULES = ["epsilon", "gamma", "zplus", "alpha-beta"]


@pytest.mark.parametrize("biases", [True, False])
@pytest.mark.parametrize("rule", RULES)
def test_relevance_of_two_layers(rule, biases):
    model = two_layers(biases=biases)
    text = f"lrp:dense={rule},epsilon=0.1,gamma=0.4,alpha=3"
    _, found = by_rule(model, X, text, target=1)
    numbers = {"epsilon": 0.1, "gamma": 0.4, "alpha": 3.0}
    expected = [lrp_of_two_layers(model, row, rule, target=1, **numbers) for row in X.astype(np.float64)]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("first", ["flat", "wsquare", "zbox", *RULES])
def test_the_first_layer_has_a_rule_of_its_own(first):
    model = two_layers(biases=False)
    low, high = np.full(5, -3.0, np.float32), np.linspace(2, 4, 5, dtype=np.float32)
    box = [low, high] if first == "zbox" else []
    _, found = by_rule(model, X, f"lrp:dense=zplus,first={first},epsilon=0", box)
    expected = [
        lrp_of_two_layers(model, row, "zplus", first, low=low.astype(float), high=high.astype(float))
        for row in X.astype(np.float64)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("rule", ["epsilon", "gamma", "zplus", "alpha-beta", "flat", "wsquare", "zbox"])
def test_a_convolution_of_one_place_is_a_dense_layer(rule):
    """With a batch norm behind it that folds into its kernel."""
    model = stacked((2, 2, 3), L.Conv2D(4, 2), L.BatchNormalization(), L.ReLU(), L.Flatten(), L.Dense(3))
    w, b, gamma, beta, mean, variance, w2, b2 = parts(model)
    scale = gamma / np.sqrt(variance + 1e-3)
    w, b = w.reshape(12, 4) * scale, (b - mean) * scale + beta
    x = inputs((2, 2, 3))
    rows = x.reshape(3, 12).astype(np.float64)
    box = [np.full((2, 2, 3), -4, np.float32), np.full((2, 2, 3), 4, np.float32)] if rule == "zbox" else []
    first, own = ("same", rule) if rule in RULES else (rule, "zplus")
    _, found = by_rule(model, x, f"lrp:dense=epsilon,convolution={own},first={first},epsilon=0.1", box)
    for row, mine in zip(rows, found, strict=True):
        h = np.maximum(row @ w + b, 0)
        relevance = shared("epsilon", h, w2, b2, np.eye(3)[0] * (h @ w2 + b2), epsilon=0.1)
        edges = {"low": np.full(12, -4.0), "high": np.full(12, 4.0)}
        expected = shared(rule, row, w, b, relevance, epsilon=0.1, **edges)
        np.testing.assert_allclose(mine.reshape(12), expected, rtol=1e-4, atol=1e-5)


def test_biases_can_be_left_out():
    model = two_layers()
    _, found = by_rule(model, X, "lrp:dense=zplus,biases=false")
    w1, b1, w2, b2 = parts(model)
    for row, mine in zip(X.astype(np.float64), found, strict=True):
        h = np.maximum(row @ w1 + b1, 0)
        relevance = shared("zplus", h, w2, 0 * b2, np.eye(3)[0] * (h @ w2 + b2))
        np.testing.assert_allclose(mine, shared("zplus", row, w1, 0 * b1, relevance), rtol=1e-4, atol=1e-6)


def test_excitation_starts_at_one():
    model = two_layers(biases=False)
    text = "lrp:dense=zplus,convolution=zplus,biases=false"
    _, relevance = by_rule(model, X, text)
    found, chance = by_rule(model, X, f"{text},start=one")
    np.testing.assert_allclose(chance * found.values[:, None], relevance, rtol=1e-4, atol=1e-6)


def test_rescale_by_hand():
    model = two_layers()
    w1, b1, w2, _ = parts(model)
    x0 = inputs((5,), seed=1)
    z, z0 = X @ w1 + b1, x0 @ w1 + b1
    slope = (np.maximum(z, 0) - np.maximum(z0, 0)) / (z - z0)
    found, m = by_rule(model, X, "deeplift", [x0], target=2)
    np.testing.assert_allclose(m, (slope * w2[:, 2]) @ w1.T, rtol=1e-4, atol=1e-6)
    expected = np.maximum(z0, 0) @ w2[:, 2] + parts(model)[3][2]
    np.testing.assert_allclose(found.activations["reference_value_0"], expected, rtol=1e-5)


def test_rescale_of_a_linear_network_is_its_gradient():
    model = stacked((5,), L.Dense(4), L.Dense(3))
    _, m = by_rule(model, X, "deeplift", [0 * X])
    np.testing.assert_allclose(m, by_rule(model, X)[1], rtol=1e-5)


def test_a_rise_goes_to_the_winner_and_a_fall_to_the_one_before():
    x = keras.Input((4,))
    model = keras.Model(x, keras.ops.max(x, -1, keepdims=True))
    rows, before = np.float32([[3, 1, 0, 3], [0, 1, 0, 0]]), np.float32([[0, 2, 0, 0], [0, 0, 4, 0]])
    found, m = by_rule(model, rows, "deeplift", [before])
    np.testing.assert_allclose(m * (rows - before), [[0.5, 0, 0, 0.5], [0, 0, -3, 0]], atol=1e-6)
    np.testing.assert_array_equal(found.activations["reference_value_0"], [2, 4])


def test_the_first_of_equal_places_wins_a_pool():
    model = stacked((2, 2, 1), L.MaxPooling2D(), L.Flatten())
    tied = np.full((1, 2, 2, 1), 2, np.float32)
    _, relevance = by_rule(model, tied, "lrp:convolution=zplus")
    np.testing.assert_array_equal(relevance.ravel(), [2, 0, 0, 0])
    _, m = by_rule(model, tied, "deeplift", [0 * tied])
    np.testing.assert_array_equal(m.ravel() * 2, [2, 0, 0, 0])


def test_a_product_is_shared_halfway():
    x = keras.Input((2,))
    model = keras.Model(x, x[:, :1] * x[:, 1:])
    rows, before = np.float32([[3, 5]]), np.float32([[1, 2]])
    _, m = by_rule(model, rows, "deeplift", [before])
    np.testing.assert_allclose(m, [[3.5, 2]])
