"""What backward rules hand back adds up: relevance to the target, multipliers to its change from the reference."""

import numpy as np
import pytest
from rule_nets import L, by_rule, inputs, pictures, seeded, stacked, sums

from saliency_cli.autodiff.runtime import keras

X = inputs((8, 8, 3))
BEFORE = inputs((8, 8, 3), seed=5)

# Rules whose sums leave nothing to biases; positive parts may be missing where a target is negative.
CONSERVING = [
    "dense=epsilon,convolution=epsilon,epsilon=0",
    "dense=gamma,convolution=gamma",
    "dense=epsilon,convolution=gamma,epsilon=0,first=flat",
    "dense=gamma,convolution=gamma,first=wsquare",
    "dense=gamma,convolution=gamma,first=zbox",
]


@pytest.mark.parametrize("text", CONSERVING)
def test_relevance_is_conserved_without_biases(text):
    model = pictures(biases=False, norm=False)
    box = [np.float32(-5), np.float32(5)] if "zbox" in text else []
    found, relevance = by_rule(model, X, f"lrp:{text}", box)
    np.testing.assert_allclose(sums(relevance), found.values, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("text", ["dense=zplus,convolution=zplus", "dense=zplus,convolution=zplus,first=zbox"])
def test_positive_parts_conserve_a_positive_target(text):
    """Weights that are not negative, so that every unit has something positive to share."""
    model = pictures(biases=False, norm=False)
    model.set_weights([np.abs(array) for array in model.get_weights()])
    box = [np.float32(-5), np.float32(5)] if "zbox" in text else []
    found, relevance = by_rule(model, np.abs(X), f"lrp:{text}", box)
    np.testing.assert_allclose(sums(relevance), found.values, rtol=1e-4)
    assert relevance.min() >= 0


@pytest.mark.parametrize("kind", ["pictures", "plain", "series", "volume", "subtract", "rescaled", "recurrent"])
def test_epsilon_towards_0_is_gradient_times_input(kind):
    """Also with biases and batch norms, which keep their share; a network of ReLUs, maxima and sums."""
    models = {
        "pictures": pictures,
        "plain": lambda: pictures(biases=False, norm=False, pool=lambda: L.AveragePooling2D(2)),
        "series": lambda: stacked(
            (12, 3), L.SeparableConv1D(4, 3, activation="relu"), L.Conv1D(4, 3, dilation_rate=2, padding="causal"),
            L.BatchNormalization(), L.ReLU(), L.MaxPooling1D(), L.Flatten(), L.Dense(3),
        ),
        "volume": lambda: stacked(
            (6, 6, 6, 1), L.Conv3D(3, 3, activation="relu"), L.MaxPooling3D(), L.Flatten(), L.Dense(3)
        ),
        "subtract": subtracting,
        "rescaled": lambda: stacked((6, 6, 2), L.Rescaling(2.0, 0.3), L.Conv2D(3, 3, activation="relu"),
                                    L.BatchNormalization(), L.GlobalMaxPooling2D(), L.Dense(3)),
        "recurrent": lambda: stacked((5, 3), L.SimpleRNN(4, activation="relu", unroll=True), L.Dense(3)),
    }  # fmt: skip
    model = models[kind]()
    x = inputs(model.input_shape[1:])
    _, relevance = by_rule(model, x, "lrp:epsilon=1e-7")
    _, gradient = by_rule(model, x)
    expected = gradient * x
    np.testing.assert_allclose(relevance, expected, atol=2e-5 * np.abs(expected).max())


def subtracting():
    x = keras.Input((5,))
    return seeded(keras.Model(x, L.Dense(3)(L.Subtract()([L.Dense(4, "relu")(x), L.Dense(4, "relu")(x)]))))


def test_biases_keep_their_share():
    model = pictures()
    found, relevance = by_rule(model, X, "lrp:epsilon=1e-7")
    assert np.abs(sums(relevance) - found.values).max() > 0.1 * np.abs(found.values).max()
    _, left_out = by_rule(model, X, "lrp:dense=gamma,convolution=gamma,biases=false")
    assert np.abs(sums(left_out) - found.values).max() < np.abs(sums(relevance) - found.values).max()


CURVES = [
    "relu", "relu6", "leaky_relu", "elu", "selu", "softplus", "softsign", "sigmoid", "tanh", "gelu", "silu", "mish",
    "hard_sigmoid", "hard_silu", "celu", "hard_tanh", "tanh_shrink", "squareplus", "soft_shrink",
]  # fmt: skip


def complete(model, x, before, rule="deeplift", target=0):
    found, m = by_rule(model, x, rule, [before], target)
    change = found.values - found.activations["reference_value_0"]
    assert np.abs(change).max() > 1e-3
    np.testing.assert_allclose(sums(m * (x - before)), change, atol=1e-5 * max(1, np.abs(change).max()))
    return found, m


@pytest.mark.parametrize("activation", CURVES)
def test_multipliers_are_complete_for_every_activation(activation):
    complete(pictures(activation), X, BEFORE)


def test_approximate_gelu_is_one_activation():
    model = pictures(lambda x: keras.activations.gelu(x, approximate=True))
    found, _ = complete(model, X, BEFORE)
    assert found.activations["patched_mul"][0] == 3
    assert "patched_pow" not in found.activations


def transformer():
    x = keras.Input((8, 5))
    y = L.Dense(6)(x)
    z = L.LayerNormalization()(y)
    y = L.Add()([y, L.MultiHeadAttention(2, 4)(z, z)])
    z = L.Dense(6)(L.Dense(12, "gelu")(L.LayerNormalization()(y)))
    return seeded(keras.Model(x, L.Dense(3, "softmax")(L.GlobalAveragePooling1D()(L.Add()([y, z])))))


def gated():
    x = keras.Input((8, 8, 3))
    y = L.Conv2D(6, 3, activation="silu")(x)
    gate = L.Conv2D(6, 1, activation="sigmoid")(L.GlobalAveragePooling2D(keepdims=True)(y))
    return seeded(keras.Model(x, L.Dense(3)(L.GlobalMaxPooling2D()(L.Multiply()([y, gate])))))


def maxima():
    x = keras.Input((5,))
    ways = [L.Dense(4)(x) for _ in range(3)]
    return seeded(keras.Model(x, L.Dense(3)(L.Minimum()([L.Maximum()(ways[:2]), ways[2]]))))


COMPOSED = {
    "transformer": transformer,
    "gated": gated,
    "maxima": maxima,
    "subtract": subtracting,
    "lstm": lambda: stacked((5, 3), L.LSTM(4, unroll=True), L.Dense(3)),
    "gru": lambda: stacked((5, 3), L.GRU(4, unroll=True), L.Dense(3)),
    "group norm": lambda: stacked((6, 6, 4), L.Conv2D(4, 3), L.GroupNormalization(2), L.Flatten(), L.Dense(3)),
    "unit norm": lambda: stacked((5,), L.Dense(6, "relu"), L.UnitNormalization(), L.Dense(3)),
    "softmax": lambda: stacked((5,), L.Dense(6, "softmax"), L.Dense(3)),
    "softmax of places": lambda: stacked((4, 4, 2), L.Conv2D(2, 1), L.Softmax(axis=(1, 2)), L.Flatten(), L.Dense(3)),
    "prelu": lambda: stacked((5,), L.Dense(6), L.PReLU(), L.Dense(3)),
    "resized": lambda: stacked((6, 6, 2), L.UpSampling2D(interpolation="bilinear"), L.Conv2D(2, 3, activation="relu"),
                               L.Flatten(), L.Dense(3)),
    "transposed": lambda: stacked((4, 4, 2), L.Conv2DTranspose(3, 3, strides=2, activation="relu"), L.Flatten(),
                                  L.Dense(3)),
}  # fmt: skip


@pytest.mark.parametrize("kind", COMPOSED)
def test_multipliers_are_complete_for_what_is_composed(kind):
    model = COMPOSED[kind]()
    complete(model, inputs(model.input_shape[1:]), inputs(model.input_shape[1:], seed=5))


@pytest.mark.parametrize("space", ["probability", "log-probability"])
def test_multipliers_reach_through_the_head(space):
    from asking import compiled

    complete(compiled(pictures(), batch=3, space=space), X, BEFORE)


def test_float64_is_complete_to_its_own_precision():
    x = keras.Input((5,), dtype="float64")
    h = L.Dense(6, "gelu", dtype="float64")(x)
    model = seeded(keras.Model(x, L.Dense(3, dtype="float64")(h)))
    rows, before = (inputs((5,), seed=seed).astype(np.float64) for seed in (0, 1))
    found, m = by_rule(model, rows, "deeplift", [before])
    change = found.values - found.activations["reference_value_0"]
    np.testing.assert_allclose(sums(m * (rows - before)), change, atol=1e-13)


def test_a_sample_that_is_its_own_reference_has_the_gradient_for_multipliers():
    model = pictures("tanh")
    _, m = by_rule(model, X, "deeplift", [X])
    _, gradient = by_rule(model, X)
    kept = m != 0  # a pool without a winner hands nothing back
    np.testing.assert_allclose(m[kept], gradient[kept], atol=1e-5)
