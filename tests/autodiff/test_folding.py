"""Batch normalisation folded into what comes before it: the same function, and only where it may be."""

import keras
import numpy as np
import pytest

from saliency_cli.autodiff.compiled import Compiled
from saliency_cli.autodiff.walks import ancestors
from saliency_cli.differentiable import GRADIENT, VALUES, Trace
from saliency_cli.models.keras3.live import wrap

L = keras.layers


def settled(model, seed=0):
    """Give every weight and statistic a value of its own, and return the model."""
    random = np.random.default_rng(seed)
    for layer in model._flatten_layers():
        if isinstance(layer, L.BatchNormalization):
            size = layer.moving_mean.shape
            layer.moving_mean.assign(random.normal(0, 0.3, size))
            layer.moving_variance.assign(random.uniform(0.5, 2, size))
            for weight in (layer.gamma, layer.beta):
                if weight is not None:
                    weight.assign(random.uniform(0.5, 2, size))
        elif getattr(layer, "bias", None) is not None:
            layer.bias.assign(random.normal(0, 0.5, layer.bias.shape))
    return model


def sequence(shape, *layers):
    keras.utils.set_random_seed(1)
    return settled(keras.Sequential([L.Input(shape), *layers, L.Flatten(), L.Dense(3)]))


def answer(model, fold, trace=GRADIENT, batch=2, fixed=True):
    """Return (values, gradient, names of the folded layers) of a model at two points drawn from a seed."""
    opened = wrap(model, fixed=fixed)
    compiled = Compiled(opened, opened.outputs[0].name, batch=batch, fold=fold)
    spec = opened.inputs[0]
    x = np.random.default_rng(5).normal(size=(batch, *spec.shape)).astype(spec.dtype)
    weights = np.tile(np.float32([1.0, -2.0, 0.5]), (batch, 1))
    given = weights, np.zeros(batch, bool), np.zeros(batch, np.float32)
    found = compiled({spec.name: x}, *given, trace)
    return found, compiled.facts.folded


def assert_same(model, folded_layers):
    plain, none = answer(model, False)
    quick, names = answer(model, True)
    assert none == ()
    assert names == folded_layers
    name = next(iter(plain.gradients))
    scale = np.abs(plain.gradients[name]).max()
    np.testing.assert_allclose(quick.gradients[name], plain.gradients[name], rtol=0, atol=2e-5 * scale)
    np.testing.assert_allclose(quick.logits, plain.logits, rtol=2e-5, atol=2e-5 * np.abs(plain.logits).max())


FOLDED = {
    "conv": ((9, 9, 3), [L.Conv2D(4, 3, name="c"), L.BatchNormalization(name="n"), L.Activation("tanh")]),
    "no-bias": ((9, 9, 3), [L.Conv2D(4, 3, use_bias=False), L.BatchNormalization(name="n")]),
    "strided-same": ((9, 9, 3), [L.Conv2D(4, 3, strides=2, padding="same"), L.BatchNormalization(name="n")]),
    "depthwise": ((9, 9, 3), [L.DepthwiseConv2D(3, depth_multiplier=2), L.BatchNormalization(name="n")]),
    "dense": ((5,), [L.Dense(7), L.BatchNormalization(name="n"), L.Activation("tanh")]),
    "conv3d": ((5, 5, 5, 2), [L.Conv3D(4, 3), L.BatchNormalization(name="n")]),
    "separable": ((9, 9, 3), [L.SeparableConv2D(4, 3), L.BatchNormalization(name="n")]),
    "no-gamma": ((5,), [L.Dense(7), L.BatchNormalization(name="n", scale=False)]),
    "no-beta": ((5,), [L.Dense(7), L.BatchNormalization(name="n", center=False)]),
    "dropout-between": ((5,), [L.Dense(7), L.Dropout(0.5), L.BatchNormalization(name="n")]),
}


@pytest.mark.parametrize("case", FOLDED)
def test_a_folded_model_is_the_same_function(case):
    shape, layers = FOLDED[case]
    assert_same(sequence(shape, *layers), ("n",))


def padded(layer, shape, pads):
    kind = L.ZeroPadding3D if len(shape) == 4 else L.ZeroPadding2D
    return sequence(shape, kind(pads), layer, L.BatchNormalization(name="n"), L.Activation("tanh"))


