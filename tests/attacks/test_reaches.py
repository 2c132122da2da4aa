"""From what was read of a file to how far it may be moved: units, layouts, ranges and steps."""

import numpy as np
import pytest

from saliency_cli.differentiable import Sample
from saliency_cli.errors import InputError, UsageError
from saliency_cli.geometry import Geometry
from saliency_cli.preprocessing import Preparing, parse_preprocess
from saliency_cli.records import InputSpec
from saliency_cli.runs.feeding import Fed, Part
from saliency_cli.studies.perturb_ranges import ranges_of
from saliency_cli.studies.perturb_reach import ball_of

PREPARINGS = ("none", "unit", "symmetric", "imagenet-torch", "imagenet-caffe", "mean=10/20/30,std=2/4/8")
LAST, FIRST = InputSpec("x", (4, 5, 3), "float32", 2), InputSpec("x", (3, 4, 5), "float32", 0)
GREY = InputSpec("x", (4, 5), "float32")


def ball(spec, preparing="none", raw=None, *, picture=True, whole=True, **settings):
    preparing = preparing if isinstance(preparing, Preparing) else parse_preprocess(preparing)
    raw = np.random.default_rng(0).integers(0, 256, spec.shape).astype(np.float32) if raw is None else raw
    values = preparing.apply(raw, spec.channels if len(spec.shape) == 3 else None)
    geometry = Geometry.plan((4, 5), (4, 5), "stretch") if picture else None
    part = Part(values, raw, "picture", preparing, geometry=geometry, whole=whole)
    fed = Fed("a", Sample({"x": values}, ("x",), lambda _: {}), {"x": part}, {})
    ranges = ranges_of(settings.pop("valid_range", None))
    given = {"norm": "inf", "epsilon": None, "bounded": True} | settings
    return ball_of(fed, {"x": spec}, ("x",), ranges=ranges, **given)


@pytest.mark.parametrize("spec", [LAST, FIRST], ids=["last", "first"])
@pytest.mark.parametrize("preparing", PREPARINGS)
def test_a_gradient_is_brought_back_to_the_file_as_the_values_were_brought_to_the_model(spec, preparing):
    """Σ g · f(v), f the preparing, is linear in v: its slope is what differences show."""
    reach = ball(spec, preparing).reaches["x"]
    random = np.random.default_rng(1)
    gradient = random.normal(size=spec.shape)
    slope = reach.pull(gradient)
    for index in np.ndindex(spec.shape):
        step = np.zeros(spec.shape)
        step[index] = 1
        there, here = (np.float64(reach.apply(reach.start + k * step)) for k in (10, -10))
        assert slope[index] == pytest.approx((gradient * (there - here)).sum() / 20, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("preparing", PREPARINGS)
def test_the_start_is_the_sample_itself_where_it_holds_whole_steps(preparing):
    found = ball(LAST, preparing)
    np.testing.assert_array_equal(found.reaches["x"].apply(found.reaches["x"].start), found.sample.inputs["x"])


def test_a_resized_picture_starts_from_whole_steps():
    raw = np.random.default_rng(0).uniform(0, 255, LAST.shape).astype(np.float32)
    np.testing.assert_array_equal(ball(LAST, raw=raw).reaches["x"].start, np.rint(raw))


def test_the_default_epsilon_is_a_share_of_the_range():
    assert ball(LAST).reaches["x"].epsilon == 8
    assert ball(LAST, norm="2").reaches["x"].epsilon == pytest.approx(2 * np.sqrt(60))
    array = ball(GREY, raw=np.zeros((4, 5), np.float32), picture=False, whole=False, valid_range=(-1.0, 1.0))
    assert array.reaches["x"].epsilon == pytest.approx(16 / 255)
    assert (array.reaches["x"].low, array.reaches["x"].high) == (-1, 1)


def test_in_whole_steps_a_fraction_of_one_is_left_out_and_less_than_one_is_an_error():
    assert ball(LAST, epsilon=2.9).reaches["x"].epsilon == 2
    assert ball(LAST, epsilon=2.9, norm="2").reaches["x"].epsilon == 2.9
    for norm in ("inf", "2"):
        with pytest.raises(InputError, match=r"an ε of 0\.9 is less than one") as told:
            ball(LAST, epsilon=0.9, norm=norm)
        assert told.value.reason == "epsilon"


def test_a_picture_has_its_own_range_whatever_is_said_of_arrays():
    reach = ball(LAST, valid_range=(0.0, 1.0)).reaches["x"]
    assert (reach.low, reach.high) == (0, 255)


def test_bytes_of_a_picture_s_shape_have_theirs_too_so_that_another_input_can_be_given_one():
    reach = ball(LAST, picture=False, valid_range=(0.0, 10.0)).reaches["x"]
    assert (reach.low, reach.high, reach.epsilon) == (0, 255, 8)
    numbers = ball(GREY, raw=np.ones((4, 5), np.float32), picture=False, whole=False, valid_range=(0.0, 10.0))
    assert (numbers.reaches["x"].low, numbers.reaches["x"].high) == (0, 10)


def test_bytes_in_an_array_have_the_range_of_bytes_and_floats_have_none_of_their_own():
    reach = ball(LAST, picture=False).reaches["x"]
    assert (reach.low, reach.high, reach.whole) == (0, 255, True)
    with pytest.raises(InputError, match="is not known") as told:
        ball(LAST, picture=False, whole=False)
    assert told.value.reason == "no-range"
    with pytest.raises(InputError, match="not 0 to 1") as told:
        ball(LAST, picture=False, whole=False, valid_range=(0.0, 1.0))
    assert told.value.reason == "outside-range"


def test_a_range_that_names_an_input_is_taken_whatever_it_holds_but_never_beyond_bytes():
    raw = np.full(LAST.shape, 100, np.float32)
    reach = ball(LAST, raw=raw, valid_range={"x": (50, 150), "": (0, 1)}).reaches["x"]
    assert (reach.low, reach.high) == (50, 150)
    reach = ball(LAST, raw=raw, picture=False, valid_range={"x": (-10, 300.5)}).reaches["x"]
    assert (reach.low, reach.high) == (0, 255)
    with pytest.raises(InputError, match="leaves none to move") as told:
        ball(LAST, raw=raw, valid_range={"x": (0.2, 0.9)})
    assert told.value.reason == "range-of-bytes"
    floats = {"raw": np.zeros((4, 5), np.float32), "picture": False, "whole": False}
    reach = ball(GREY, **floats, valid_range={"": (0, 1), "x": (-3, 5)}).reaches["x"]
    assert (reach.low, reach.high) == (-3, 5)
    with pytest.raises(InputError, match="'x' may go is not known") as told:
        ball(GREY, **floats, valid_range={"y": (0, 1)})
    assert told.value.hint.startswith("--valid-range x=LOW,HIGH")


@pytest.mark.parametrize("wrong", [(1, 0), (0, 0), (1,), 3, "01", {"x": (1, 0)}, {"x": None}, {"x": ("a", "b")}])
def test_what_is_no_range_is_refused(wrong):
    with pytest.raises(UsageError, match="a lowest value and one above it"):
        ranges_of(wrong)
