"""Aggregates, intervals and bounds, against NumPy and by hand."""

from math import inf, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saliency_cli.runs.check.bounds import change, difference, limit, range_of
from saliency_cli.runs.check.policy import Rule
from saliency_cli.runs.check.statistics import aggregated, interval, quantile

PERCENTILES = {"min": 0, "p05": 5, "median": 50, "p95": 95, "max": 100}
numbers = st.floats(-1e6, 1e6)


@given(st.lists(numbers, min_size=1, max_size=40))
def test_finite_aggregates_are_numpy_s(values):
    assert aggregated(values, "mean") == np.mean(values)
    for name, percentile in PERCENTILES.items():
        np.testing.assert_allclose(aggregated(values, name), np.percentile(values, percentile), rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize(
    ("values", "aggregate", "expected"),
    [
        ([1, inf], "median", inf),
        ([1, 2, inf], "median", 2),
        ([1, inf, inf], "median", inf),
        ([1, inf, inf], "min", 1),
        ([inf, inf], "mean", inf),
        ([-inf, 1], "median", -inf),
        ([-inf, 1, 2], "p95", 1.9),
        ([-inf, inf], "mean", nan),
        ([1, nan], "min", nan),
        ([inf, nan], "max", nan),
    ],
)
def test_infinities_are_values_and_nan_is_none(values, aggregate, expected):
    np.testing.assert_allclose(aggregated(values, aggregate), expected)


@given(st.lists(st.one_of(numbers, st.just(inf)), min_size=1, max_size=30), st.floats(0, 1))
def test_a_quantile_lies_between_the_extremes_and_is_never_nan(values, share):
    found = float(quantile(np.array(values), share))
    assert min(values) <= found <= max(values)


def test_an_interval_is_the_same_every_time_and_holds_the_value():
    values = np.random.default_rng(0).normal(size=50)
    first, second = (interval(50, lambda drawn: aggregated(values[drawn], "median")) for _ in range(2))
    assert first == second
    assert first[0] < np.median(values) < first[1]


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    """Of 200 samples of 40, the 95 % interval of the mean holds the true mean in 180 to 200."""
    generator = np.random.default_rng(1)
    held = 0
    for _ in range(200):
        values = generator.normal(size=40)
        low, high = interval(40, lambda drawn, v=values: aggregated(v[drawn], "mean"))
        held += low <= 0 <= high
    assert 180 <= held <= 200


def test_an_interval_of_many_inputs_is_drawn_in_parts():
    values = np.random.default_rng(0).normal(size=10_000)
    low, high = interval(10_000, lambda drawn: aggregated(values[drawn], "mean"))
    assert high - low == pytest.approx(2 * 1.96 / 100, rel=0.15)


def test_there_is_no_interval_of_one_or_of_nan():
    assert interval(1, lambda drawn: drawn[:, 0]) is None
    assert interval(3, lambda drawn: aggregated(np.array([1, nan, 2])[drawn], "mean")) is None


def test_a_paired_interval_is_narrower():
    generator = np.random.default_rng(2)
    before = generator.lognormal(size=60)
    now = before * 1.3
    ratio = interval(60, lambda d: change(aggregated(now[d], "mean"), aggregated(before[d], "mean")))
    assert ratio == pytest.approx((0.3, 0.3))


@pytest.mark.parametrize(
    ("now", "before", "expected"),
    [(5, 4, 0.25), (3, 4, -0.25), (-3, -4, 0.25), (0, 0, 0), (1, 0, inf), (-1, 0, -inf), (inf, inf, 0),
     (inf, 1, inf), (1, inf, -1), (nan, 1, nan)],
)  # fmt: skip
def test_a_change_is_over_the_size_of_the_baseline(now, before, expected):
    np.testing.assert_equal(float(change(np.array(now), np.array(before))), expected)


def test_the_difference_of_equal_infinities_is_zero():
    assert difference(np.array(inf), np.array(inf)) == 0


@pytest.mark.parametrize(
    ("bounds", "now", "before", "kept"),
    [
        ({"min": 1.0}, 1.0, 0, True), ({"min": 1.0}, 0.999999, 0, False), ({"min": 1.0}, inf, 0, True),
        ({"max": 1.0}, 1.0, 0, True), ({"max": 1.0}, 1.000001, 0, False), ({"max": 1.0}, -inf, 0, True),
        ({"max": 1.0}, inf, 0, False), ({"min": 1.0}, nan, 0, False), ({"max": 1.0}, nan, 0, False),
        ({"min": 1.0, "max": 2.0}, 1.5, 0, True), ({"min": 1.0, "max": 2.0}, 2.5, 0, False),
        ({"min": 1.0, "max": 2.0}, 0.5, 0, False),
        ({"max_increase": 0.25}, 0.125, 0.1, True), ({"max_increase": 0.25}, 0.126, 0.1, False),
        ({"max_increase": 0.25}, 0.0, 0.1, True), ({"max_increase": 0.25}, inf, inf, True),
        ({"max_increase": 0.0}, 0.3, 0.3, True), ({"max_increase": 9.0}, 0.1, 0.0, False),
        ({"max_decrease": 0.25}, 0.075, 0.1, True), ({"max_decrease": 0.25}, 0.074, 0.1, False),
        ({"max_decrease": 0.25}, inf, 1, True), ({"max_decrease": 0.25}, 1, inf, False),
        ({"max_increase": 0.1, "max_decrease": 0.2}, 0.85, 1, True),
        ({"max_increase": 0.1, "max_decrease": 0.2}, 0.75, 1, False),
        ({"max_increase": 0.1, "max_decrease": 0.2}, 1.15, 1, False),
        ({"max_increase": 0.25}, nan, 1, False), ({"max_delta": 0.1}, 1.1, 1, True),
        ({"max_delta": 0.1}, 0.9, 1, True), ({"max_delta": 0.1}, 1.11, 1, False),
        ({"max_delta": 0.1}, 0.89, 1, False),
        ({"max_delta": 0.1}, inf, inf, True), ({"max_delta": 0.1}, nan, 1, False),
    ],
)  # fmt: skip
def test_a_bound_is_kept_or_broken(bounds, now, before, kept):
    found = range_of(Rule(id="r", metric="m", **bounds))
    excess = found.excess(found.of(np.array(now), np.array(float(before))))
    assert bool(excess <= 0) is kept


def test_a_limit_is_the_number_a_value_is_held_to():
    assert limit("min", 0.5, nan, low=True) == 0.5
    assert limit("max-increase", 0.25, 4.0, low=False) == 5.0
    assert limit("max-increase", 0.25, -4.0, low=False) == -3.0
    assert limit("max-decrease", 0.25, 4.0, low=True) == 3.0
    assert limit("max-delta", 0.25, 4.0, low=True) == 3.75