def kinds(model, fold):
    opened = wrap(model, fixed=True)
    graph = Compiled(opened, opened.outputs[0].name, batch=2, fold=fold).function(GRADIENT).graph
    names = set.union(*(ancestors(tensor.op) for tensor in graph.outputs))
    return {graph.get_operation_by_name(name).type for name in names}


TAKEN = {
    "depthwise, even": (L.DepthwiseConv2D(3, strides=2), (8, 10, 3), ((0, 1), (0, 1))),
    "depthwise, odd": (L.DepthwiseConv2D(3, strides=2), (9, 9, 3), ((1, 1), (1, 1))),
    "convolution, no stride": (L.Conv2D(4, 5), (8, 8, 3), ((2, 2), (2, 2))),
    "convolution, uneven": (L.Conv2D(4, (2, 3), strides=1), (8, 8, 3), ((0, 1), (1, 1))),
    "volume": (L.Conv3D(4, 3, strides=2), (6, 6, 6, 2), ((0, 1), (0, 1), (0, 1))),
}
KEPT = {
    "of ResNet": (L.Conv2D(4, 7, strides=2), (16, 16, 3), ((3, 3), (3, 3))),
    "other side": (L.DepthwiseConv2D(3, strides=2), (8, 8, 3), ((1, 0), (1, 0))),
    "too much": (L.DepthwiseConv2D(3, strides=2), (8, 8, 3), ((0, 2), (0, 1))),
    "padded twice": (L.Conv2D(4, 3, padding="same"), (8, 8, 3), ((1, 1), (1, 1))),
}


@pytest.mark.parametrize("case", TAKEN)
def test_zeros_before_a_convolution_become_its_own_padding(case):
    model = padded(*TAKEN[case])
    assert_same(model, ("n",))
    assert "Pad" in kinds(model, False)
    assert not {"Pad", "Slice"} & kinds(model, True)


@pytest.mark.parametrize("case", KEPT)
def test_zeros_that_are_not_what_it_would_pad_stay(case):
    model = padded(*KEPT[case])
    assert_same(model, ("n",))
    assert "Pad" in kinds(model, True)


LEFT = {
    "after-relu": ((9, 9, 3), [L.Conv2D(4, 3, activation="relu"), L.BatchNormalization()]),
    "first": ((9, 9, 3), [L.BatchNormalization(), L.Conv2D(4, 3)]),
    "after-pool": ((9, 9, 3), [L.Conv2D(4, 3), L.AveragePooling2D(2), L.BatchNormalization()]),
    "after-pad": ((9, 9, 3), [L.Conv2D(4, 3), L.ZeroPadding2D(), L.BatchNormalization()]),
    "dilated": ((9, 9, 3), [L.Conv2D(4, 3, dilation_rate=2), L.BatchNormalization()]),
    "transposed": ((9, 9, 3), [L.Conv2DTranspose(4, 3), L.BatchNormalization()]),
    "other-axis": ((9, 9, 3), [L.Conv2D(4, 3), L.BatchNormalization(axis=1)]),
}


@pytest.mark.parametrize("case", LEFT)
def test_what_is_no_constant_product_is_left_alone(case):
    shape, layers = LEFT[case]
    assert_same(sequence(shape, *layers), ())


def test_a_convolution_with_two_readers_keeps_the_unfolded_one_for_the_other():
    inputs = L.Input((9, 9, 3))
    x = L.Conv2D(4, 3)(inputs)
    y = L.Add()([L.BatchNormalization(name="n")(x), L.Activation("tanh")(x)])
    assert_same(settled(keras.Model(inputs, L.Dense(3)(L.Flatten()(y)))), ("n",))


def test_a_shared_pair_and_a_nested_model_are_folded_at_every_call():
    layers = [L.Dense(4), L.BatchNormalization(name="n"), L.Activation("tanh")]
    inner = settled(keras.Sequential([L.Input((4,)), *layers]))
    inputs = L.Input((4,))
    model = keras.Model(inputs, L.Dense(3)(inner(inner(inputs))))
    assert_same(model, (f"{inner.name}/n",))


