"""Penalties against finite differences and closed forms; steps against their formulas."""

import numpy as np
import pytest

from saliency_cli.maximizing.penalties import squared_distance, total_variation
from saliency_cli.maximizing.steps import Adam, Plain, stepping


def slopes(function, u, gradient, count=8):
    for seed in range(count):
        direction = np.random.default_rng(seed).normal(size=u.shape)
        ahead, behind = function(u + 1e-6 * direction), function(u - 1e-6 * direction)
        yield (ahead - behind) / 2e-6, float(np.sum(gradient * direction))


@pytest.mark.parametrize(
    ("shape", "places"), [((9,), (0,)), ((6, 7, 3), (0, 1)), ((3, 5, 4), (1, 2)), ((2, 1), (0, 1))]
)
def test_the_gradient_of_total_variation(shape, places):
    u = np.random.default_rng(1).uniform(size=shape)
    for measured, told in slopes(lambda v: total_variation(v, places)[0], u, total_variation(u, places)[1]):
        assert told == pytest.approx(measured, rel=1e-5, abs=1e-9)


def test_total_variation_of_an_edge_and_of_nothing():
    edge = np.zeros((6, 8))
    edge[:, 4:] = 1
    value, _ = total_variation(edge, (0, 1))
    assert value == pytest.approx(6 / 48, rel=0.01)  # six places differ by 1 from the next
    value, gradient = total_variation(np.full((6, 8), 0.3), (0, 1))
    assert value == 0
    assert not np.any(gradient)
    # Of a corner both differences count, as the length of one arrow.
    corner = np.zeros((4, 4))
    corner[:2, :2] = 1
    expected = (2 + np.sqrt(2)) / 16
    assert total_variation(corner, (0, 1))[0] == pytest.approx(expected, rel=0.02)


def test_total_variation_does_not_depend_on_the_size():
    ramp = np.linspace(0, 1, 50)
    assert total_variation(np.tile(ramp, (4, 1)), (1,))[0] == pytest.approx(total_variation(ramp, (0,))[0])


def test_the_gradient_of_the_distance():
    u, start = np.random.default_rng(1).uniform(size=(2, 5, 4))
    for measured, told in slopes(lambda v: squared_distance(v, start)[0], u, squared_distance(u, start)[1]):
        assert told == pytest.approx(measured, rel=1e-5)
    assert squared_distance(np.full(7, 0.5), 0.0)[0] == 0.25


def test_a_plain_step_has_one_length_along_the_gradient():
    g = np.array([3.0, -4.0, 0.0, 0.0])
    np.testing.assert_allclose(Plain(0.1).step(g), 0.1 * g / 2.5)
    for scale in (1e-200, 1e-30, 1e30, 1e200):
        np.testing.assert_allclose(Plain(0.1).step(g * scale), 0.1 * g / 2.5)
    assert not np.any(Plain(0.1).step(np.zeros(3)))


def test_adam_by_hand():
    adam = Adam(0.1)
    gradients = [np.array([1.0, -1.0]), np.array([3.0, -1.0]), np.array([-2.0, 0.0])]
    mean = square = np.zeros(2)
    for t, g in enumerate(gradients, 1):
        mean, square = 0.9 * mean + 0.1 * g, 0.999 * square + 0.001 * g**2
        expected = 0.1 * (mean / (1 - 0.9**t)) / np.sqrt(square / (1 - 0.999**t))
        np.testing.assert_allclose(adam.step(g), expected, rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e-10, 1e10])
def test_adam_takes_the_same_steps_in_other_units(scale):
    one, other = Adam(0.1), Adam(0.1)
    for seed in range(5):
        g = np.random.default_rng(seed).normal(size=6)
        np.testing.assert_allclose(one.step(g), other.step(scale * g), rtol=1e-9)


def test_adam_waits_for_a_gradient():
    adam = stepping("adam", 0.1)
    assert not np.any(adam.step(np.zeros(2)))
    np.testing.assert_allclose(adam.step(np.array([5.0, -1e-3])), [0.1, -0.1], rtol=1e-3)
