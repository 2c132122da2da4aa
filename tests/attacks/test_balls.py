"""What a sample may become: the ball, the range, the steps of a format, and draws that depend on the sample alone."""

import itertools

import numpy as np
import pytest
from linear_classifier import ball_around

from saliency_cli.errors import InputError
from saliency_cli.quantising import between, within
from saliency_cli.threat import euclidean


@pytest.mark.parametrize("norm", ["inf", "2"])
@pytest.mark.parametrize("whole", [False, True])
def test_what_is_written_is_in_the_ball_and_in_the_range(norm, whole):
    random = np.random.default_rng(0)
    for trial in range(40):
        x = (
            random.integers(0, 256, 50).astype(np.float64)
            if whole
            else np.float64(np.float32(random.uniform(0, 255, 50)))
        )
        epsilon = float(random.uniform(1, 60))
        ball = ball_around(x, epsilon, norm, ends=(0.0, 255.0), whole=whole)
        moves = ball.projected({"x": random.normal(size=50) * 10.0 ** random.integers(-2, 3)})
        found = ball.settled(moves)["x"]
        assert found.min() >= 0
        assert found.max() <= 255
        size = np.abs(found - x).max() if norm == "inf" else np.linalg.norm(found - x)
        assert size <= epsilon * (1 + 1e-12), trial
        assert ball.length({"x": found}) == pytest.approx(size / epsilon)
        assert np.array_equal(found, np.rint(found) if whole else np.float32(found))


def test_a_displacement_in_the_ball_is_left_as_it_is():
    for norm in ("inf", "2"):
        ball = ball_around([1.0, 2.0, 3.0], 2.0, norm)
        moves = {"x": np.array([0.25, -0.5, 0.75])}
        np.testing.assert_array_equal(ball.projected(moves)["x"], moves["x"])
        np.testing.assert_allclose(ball.settled(moves)["x"], [1.5, 1.0, 4.5])


def test_a_long_displacement_is_cut_value_by_value_or_shortened():
    far = {"x": np.array([3.0, -4.0, 0.0])}
    np.testing.assert_array_equal(ball_around(np.zeros(3)).projected(far)["x"], [1, -1, 0])
    np.testing.assert_allclose(ball_around(np.zeros(3), norm="2").projected(far)["x"], [0.6, -0.8, 0])


def test_of_whole_steps_none_is_lost_at_the_rim():
    for epsilon in (8.0, 8 - 1e-12, 255 * (8 / 255)):
        ball = ball_around([100.0, 100.0], epsilon, ends=(0, 255), whole=True)
        np.testing.assert_array_equal(ball.settled({"x": np.array([1.0, -1.0])})["x"], [108, 92])
    np.testing.assert_array_equal(between(np.array([7.6]), np.array([0.0]), np.array([7.5]), whole=True), [7])


def test_rounding_in_l2_is_the_best_that_whole_steps_allow():
    """Against every displacement by whole steps that is no longer, of three values."""
    random = np.random.default_rng(4)
    steps = np.array(list(itertools.product(range(-5, 6), repeat=3)), float)
    for _ in range(60):
        by = random.normal(size=3)
        by *= random.uniform(1, 4.5) / np.linalg.norm(by)
        found = within(np.full(3, 50.0), by, (0.0, 255.0), whole=True) - 50
        allowed = steps[(steps**2).sum(axis=1) <= by @ by]
        best = (allowed @ by).max()
        # The greedy way fills the ball up to one step: no other set of steps of its length is better.
        shorter = allowed[(allowed**2).sum(axis=1) <= found @ found]
        assert found @ by == pytest.approx((shorter @ by).max())
        assert found @ by >= best - 2 * np.abs(by).max()


def test_rounding_in_l2_keeps_what_plain_rounding_would_lose():
    """Every value moves by less than half a step: plain rounding gives the picture itself."""
    random = np.random.default_rng(5)
    by = random.normal(size=20_000)
    by *= 40 / np.linalg.norm(by)
    assert not np.rint(by).any() or np.abs(by).max() > 0.5
    found = within(np.full(20_000, 128.0), by, (0.0, 255.0), whole=True) - 128
    assert 39.9 < np.linalg.norm(found) <= 40
    assert found @ by > 0.5 * 40 * 40


def test_where_every_value_is_at_its_end_nothing_is_left_to_round():
    found = within(np.zeros(4), np.full(4, -3.0), (0.0, 255.0), whole=True)
    np.testing.assert_array_equal(found, np.zeros(4))


@pytest.mark.parametrize("norm", ["inf", "2"])
def test_draws_are_in_the_ball_and_of_the_sample_alone(norm):
    ball = ball_around(np.zeros(2000), 3.0, norm, seed=1)
    first, again, second = (ball.drawn(k)["x"] for k in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, ball_around(np.zeros(2000), 3.0, norm, seed=2).drawn(0)["x"])
    assert not np.array_equal(first, ball_around(np.ones(2000), 3.0, norm, seed=1).drawn(0)["x"])
    if norm == "inf":
        assert np.abs(first).max() <= 1
        assert first.std() == pytest.approx(1 / np.sqrt(3), rel=0.05)
    else:
        assert 0.99 < euclidean({"x": first}) <= 1


def test_draws_in_l2_fill_the_ball_evenly():
    """In three dimensions the radius to the third power is uniform."""
    lengths = np.array([euclidean(ball_around(np.zeros(3), 1.0, "2", seed=k).drawn(0)) for k in range(600)]) ** 3
    assert lengths.mean() == pytest.approx(0.5, abs=0.05)
    assert np.quantile(lengths, 0.25) == pytest.approx(0.25, abs=0.06)


def test_a_gradient_that_is_not_finite_is_an_error():
    with pytest.raises(InputError, match="not finite at a perturbed point"):
        ball_around([1.0, 2.0]).pulled({"x": np.array([1.0, np.nan])})


def test_a_displacement_shorter_than_a_step_of_float32_is_none_and_costs_no_time():
    start = np.float64(np.float32([1e6, 3.0]))
    for by in (np.array([0.04, 0.0]), np.array([0.03, 1e-9])):  # steps of 0.0625 there
        found = within(start, by, (-1e9, 1e9), whole=False)
        assert np.linalg.norm(found - start) <= np.linalg.norm(by)
