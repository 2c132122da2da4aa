"""Metrics that run the method or the model again near the sample, on functions with known answers."""

import itertools

import numpy as np
import pytest
from numpy_classes import METRICS, subject_of

from saliency_cli.differentiable import Explanation, Sample, solve
from saliency_cli.methods.smoothgrad import SmoothGrad
from saliency_cli.subject import evaluate

X = np.array([[0.25, -0.5, 1.0], [2.0, 0.5, -1.0]], np.float32)  # range 3
W = np.array([[3.0, -4.0, 0.5], [0.0, 12.0, 1.0]])


def measured(name, function, subject, **options):
    return evaluate(METRICS.build(name, options), subject, function)


def linear(arrays):
    return float((W * arrays["x"]).sum()) + 1, {"x": W}


def half_square(arrays):
    """½‖x‖²: the gradient is x itself."""
    x = np.asarray(arrays["x"], np.float64)
    return float((x * x).sum()) / 2, {"x": x}


def watched(function):
    """The function, and the list of the points it is called at."""
    points = []

    def watching(arrays):
        points.append(arrays["x"].astype(np.float64).copy())
        return function(arrays)

    return watching, points


def about_half_square(scale=1.0):
    return subject_of(X, np.float32(scale) * X)


# max-sensitivity


def test_a_constant_map_has_no_sensitivity():
    subject = subject_of(X, W.astype(np.float32))
    assert measured("max-sensitivity", linear, subject) == (0.0, "")
    assert measured("local-lipschitz", linear, subject) == (0.0, "")


def test_max_sensitivity_of_a_map_that_is_the_input():
    """Φ(x) = x: the change is δ itself, uniform in ±r·range, and the largest counts."""
    function, points = watched(half_square)
    found = measured("max-sensitivity", function, about_half_square(), radius=0.1, draws=400).value
    deltas = np.array(points) - X
    assert len(deltas) == 400
    assert found == pytest.approx(max(np.linalg.norm(d) for d in deltas) / np.linalg.norm(X), rel=1e-5)
    assert 0.297 < deltas.max() <= 0.3 + 1e-6, "a tenth of max − min = 3"
    assert -0.3 - 1e-6 <= deltas.min() < -0.297
    assert abs(deltas.mean()) < 4 * 0.3 / np.sqrt(3 * deltas.size)


def test_max_sensitivity_is_relative_to_the_map():
    def twice(arrays):
        value, found = half_square(arrays)
        return 2 * value, {"x": 2 * found["x"]}

    once = measured("max-sensitivity", half_square, about_half_square()).value
    assert measured("max-sensitivity", twice, about_half_square(2)).value == pytest.approx(once, rel=1e-5)


def sines(arrays):
    x = np.asarray(arrays["x"], np.float64)
    return float(np.sin(5 * x).sum()), {"x": 5 * np.cos(5 * x)}


def smoothgrad_of(x, *, drawn_anew):
    """A subject whose map is a SmoothGrad of few draws, with the noise of the sample or with another each time."""
    method, turn = SmoothGrad(draws=3, noise=0.1), itertools.count()

    def again(sample, trace):
        if drawn_anew:
            sample = type(sample)(sample.inputs, sample.floating, sample.baseline, next(turn), sample.identity)
        return method.attribute(sample)

    values = solve(method, sines, subject_of(x, x).sample).values
    return subject_of(x, values, method=again)


@pytest.mark.parametrize("name", ["max-sensitivity", "local-lipschitz"])
def test_a_methods_own_noise_is_not_measured(name):
    """SmoothGrad of the changed input has the noise of the unchanged one: with fresh noise it moves far more."""
    x = np.linspace(0, 1, 40, dtype=np.float32)
    kept = measured(name, sines, smoothgrad_of(x, drawn_anew=False), radius=0.005).value
    fresh = measured(name, sines, smoothgrad_of(x, drawn_anew=True), radius=0.005).value
    assert 0 < kept < fresh / 5


def test_max_sensitivity_is_over_all_inputs_each_in_its_own_range():
    moved = []

    def function(arrays):
        moved.append({name: np.abs(array - inputs[name]).max() for name, array in arrays.items()})
        return 0.0, {name: array.astype(np.float64) for name, array in arrays.items()}

    inputs = {"a": np.linspace(0, 1, 300, dtype=np.float32), "b": np.linspace(0, 1000, 300, dtype=np.float32)}
    found = measured("max-sensitivity", function, subject_of(inputs, inputs), radius=0.1, draws=2)
    assert 0.09 < moved[0]["a"] <= 0.1
    assert 90 < moved[0]["b"] <= 100
    assert found.value == pytest.approx(0.1 / np.sqrt(3) / np.sqrt(1 / 3), rel=0.1), "b dominates both norms"


