"""Where a map is high beside where the object is: counted by hand, ties and distances included."""

import itertools

import numpy as np
import pytest
from numpy_classes import METRICS, drive, subject_of

from saliency_cli.metrics.pointing import near


def of(plane, mask):
    plane, mask = np.asarray(plane, np.float64), np.asarray(mask, bool)
    return subject_of(np.zeros(plane.shape, np.float32), plane.astype(np.float32), plane, mask=mask)


def measured(name, plane, mask, **options):
    return drive(METRICS.build(name, options), of(plane, mask), None)


PLANE = [[4, 1, 0], [2, 3, 0]]
MASK = [[1, 1, 0], [0, 0, 0]]


def test_the_mass_on_the_object():
    assert measured("mass-in-mask", PLANE, MASK) == (0.5, "")
    assert measured("mass-lift", PLANE, MASK) == (pytest.approx(1.5), "")
    assert measured("mass-in-mask", [[0, 0, 1]], [[1, 1, 0]]).value == 0
    assert measured("mass-in-mask", [[1e-44, 0, 0]], [[1, 1, 0]]).value == 1


@pytest.mark.parametrize("size", [1, 5, 30, 99])
def test_an_even_map_has_a_lift_of_one_whatever_the_object(size):
    mask = np.arange(100) < size
    assert measured("mass-lift", np.full(100, 0.3), mask).value == pytest.approx(1)
    assert measured("mass-in-mask", np.full(100, 0.3), mask).value == pytest.approx(size / 100)


def test_the_ranks_on_the_object():
    assert measured("rank-in-mask", PLANE, MASK) == (0.5, "")
    assert measured("rank-in-mask", PLANE, [[1, 0, 0], [0, 1, 0]]).value == 1
    assert measured("rank-in-mask", PLANE, [[0, 0, 1], [0, 0, 1]]).value == 0
    assert measured("rank-in-mask", np.square(PLANE), MASK).value == 0.5, "only the order counts"


def test_ranks_that_tie_count_by_the_share_that_fits():
    # Two places are wanted: 5 is in, and one of the three 2s, of which one is on the object.
    assert measured("rank-in-mask", [5, 2, 2, 2, 0], [1, 1, 0, 0, 0]).value == pytest.approx((1 + 1 / 3) / 2)
    assert measured("rank-in-mask", np.ones(10), np.arange(10) < 3).value == pytest.approx(0.3)


def test_pointing_at_the_object_and_near_it():
    plane, mask = np.zeros((40, 40)), np.zeros((40, 40), bool)
    plane[20, 20], mask[20, 35] = 1, True
    assert measured("pointing", plane, mask) == (1.0, "")
    assert measured("pointing", plane, np.roll(mask, 1, 1)) == (0.0, ""), "16 pixels are too far"
    assert measured("pointing", plane, np.roll(mask, 1, 0)) == (0.0, ""), "so is the square root of 226"
    assert measured("pointing", plane, np.roll(mask, 1, 1), tolerance=16).value == 1
    assert measured("pointing", plane, mask, tolerance=0).value == 0
    assert measured("pointing", plane, plane > 0, tolerance=0).value == 1


def test_places_that_are_highest_together_share_the_point():
    assert measured("pointing", [3, 3, 0, 3, 1], [1, 0, 0, 0, 0], tolerance=0).value == pytest.approx(1 / 3)


@pytest.mark.parametrize("shape", [(50,), (13, 17), (5, 6, 7)])
@pytest.mark.parametrize("distance", [0, 1, 1.5, 3, 4.3, 100])
def test_nearness_is_euclidean(shape, distance):
    mask = np.random.default_rng(3).random(shape) < 0.03
    mask.flat[0] = True
    on = np.argwhere(mask)
    for place in itertools.product(*(range(n) for n in shape)):
        expected = np.linalg.norm(on - place, axis=1).min() <= distance
        assert near(mask, distance)[place] == expected


@pytest.mark.parametrize("name", ["pointing", "mass-in-mask", "mass-lift", "rank-in-mask"])
def test_no_value_without_an_object_or_a_map(name):
    for plane, mask, note in [
        (PLANE, np.zeros((2, 3)), "the mask is empty"),
        (np.zeros((2, 3)), MASK, "the map is zero everywhere"),
        (np.full((2, 3), np.nan), MASK, "the map is not finite"),
    ]:
        found = measured(name, plane, mask)
        assert np.isnan(found.value)
        assert found.note == note


@pytest.mark.parametrize("name", ["pointing", "mass-in-mask", "mass-lift", "rank-in-mask"])
def test_an_object_that_fills_the_picture_has_all_of_the_map(name):
    assert measured(name, PLANE, np.ones((2, 3))) == (pytest.approx(1), "")


def test_the_bounds_of_the_lift():
    assert METRICS.build("mass-lift", {}).highest == np.inf
    assert METRICS.build("mass-in-mask", {}).highest == 1
    assert METRICS.build("mass-lift", {}).unit != METRICS.build("mass-in-mask", {}).unit
