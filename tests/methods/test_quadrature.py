"""The five quadratures: Σ attribution / f of Σx³ by closed form, and weights that sum to 1."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import sample_of, sum_of_cubes

from saliency_cli.differentiable import solve
from saliency_cli.methods.integrated_gradients import IntegratedGradients, quadrature

X = np.array([[1.0, -0.5], [2.0, 0.25]])

# Rule → Σφ / f for f = Σx³ from zero, with n points.
RATIOS = {
    "gauss-legendre": lambda n: 1.0,
    "midpoint": lambda n: 1 - 1 / (4 * n * n),
    "trapezoid": lambda n: 1 + 1 / (2 * (n - 1) ** 2),
    "left": lambda n: (n - 1) * (2 * n - 1) / (2 * n * n),
    "right": lambda n: (n + 1) * (2 * n + 1) / (2 * n * n),
}
AT_50 = {"gauss-legendre": 1.0, "midpoint": 0.9999, "trapezoid": 1.000208, "left": 0.9702, "right": 1.0302}


@pytest.mark.parametrize("n", [2, 7, 50])
@pytest.mark.parametrize("rule", RATIOS)
def test_the_cubic_table(rule, n):
    found = solve(IntegratedGradients(n, rule), sum_of_cubes, sample_of(x=X))
    np.testing.assert_allclose(found.values["x"], RATIOS[rule](n) * X**3, rtol=1e-6)
    value = (X**3).sum()
    assert found.details["completeness_gap"] == pytest.approx((RATIOS[rule](n) - 1) * value, abs=2e-6)
    assert found.details["relative_gap"] == pytest.approx(abs(RATIOS[rule](n) - 1), abs=2e-7)
    assert ("completeness-gap" in found.flags) == (abs(RATIOS[rule](n) - 1) > 0.25)


@pytest.mark.parametrize("rule", AT_50)
def test_the_cubic_table_at_fifty_points(rule):
    found = solve(IntegratedGradients(50, rule), sum_of_cubes, sample_of(x=X))
    assert found.values["x"].sum() / (X**3).sum() == pytest.approx(AT_50[rule], abs=1e-6)


@settings(deadline=None)
@given(rule=st.sampled_from(sorted(RATIOS)), n=st.integers(2, 300))
def test_weights_sum_to_one_and_points_lie_on_the_way(rule, n):
    alphas, weights = quadrature(rule, n)
    assert alphas.shape == weights.shape == (n,)
    assert weights.sum() == pytest.approx(1, abs=1e-12)
    assert np.all(weights > 0)
    assert np.all((alphas >= 0) & (alphas <= 1))
    assert np.all(np.diff(alphas) > 0)


@settings(deadline=None)
@given(n=st.integers(2, 12))
def test_gauss_legendre_is_exact_up_to_degree_2n_minus_1(n):
    alphas, weights = quadrature("gauss-legendre", n)
    for degree in range(2 * n):
        assert weights @ alphas**degree == pytest.approx(1 / (degree + 1), abs=1e-12)
    assert abs(weights @ alphas ** (2 * n) - 1 / (2 * n + 1)) > 0


def test_both_ends_of_the_trapezoid_weigh_half():
    alphas, weights = quadrature("trapezoid", 5)
    np.testing.assert_allclose(alphas, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(weights, [0.125, 0.25, 0.25, 0.25, 0.125])


def test_positions_are_exact_for_float64_inputs():
    """The map is rounded to float32, the points are not."""
    seen = []

    def function(arrays):
        seen.append(float(arrays["x"][0]))
        return 0.0, {"x": np.zeros(1)}

    solve(IntegratedGradients(7), function, sample_of(x=np.array([1.0])))
    alphas, _ = quadrature("gauss-legendre", 7)
    assert seen[1:] == [*alphas, 0.0]
