"""Relevance of −z is that of a network whose last weights are turned round: the first class of a sigmoid unit."""

import numpy as np
import pytest
from rule_nets import L, by_rule, inputs, seeded, stacked

from saliency_cli.autodiff.runtime import keras

BOX = [np.float32(-4), np.float32(4)]
RULES = {
    "lrp:epsilon=0.01": [],
    "lrp:dense=gamma,convolution=gamma": [],
    "lrp:dense=zplus,convolution=zplus": [],
    "lrp:dense=zplus,convolution=zplus,biases=false,start=one": [],
    "lrp:dense=alpha-beta,convolution=alpha-beta": [],
    "lrp:dense=zplus,convolution=zplus,first=zbox": BOX,
    "deeplift": [np.float32(0)],
}


def turned_round(model, layer):
    """A copy of a model with the weights of one layer times −1."""
    other = keras.models.clone_model(model)
    other.set_weights(model.get_weights())
    last = other.layers[layer]
    last.set_weights([-array for array in last.get_weights()])
    return other


def same(rule, model, other, shape, **target):
    x = inputs(shape, rows=2)
    _, found = by_rule(model, x, rule, RULES[rule], **target)
    _, expected = by_rule(other, x, rule, RULES[rule], target=1 if target else 0)
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_the_first_class_of_a_sigmoid_unit(rule):
    one = stacked((5,), L.Dense(1, "sigmoid"))
    same(rule, one, turned_round(one, -1), (5,), target=0)
    two = stacked((5,), L.Dense(6, "relu"), L.Dense(1, "sigmoid"))
    same(rule, two, turned_round(two, -1), (5,), target=0)


@pytest.mark.parametrize("rule", RULES)
def test_a_unit_that_is_a_mean_of_a_convolution(rule):
    model = stacked((6, 6, 2), L.Conv2D(1, 3), L.GlobalAveragePooling2D(), L.Activation("sigmoid"))
    same(rule, model, turned_round(model, 1), (6, 6, 2), target=0)


@pytest.mark.parametrize("rule", RULES)
def test_what_is_taken_off_is_added_with_its_weights_turned_round(rule):
    def joined(layer, sign):
        x = keras.Input((5,))
        y = layer()([L.Dense(3)(x), L.Dense(3)(x)])
        model = seeded(keras.Model(x, L.Dense(2)(L.ReLU()(y))))
        dense = model.layers[2]
        dense.set_weights([sign * array for array in dense.get_weights()])
        return model

    same(rule, joined(L.Subtract, 1), joined(L.Add, -1), (5,))


def test_both_classes_of_a_sigmoid_unit_differ():
    model, x = stacked((5,), L.Dense(1, "sigmoid", use_bias=False)), inputs((5,), rows=1)
    rule = "lrp:dense=zplus,convolution=zplus,start=one"
    first, second = (by_rule(model, x, rule, target=target)[1][0] for target in (0, 1))
    contributions = x[0] * model.get_weights()[0][:, 0]
    np.testing.assert_array_equal(first > 0, contributions < 0)
    np.testing.assert_array_equal(second > 0, contributions > 0)


@pytest.mark.parametrize("rule", RULES)
def test_a_prelu_is_a_leaky_relu(rule):
    layers = [L.Dense(6), L.PReLU(alpha_initializer=keras.initializers.Constant(0.3)), L.Dense(3)]
    model = keras.Sequential([L.Input((5,)), *layers])
    model.set_weights(
        [a if a.shape == (6,) and np.all(a == a[0]) and a[0] else 0.5 * a + 0.1 for a in model.get_weights()]
    )
    leaky = keras.Sequential([L.Input((5,)), L.Dense(6), L.LeakyReLU(0.3), L.Dense(3)])
    leaky.set_weights([array for array in model.get_weights() if not np.all(array == np.float32(0.3))])
    same(rule, model, leaky, (5,))
