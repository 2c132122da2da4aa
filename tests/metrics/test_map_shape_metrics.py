"""The shape of a map in closed form, on maps whose numbers can be counted by hand."""

import numpy as np
import pytest
from numpy_classes import drive, subject_of

from saliency_cli.metrics.mass90 import Mass90

ZERO, BROKEN = "the map is zero everywhere", "the map is not finite"


def of(plane, values=None):
    plane = np.asarray(plane, np.float64)
    values = plane.astype(np.float32) if values is None else values
    return subject_of(np.zeros(values.shape, np.float32), values, plane)


def value(name, plane):
    found = drive(name, of(plane), None)
    assert found.note == ""
    return found.value


@pytest.mark.parametrize(
    ("plane", "expected"),
    [
        ([[1, 1], [1, 1]], 1.0),
        ([[0, 0], [7, 0]], 0.0),
        ([1, 1, 0, 0], 0.5),
        ([1, 3], (0.25 * np.log2(4) + 0.75 * np.log2(4 / 3))),
        ([1e-30, 3e-30], (0.25 * np.log2(4) + 0.75 * np.log2(4 / 3))),
    ],
)
def test_entropy(plane, expected):
    assert value("entropy", plane) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("plane", "share", "expected"),
    [
        (np.ones(10), 0.9, 0.9),
        (np.ones((100, 100)), 0.9, 0.9),
        ([0, 0, 5, 0], 0.9, 0.25),
        ([90, 5, 5, 0], 0.9, 0.25),
        ([89, 6, 5, 0], 0.9, 0.5),
        ([1, 2, 3, 4], 0.7, 0.5),
        ([1, 2, 3, 4], 1.0, 1.0),
        ([0, 2, 3, 4], 1.0, 0.75),
        (np.full(30, 0.3), 0.9, 0.9),
        (np.full(10, 0.7), 0.5, 0.5),
    ],
)
def test_mass90(plane, share, expected):
    assert drive(Mass90(share), of(plane), None) == (pytest.approx(expected, abs=1e-12), "")


@pytest.mark.parametrize(
    ("plane", "expected"),
    [([1, 1, 1, 1], 0.0), ([0, 0, 0, 9], 0.75), ([1, 2, 3], 2 / 9), ([[1e-30, 0], [0, 0]], 0.75)],
)
def test_gini(plane, expected):
    assert value("gini", plane) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", ["entropy", "mass90", "gini"])
def test_order_and_scale_are_no_matter(name):
    plane = np.random.default_rng(0).gamma(0.3, size=(9, 8))
    mixed = np.random.default_rng(1).permutation(plane.ravel()).reshape(8, 9)
    assert value(name, 1e-20 * mixed) == pytest.approx(value(name, plane), rel=1e-9)


@pytest.mark.parametrize("name", ["entropy", "mass90", "gini"])
@pytest.mark.parametrize(("content", "note"), [(0.0, ZERO), (np.nan, BROKEN), (np.inf, BROKEN)])
def test_no_value_for_a_map_that_says_nothing(name, content, note):
    plane = np.zeros((3, 3))
    plane[1, 1] = content
    found = drive(name, of(plane), None)
    assert np.isnan(found.value)
    assert found.note == note


def test_the_entropy_of_one_place():
    found = drive("entropy", of([3.0]), None)
    assert np.isnan(found.value)
    assert found.note == "the map has one place"


def test_concentration_is_ordered():
    planes = [np.ones(50), np.arange(50.0), np.arange(50.0) ** 4]
    assert value("entropy", planes[0]) > value("entropy", planes[1]) > value("entropy", planes[2])
    assert value("mass90", planes[0]) > value("mass90", planes[1]) > value("mass90", planes[2])
    assert value("gini", planes[0]) < value("gini", planes[1]) < value("gini", planes[2])


@pytest.mark.parametrize(
    ("values", "finite", "nonzero"),
    [
        ([0, 0, 0, 0], 1.0, 0.0),
        ([0, -1e-30, 0, 0], 1.0, 1.0),
        ([np.nan, 0, 0, 0], 0.75, 0.0),
        ([np.inf, -np.inf, 1, 0], 0.5, 1.0),
    ],
)
def test_finite_and_nonzero_look_at_the_values_before_folding(values, finite, nonzero):
    values = np.asarray(values, np.float32)
    subject = of(np.ones(2), values)
    assert drive("finite", subject, None) == (finite, "")
    assert drive("nonzero", subject, None) == (nonzero, "")


def test_finite_and_nonzero_look_at_every_input():
    x = {"a": np.zeros(3, np.float32), "b": np.zeros(1, np.float32)}
    subject = subject_of(x, {"a": np.zeros(3, np.float32), "b": np.float32([np.inf])})
    assert drive("finite", subject, None).value == 0.75
    assert drive("nonzero", subject, None).value == 1.0
