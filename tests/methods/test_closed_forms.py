"""Functions with known answers: every method gives them, to 1e-6 and mostly to the last bit."""

import numpy as np
import pytest
from oracles import LAYERED, explained, linear, product, product_of_inputs, sample_of, sum_of_squares

from saliency_cli.differentiable import solve
from saliency_cli.runs.settings import METHODS

W = np.array([[1.5, -2.0, 0.25], [0.0, 3.0, -0.125]])
X = np.array([[0.5, 1.0, -2.0], [4.0, -0.75, 1.25]])
X0 = np.array([[-1.0, 0.5, 0.0], [2.0, 0.25, -3.0]])

RULES = ["gauss-legendre", "midpoint", "trapezoid", "left", "right"]


def explain(name, function, sample, **options):
    return solve(METHODS.build(name, options), function, sample)


def close(found, expected, tolerance=1e-6):
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def test_the_gradient_of_a_linear_function_is_its_weights():
    np.testing.assert_array_equal(explain("gradient", linear(7.0, x=W), sample_of(x=X)).values["x"], W)


def test_the_gradient_keeps_its_sign():
    found = explain("gradient", linear(x=W), sample_of(x=X)).values["x"]
    assert found[0, 1] == -2
    assert found.min() < 0 < found.max()


def test_gradient_times_input_of_a_linear_function():
    close(explain("gradient-times-input", linear(7.0, x=W), sample_of(x=X)).values["x"], W * X)


@pytest.mark.parametrize("points", [2, 3, 50])
@pytest.mark.parametrize("rule", RULES)
def test_integrated_gradients_of_a_linear_function_by_every_rule(rule, points):
    sample = sample_of({"x": X0}, x=X)
    found = explain("integrated-gradients", linear(7.0, x=W), sample, rule=rule, points=points)
    close(found.values["x"], W * (X - X0))
    assert abs(found.details["completeness_gap"]) < 1e-6
    assert found.details["baseline_value"] == pytest.approx((W * X0).sum() + 7, abs=1e-6)
    assert found.flags == ()


@pytest.mark.parametrize("draws", [1, 7, 50])
def test_smoothgrad_of_a_linear_function_is_exactly_its_weights(draws):
    np.testing.assert_array_equal(
        explain("smoothgrad", linear(x=W), sample_of(x=X), draws=draws).values["x"], W.astype(np.float32)
    )


def test_the_squared_and_variance_forms_of_a_linear_function():
    close(explain("smoothgrad-squared", linear(x=W), sample_of(x=X)).values["x"], W * W)
    np.testing.assert_array_equal(explain("vargrad", linear(x=W), sample_of(x=X)).values["x"], 0)


@pytest.mark.parametrize("scale", [1e-4, 0.1, 1.0, 777.7])
@pytest.mark.parametrize("draws", [3, 50, 997])
def test_vargrad_of_a_linear_function_is_zero_and_not_rounding(scale, draws):
    """A map of 1e-17 would be drawn as if it meant something."""
    w = scale * np.array([0.1, -1 / 3, 0.7])
    np.testing.assert_array_equal(explain("vargrad", linear(x=w), sample_of(x=X[0]), draws=draws).values["x"], 0)


def test_the_gradient_of_the_sum_of_squares():
    close(explain("gradient", sum_of_squares, sample_of(x=X)).values["x"], 2 * X)


def test_smoothgrad_forms_of_the_sum_of_squares_have_their_expectations():
    """E g = 2x, E g² = 4x² + 4σ², Var g = 4σ², each within five standard errors."""
    n, sigma = 4000, 0.15 * 6.0
    sample = sample_of(x=X)
    mean = explain("smoothgrad", sum_of_squares, sample, draws=n)
    assert mean.details["sigma"] == pytest.approx(sigma, rel=1e-6)
    variance = 4 * sigma**2
    error = np.sqrt(variance / n)
    np.testing.assert_allclose(mean.values["x"], 2 * X, atol=5 * error)
    assert np.any(mean.values["x"] != 2 * X)
    found = explain("vargrad", sum_of_squares, sample, draws=n).values["x"]
    np.testing.assert_allclose(found, variance, rtol=5 * np.sqrt(2 / n))
    squared = explain("smoothgrad-squared", sum_of_squares, sample, draws=n).values["x"]
    spread = np.sqrt((4 * (2 * X) ** 2 * variance + 2 * variance**2) / n)
    assert np.all(np.abs(squared - (4 * X * X + variance)) < 5 * spread)


def test_vargrad_is_the_unbiased_variance_of_the_very_draws():
    sample = sample_of(x=X)
    draws = np.empty((5, *X.shape))
    for i, draw in enumerate(draws):
        sample.normal("x", i, draw)
    gradients = 2 * (X + np.float32(0.15 * 6) * draws)
    for form, expected in {
        "mean": gradients.mean(0),
        "squared": (gradients**2).mean(0),
        "variance": gradients.var(0, ddof=1),
    }.items():
        close(explain("smoothgrad", sum_of_squares, sample, draws=5, form=form).values["x"], expected)


def test_integrated_gradients_share_a_product_evenly():
    x = np.array([3.0, -4.0])
    close(explain("integrated-gradients", product, sample_of(x=x)).values["x"], [-6, -6])


def test_several_inputs_move_together():
    a, b = np.array([1.0, 2.0, -3.0]), np.array([0.5, 5.0, 7.0])
    found = explain("integrated-gradients", product_of_inputs, sample_of(a=a, b=b))
    close(found.values["a"], a * b / 2)
    close(found.values["b"], a * b / 2)
    assert abs(found.details["completeness_gap"]) < 1e-6


def test_integrated_gradients_of_the_sum_of_squares_from_a_baseline():
    found = explain("integrated-gradients", sum_of_squares, sample_of({"x": X0}, x=X))
    close(found.values["x"], X * X - X0 * X0)


@pytest.mark.parametrize("name", METHODS.names())
def test_a_held_input_gets_no_map(name):
    sample = sample_of(a=np.array([1.0]), b=np.array([2.0]), floating=("a",))
    options = {"layer": "a"} if name in LAYERED else {}
    assert list(explained(name, product_of_inputs, sample, **options).values) == ["a"]