# local-lipschitz


@pytest.mark.parametrize("radius", [0.001, 0.1])
def test_the_raw_lipschitz_estimate_of_a_linear_map_is_its_factor(radius):
    def function(arrays):
        value, found = half_square(arrays)
        return 3 * value, {"x": 3 * found["x"]}

    found = measured("local-lipschitz", function, about_half_square(3), unit_length=False, radius=radius)
    assert found.value == pytest.approx(3, rel=1e-3)


def test_the_lipschitz_estimate_of_the_unit_map():
    """Φ̂ = x/‖x‖ whatever the factor: the largest over draws of ‖x/‖x‖ − y/‖y‖‖ / ‖x − y‖."""

    def ratio(x, y):
        return np.linalg.norm(x / np.linalg.norm(x) - y / np.linalg.norm(y)) / np.linalg.norm(x - y)

    function, points = watched(half_square)
    found = measured("local-lipschitz", function, about_half_square(7), radius=0.1, draws=20).value
    x = X.astype(np.float64)
    ratios = [ratio(x, y) for y in points]
    assert len(points) == 20
    assert found == pytest.approx(max(ratios), rel=1e-5)
    assert np.ptp(ratios) > 0.01


# What has no value


@pytest.mark.parametrize("name", ["max-sensitivity", "local-lipschitz"])
def test_maps_that_cannot_be_compared(name):
    zero = measured(name, half_square, subject_of(X, np.zeros_like(X)))
    assert np.isnan(zero.value)
    assert "zero everywhere" in zero.note

    constant = measured(name, half_square, subject_of(np.full((2, 2), 3, np.float32), np.ones((2, 2), np.float32)))
    assert np.isnan(constant.value)
    assert "constant" in constant.note

    def broken(sample, trace):
        return Explanation({"x": np.full(X.shape, np.nan, np.float32)})
        yield

    nan = measured(name, half_square, subject_of(X, X, method=broken))
    assert np.isnan(nan.value)
    assert "not finite" in nan.note


def test_a_changed_copy_without_a_map_has_no_direction():
    def nothing(sample, trace):
        return Explanation({"x": np.zeros_like(X)})
        yield

    subject = subject_of(X, X, method=nothing)
    assert measured("max-sensitivity", half_square, subject).value == pytest.approx(1)
    assert np.isnan(measured("local-lipschitz", half_square, subject).value)
    raw = measured("local-lipschitz", half_square, subject, unit_length=False)
    assert raw.value > 0


# infidelity and the unexplained fraction


def test_the_gradient_of_a_linear_function_tells_everything():
    subject = subject_of(X, W.astype(np.float32))
    assert measured("infidelity", linear, subject).value < 1e-20
    assert measured("unexplained-fraction", linear, subject).value < 1e-20


@pytest.mark.parametrize(("factor", "noise"), [(0.0, 0.01), (0.5, 0.01), (-1.0, 0.05)])
def test_infidelity_of_a_scaled_gradient(factor, noise):
    """E[((c − 1) Iᵀw)²] = (c − 1)² σ² ‖w‖², σ a share of max − min = 3."""
    expected = (factor - 1) ** 2 * (noise * 3) ** 2 * (W**2).sum()
    subject = subject_of(X, (factor * W).astype(np.float32))
    found = measured("infidelity", linear, subject, noise=noise, draws=20_000).value
    assert found == pytest.approx(expected, rel=0.04)


@pytest.mark.parametrize("factor", [1e-3, 5.0, -2.0])
def test_the_unexplained_fraction_has_no_scale_of_its_own(factor):
    def function(arrays):
        value, found = linear(arrays)
        return 1000 * value, {"x": 1000 * found["x"]}

    subject = subject_of(X, (factor * W).astype(np.float32))
    assert measured("unexplained-fraction", function, subject).value < 1e-10


def test_the_unexplained_fraction_of_a_wrong_map_is_one_minus_the_squared_cosine():
    other = np.array([[1.0, 0.0, 2.0], [5.0, 7.0, -3.0]])
    rho = (W * other).sum() / np.linalg.norm(W) / np.linalg.norm(other)
    assert 0.4 < rho < 0.95
    found = measured("unexplained-fraction", linear, subject_of(X, other.astype(np.float32)), draws=20_000).value
    assert found == pytest.approx(1 - rho**2, rel=0.04)


def test_a_map_of_zeros_explains_nothing():
    assert measured("unexplained-fraction", linear, subject_of(X, np.zeros_like(X))) == (1.0, "")