def test_in_float64_nothing_but_the_last_digits_differs():
    with_policy = keras.dtype_policies.DTypePolicy("float64")
    layers = [L.Conv2D(4, 3, dtype=with_policy), L.BatchNormalization(dtype=with_policy), L.ReLU(dtype=with_policy)]
    keras.utils.set_random_seed(1)
    head = [L.Flatten(dtype=with_policy), L.Dense(3, dtype=with_policy)]
    model = settled(keras.Sequential([L.Input((9, 9, 3), dtype="float64"), *layers, *head]))
    (plain, _), (quick, names) = answer(model, False), answer(model, True)
    (name,) = plain.gradients
    assert len(names) == 1
    assert plain.gradients[name].dtype == np.float64
    scale = np.abs(plain.gradients[name]).max()
    np.testing.assert_allclose(quick.gradients[name], plain.gradients[name], rtol=0, atol=1e-12 * scale)


def test_half_precision_is_left_alone_or_computed_in_float32():
    policy = keras.dtype_policies.DTypePolicy("mixed_float16")
    model = sequence((9, 9, 3), L.Conv2D(4, 3, dtype=policy), L.BatchNormalization(name="n", dtype=policy))
    plain, _ = answer(model, False)
    quick, _ = answer(model, True)
    (name,) = plain.gradients
    np.testing.assert_allclose(quick.gradients[name], plain.gradients[name], rtol=1e-4, atol=1e-4)


def test_values_are_folded_and_layers_rules_and_cuts_see_the_model_as_it_is():
    model = sequence((9, 9, 3), L.Conv2D(4, 3, name="c"), L.BatchNormalization(name="n"), L.ReLU())
    for trace in (VALUES, Trace(layer=("c",)), Trace(rule="guided")):
        plain, quick = answer(model, False, trace)[0], answer(model, True, trace)[0]
        np.testing.assert_allclose(quick.values, plain.values, rtol=1e-4)
        for name, gradient in plain.gradients.items():
            np.testing.assert_allclose(quick.gradients[name], gradient, rtol=0, atol=1e-5 * np.abs(gradient).max())


def test_a_layer_before_a_folded_one_still_leads_to_the_target():
    opened = wrap(sequence((9, 9, 3), L.Conv2D(4, 3, name="c"), L.BatchNormalization(), L.ReLU()), fixed=True)
    compiled = Compiled(opened, opened.outputs[0].name, batch=2, fold=True)
    assert compiled.layers.facts("c").inputs == (opened.inputs[0].name,)


def test_a_model_that_somebody_else_trains_is_never_folded():
    model = sequence((5,), L.Dense(7), L.BatchNormalization(name="n"))
    assert answer(model, True, fixed=False)[1] == ()
    assert "call" not in vars(model.layers[1])


def test_a_model_of_keras_2_is_folded_too():
    from saliency_cli.models.legacy.live import wrap as wrap_legacy
    from saliency_cli.models.legacy.runtime import import_tf_keras

    old = import_tf_keras().layers
    inputs = old.Input((9, 9, 3))
    x = old.BatchNormalization(name="n", moving_mean_initializer="ones")(old.Conv2D(4, 3)(inputs))
    live = import_tf_keras().Model(inputs, old.Dense(3)(old.Flatten()(old.ReLU()(x))))
    found = []
    for fold in (False, True):
        opened = wrap_legacy(live, loss=None, notes=(), format="legacy")
        compiled = Compiled(opened, opened.outputs[0].name, batch=2, fold=fold)
        (name,) = (spec.name for spec in opened.inputs)
        points = np.random.default_rng(5).normal(size=(2, 9, 9, 3)).astype(np.float32)
        rows = np.ones((2, 3), np.float32), np.zeros(2, bool), np.zeros(2, np.float32)
        found.append(compiled({name: points}, *rows))
        assert compiled.facts.folded == (("n",) if fold else ())
    plain, quick = (each.gradients[name] for each in found)
    np.testing.assert_allclose(quick, plain, rtol=0, atol=2e-5 * np.abs(plain).max())


class RowsAdded(keras.Layer):
    """Adds a constant of each row, `(rows, 1)`: as many rows as channels."""

    def call(self, inputs):
        return inputs + np.arange(4, dtype=np.float32).reshape(4, 1, 1)


def test_a_constant_of_each_row_is_no_bias_of_the_channels():
    layers = [L.Conv2D(4, 3, use_bias=False), RowsAdded(), L.BatchNormalization(name="n"), L.Activation("tanh")]
    assert_same(sequence((6, 6, 3), *layers), ())
