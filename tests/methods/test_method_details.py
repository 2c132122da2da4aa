"""What a method records and flags beside its map, and how wrong options are told."""

import numpy as np
import pytest
from oracles import constant, linear, sample_of, sum_of_cubes, sum_of_squares

from saliency_cli.differentiable import solve
from saliency_cli.errors import UsageError
from saliency_cli.methods.integrated_gradients import IntegratedGradients
from saliency_cli.methods.smoothgrad import SmoothGrad
from saliency_cli.runs.settings import METHODS, build_methods, describe_methods

X = np.array([1.0, 2.0])


def test_a_large_gap_is_recorded_and_flagged():
    found = solve(IntegratedGradients(2, "right"), sum_of_cubes, sample_of(x=X))
    assert found.details["completeness_gap"] == pytest.approx((15 / 8 - 1) * 9)
    assert found.details["relative_gap"] == pytest.approx(7 / 8)
    assert found.flags == ("completeness-gap",)


def test_a_small_gap_is_recorded_only():
    found = solve(IntegratedGradients(50, "right"), sum_of_cubes, sample_of(x=X))
    assert found.details["relative_gap"] == pytest.approx(0.0302)
    assert found.flags == ()


def test_the_gap_counts_every_input():
    sample = sample_of(a=np.array([1.0]), b=np.array([2.0]))
    found = solve(IntegratedGradients(2, "left"), sum_of_squares, sample)
    assert found.details["completeness_gap"] == pytest.approx(-0.5 * 5)


def test_a_target_that_does_not_change_has_no_relative_gap():
    found = solve(IntegratedGradients(4), constant, sample_of(x=X))
    assert found.details == {"completeness_gap": 0.0, "baseline_value": 1.5}
    assert found.flags == ()


def test_attributions_that_cancel_are_no_gap():
    """s(x) = s(x′), so any rounding would be more than a quarter of the difference."""
    x = np.float32([0.1, 0.3])
    found = solve(IntegratedGradients(50), linear(x=np.array([3.0, -1.0])), sample_of(x=x))
    assert found.flags == ()
    np.testing.assert_allclose(found.values["x"], [0.3, -0.3], rtol=1e-6)


def test_a_baseline_equal_to_the_input_is_flagged():
    found = solve(IntegratedGradients(4), sum_of_squares, sample_of({"x": X}, x=X))
    assert found.flags == ("baseline-is-input",)
    assert not np.any(found.values["x"])


def test_a_nan_at_a_point_of_no_weight_is_no_matter():
    """The baseline is asked for its value only."""

    def root(arrays):
        with np.errstate(divide="ignore"):
            return float(np.sqrt(arrays["x"]).sum()), {"x": 0.5 / np.sqrt(arrays["x"])}

    assert np.isfinite(solve(IntegratedGradients(8), root, sample_of(x=X)).values["x"]).all()


def test_the_baseline_asked_for_is_the_option_s():
    sample = sample_of(x=X)
    asked = []
    object.__setattr__(sample, "baseline", lambda kind: asked.append(kind) or {"x": np.zeros(2)})
    solve(IntegratedGradients(2), sum_of_squares, sample)
    solve(IntegratedGradients(2, baseline="white"), sum_of_squares, sample)
    assert asked == ["black", "white"]


@pytest.mark.parametrize(
    ("name", "signed", "unit"),
    [
        ("gradient", True, "target per unit of input"),
        ("gradient-times-input", True, "target"),
        ("integrated-gradients", True, "target"),
        ("smoothgrad", True, "target per unit of input"),
        ("smoothgrad-squared", False, "(target per unit of input)²"),
        ("vargrad", False, "(target per unit of input)²"),
    ],
)
def test_sign_and_unit(name, signed, unit):
    method = METHODS.build(name, {})
    assert (method.signed, method.unit) == (signed, unit)


def test_every_mistake_is_told_at_once():
    with pytest.raises(UsageError) as caught:
        METHODS.build("smoothgrad", {"draws": "0", "nosie": "1", "form": "median"})
    message = caught.value.message
    assert "draws=0" in message
    assert ">= 1" in message
    assert "no option 'nosie' (did you mean 'noise'?)" in message
    assert "form=median" in message
    assert caught.value.reason == "bad-option"
    assert caught.value.hint == "saliency methods smoothgrad"


def test_every_mistake_of_a_command_line_is_told_at_once():
    with pytest.raises(UsageError) as caught:
        build_methods(
            ("smoothgrad", "integrated-gradients"), ("points=1", "draws", "gradient.x=1", "pionts=3", "noise=-1")
        )
    message = caught.value.message
    for part in ("points=1", "'draws' is not key=value", "'gradient' is not among", "'points'?", "noise=-1"):
        assert part in message


def test_an_unknown_method_is_told_with_the_nearest():
    with pytest.raises(UsageError, match="no method is called 'smothgrad'") as caught:
        build_methods(("smothgrad",), ())
    assert caught.value.hint == "did you mean 'smoothgrad'?"
    assert caught.value.reason == "unknown-method"


def test_an_option_goes_to_every_method_that_has_it_or_to_the_one_named():
    built = build_methods(("smoothgrad", "vargrad", "gradient"), ("draws=9", "vargrad.noise=0.3"))
    assert built["smoothgrad"] == SmoothGrad(9, 0.15, "mean")
    assert built["vargrad"] == SmoothGrad(9, 0.3, "variance")


def test_a_method_asked_for_twice_is_one():
    assert list(build_methods(("gradient", "smoothgrad", "gradient"), ())) == ["gradient", "smoothgrad"]


@pytest.mark.parametrize(("name", "form"), [("smoothgrad-squared", "squared"), ("vargrad", "variance")])
def test_a_preset_is_its_method_with_other_defaults(name, form):
    assert METHODS.build(name, {}) == SmoothGrad(form=form)
    assert {option.name: option.default for option in METHODS.options(name)}["form"] == form
    assert describe_methods({name: METHODS.build(name, {})})[0].options == {
        "draws": 50,
        "noise": 0.15,
        "form": form,
        "of": "gradient",
        "sampling": "plain",
    }


def test_a_variance_of_one_draw_is_refused():
    with pytest.raises(UsageError, match="at least 2 draws"):
        METHODS.build("vargrad", {"draws": 1})


def test_defaults_are_what_the_help_says():
    found = {option.name: option for option in METHODS.options("integrated-gradients")}
    assert (found["points"].default, found["rule"].default) == (50, "gauss-legendre")
    assert "points of the quadrature" in found["points"].help


@pytest.mark.parametrize("value", ["nan", "inf", "NaN"])
def test_noise_that_is_no_number_is_refused(value):
    with pytest.raises(UsageError, match="noise"):
        build_methods(("smoothgrad",), (f"noise={value}",))