def test_the_smaller_the_noise_the_better_the_gradient():
    def cubes(arrays):
        x = np.asarray(arrays["x"], np.float64)
        return float((x**3).sum()), {"x": 3 * x * x}

    subject = subject_of(X, 3 * X * X)
    small, large = (measured("unexplained-fraction", cubes, subject, noise=n).value for n in (0.01, 0.5))
    assert small < 0.01 < 0.2 < large < 1


def test_noise_is_normal_and_two_sided():
    function, points = watched(linear)
    measured("infidelity", function, subject_of(X, X), noise=0.02, draws=2000)
    np.testing.assert_array_equal(points[-1], X, "the sample itself is asked for beside the draws")
    moved = (np.array(points[:-1]) - X) / (0.02 * 3)
    assert abs(moved.mean()) < 4 / np.sqrt(moved.size)
    assert moved.std() == pytest.approx(1, rel=0.03)
    assert (moved**4).mean() == pytest.approx(3, rel=0.15), "not uniform, which has 1.8"


def test_no_target_that_changes_and_no_sample_that_can():
    def constant(arrays):
        return 1e6 + 1e-3 * float(arrays["x"].sum()), {"x": np.zeros(X.shape)}

    still = measured("unexplained-fraction", constant, subject_of(X, X))
    assert np.isnan(still.value)
    assert "rounding" in still.note
    flat = subject_of(np.full((2, 2), 3, np.float32), np.ones((2, 2), np.float32))
    for name in ("infidelity", "unexplained-fraction"):
        found = measured(name, half_square, flat)
        assert np.isnan(found.value)
        assert "constant" in found.note


@pytest.mark.parametrize("name", ["infidelity", "unexplained-fraction", "completeness-gap"])
def test_a_model_that_breaks_down_near_the_sample(name):
    def broken(arrays):
        return (1.0 if np.array_equal(arrays["x"], X) else np.nan), {"x": W}

    found = measured(name, broken, subject_of(X, X))
    assert np.isnan(found.value)
    assert "finite" in found.note


# completeness


ABSENT = np.array([[1.0, 0.0, 0.5], [-1.0, 0.25, 0.0]], np.float32)


@pytest.mark.parametrize(("factor", "gap"), [(1.0, 0.0), (0.5, 0.5), (3.0, 2.0), (-1.0, 2.0)])
def test_the_completeness_gap_of_a_share_of_the_change(factor, gap):
    whole = W * (X - ABSENT)
    assert abs(whole.sum()) > 1
    for sign in (1, -1):  # whichever way the target changes
        subject = subject_of(X, (sign * factor * whole).astype(np.float32), baseline={"x": ABSENT})
        found = measured(
            "completeness-gap", lambda arrays, sign=sign: (sign * linear(arrays)[0], {}), subject, baseline="mean"
        )
        assert found.value == pytest.approx(gap, abs=1e-6)
        assert subject.asked == ["mean"]


def test_completeness_is_over_every_input():
    inputs = {"a": np.array([2.0], np.float32), "b": np.array([3.0], np.float32)}
    subject = subject_of(inputs, {"a": np.array([2.0], np.float32), "b": np.array([30.0], np.float32)})

    def function(arrays):
        return float(arrays["a"][0] + 10 * arrays["b"][0]), {}

    assert measured("completeness-gap", function, subject).value == pytest.approx(0)


def test_no_completeness_without_a_change():
    found = measured("completeness-gap", linear, subject_of(X, X, baseline={"x": X}))
    assert np.isnan(found.value)
    assert "'black' is the same" in found.note


# Randomness


NOISY = ["max-sensitivity", "local-lipschitz", "infidelity", "unexplained-fraction"]


@pytest.mark.parametrize("name", NOISY)
def test_draws_are_of_seed_and_sample_alone(name):
    def of(**facts):
        return measured(name, sines, subject_of(X, X, **facts)).value

    assert of() == of()
    assert len({of(), of(seed=1), of(identity="other")}) == 3


@pytest.mark.parametrize("name", NOISY)
def test_draws_are_not_the_methods_own(name, monkeypatch):
    """A method draws by the input's bare name: a metric that did could repeat its noise."""
    drawn, generator = [], Sample.generator
    monkeypatch.setattr(Sample, "generator", lambda sample, *key: drawn.append(key) or generator(sample, *key))
    measured(name, sines, subject_of(X, X), draws=3)
    assert [draw for _, draw in drawn] == [0, 1, 2]
    assert {purpose for purpose, _ in drawn}.isdisjoint({"x", ""})
