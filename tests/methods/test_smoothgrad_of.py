"""SmoothGrad over other methods, and draws in pairs."""

import numpy as np
import pytest
from oracles import CONTROLS, SETTINGS, drive, linear, sample_of, sum_of_sines, sum_of_squares
from rule_models import explained_by_rule, needs_rule

from saliency_cli.differentiable import Answer, solve
from saliency_cli.errors import UsageError
from saliency_cli.methods.gradient_times_input import GradientTimesInput
from saliency_cli.methods.integrated_gradients import IntegratedGradients
from saliency_cli.methods.rise import Rise
from saliency_cli.methods.smoothgrad import SmoothGrad
from saliency_cli.runs.settings import METHODS, build_methods

X = np.linspace(0.5, 3, 12, dtype=np.float32).reshape(3, 4, 1)
OTHERS = [name for name in METHODS.names() if not isinstance(METHODS.build(name, SETTINGS.get(name, {})), SmoothGrad)]


def copies(sample, draws, noise=0.15):
    sigma = np.float32(noise) * np.ptp(sample.inputs["x"])
    for draw in range(draws):
        out = np.empty_like(sample.inputs["x"])
        sample.normal("x", draw, out)
        yield sample.at({"x": sample.inputs["x"] + sigma * out})


@pytest.mark.parametrize("form", ["mean", "squared", "variance"])
@pytest.mark.parametrize(
    ("of", "inner"),
    [
        ("gradient-times-input", GradientTimesInput()),
        ("integrated-gradients:points=5,rule=left", IntegratedGradients(5, "left")),
        ("rise:draws=40,form=difference", Rise(40, form="difference")),
    ],
)
def test_it_is_taken_over_the_maps_of_the_noisy_copies(of, inner, form):
    sample = sample_of(x=X)
    maps = np.array([solve(inner, sum_of_sines, copy).values["x"] for copy in copies(sample, 6)], np.float64)
    expected = {"mean": maps.mean(0), "squared": (maps**2).mean(0), "variance": maps.var(0, ddof=1)}[form]
    found = solve(SmoothGrad(6, form=form, of=of), sum_of_sines, sample)
    np.testing.assert_allclose(found.values["x"], expected, rtol=1e-4, atol=1e-6)
    assert found.details["sigma"] == pytest.approx(0.15 * 2.5)


def test_the_inner_method_draws_what_it_draws_for_the_sample_itself():
    """A sum over masks is the same sum of masks in every copy."""
    sample = sample_of(x=X)
    one, other = copies(sample, 2)
    np.testing.assert_array_equal(Rise().mask(one, "x", 3), Rise().mask(other, "x", 3))


@pytest.mark.parametrize("of", OTHERS)
def test_every_method_can_be_averaged(of):
    options = ",".join(f"{key}={value}" for key, value in SETTINGS.get(of, {}).items())
    method = SmoothGrad(16, 0.5, of=f"{of}:{options}" if options else of)
    inner = METHODS.build(of, SETTINGS.get(of, {}))
    if of == "fullgrad":
        pytest.skip("a plain function tells no constants")
    by_rule = needs_rule(inner, sample_of(x=X))
    found = (explained_by_rule if by_rule else solve)(method, sum_of_sines, sample_of(x=X))
    assert found.values["x"].shape == X.shape
    assert np.isfinite(found.values["x"]).all()
    assert found.details["top_changed"] == 0
    assert (method.signed, method.unit, method.reduce) == (inner.signed, inner.unit, inner.reduce)
    assert of in CONTROLS or np.any(found.values["x"])


def test_no_noise_is_the_method_itself():
    sample = sample_of(x=X)
    alone = solve(IntegratedGradients(7), sum_of_squares, sample).values["x"]
    found = solve(SmoothGrad(2, 0.0, of="integrated-gradients:points=7"), sum_of_squares, sample).values["x"]
    np.testing.assert_allclose(found, alone, rtol=1e-6)


def test_of_the_gradient_takes_the_packed_way_and_its_bits():
    sample = sample_of(x=X)
    plain = solve(SmoothGrad(7), sum_of_sines, sample)
    np.testing.assert_array_equal(
        solve(SmoothGrad(7, of="gradient"), sum_of_sines, sample).values["x"], plain.values["x"]
    )
    copied = [np.cos(copy.inputs["x"]).astype(np.float64) for copy in copies(sample, 7)]
    np.testing.assert_allclose(plain.values["x"], np.mean(copied, axis=0), rtol=1e-5)


def test_what_is_known_of_the_sample_is_not_taken_for_its_copies():
    seen = []

    def answer(ask):
        seen.append(ask.unperturbed)
        zeros = {"x": np.zeros(X.shape)}
        return Answer(np.zeros(ask.n), np.array([1 if ask.unperturbed else 2] * ask.n), zeros)

    found = drive(SmoothGrad(4, of="gradient-times-input"), sample_of(x=X), answer)
    assert seen == [True, False, False, False, False]
    assert found.details["top_changed"] == 1
    assert found.flags == ("top-class-changed",)


def test_a_method_that_asks_nothing_has_its_copies_classes_asked_for():
    tops = iter([1, 1, 2, 2, 2])

    def answer(ask):
        return Answer(np.zeros(ask.n), np.array([next(tops)]), {"x": np.zeros(X.shape)})

    found = drive(SmoothGrad(4, of="random"), sample_of(x=X), answer)
    assert found.details["top_changed"] == 0.75


def test_flags_of_most_copies_are_flags_of_the_mean():
    same = sample_of({"x": X}, x=X)
    assert solve(SmoothGrad(3, 0.0, of="integrated-gradients"), sum_of_squares, same).flags == ("baseline-is-input",)
    assert solve(SmoothGrad(3, 0.1, of="integrated-gradients"), sum_of_squares, same).flags == ()


@pytest.mark.parametrize(
    ("of", "says"),
    [
        ("gradiant", "no method is called 'gradiant'"),
        ("vargrad", "noise over noise"),
        ("smoothgrad:draws=3", "noise over noise"),
        ("rise:draws", "name:key=value"),
        ("rise:drows=3", "no option 'drows'"),
        ("expected-gradients", "reference samples"),
    ],
)
def test_what_can_not_be_averaged_is_told(of, says):
    with pytest.raises(UsageError, match=says):
        METHODS.build("smoothgrad", {"of": of})


def test_from_a_command_line():
    built = build_methods(("vargrad",), ("of=occlusion:window=2,stride=1", "draws=4"))["vargrad"]
    assert solve(built, linear(x=np.ones_like(X)), sample_of(x=X)).values["x"].max() > 0
    assert built.unit == "(target)²"
    assert not built.signed


# Draws in pairs


def test_pairs_cancel_what_is_odd():
    """The gradient of a square is linear in the noise, so a pair's mean is the gradient itself."""
    sample = sample_of(x=X)
    found = solve(SmoothGrad(6, sampling="antithetic"), sum_of_squares, sample).values["x"]
    np.testing.assert_allclose(found, 2 * X, rtol=1e-6)


def test_the_first_of_a_pair_is_the_plain_draw():
    sample, points = sample_of(x=X), []

    def spying(arrays):
        points.append(arrays["x"].copy())
        return sum_of_squares(arrays)

    solve(SmoothGrad(4, sampling="antithetic"), spying, sample)
    for draw, copy in enumerate(copies(sample, 2)):
        np.testing.assert_allclose(points[1 + 2 * draw], copy.inputs["x"], rtol=1e-6)
        np.testing.assert_allclose(points[1 + 2 * draw] + points[2 + 2 * draw], 2 * X, rtol=1e-6)


def test_squares_of_pairs_have_the_same_expectation():
    found = solve(SmoothGrad(4000, form="squared", sampling="antithetic"), sum_of_squares, sample_of(x=X)).values["x"]
    np.testing.assert_allclose(found, 4 * X**2 + 4 * (0.15 * 2.5) ** 2, rtol=0.1)


@pytest.mark.parametrize(
    ("options", "says"), [({"draws": "5"}, "no pairs"), ({"form": "variance"}, "unbiased variance")]
)
def test_pairs_that_make_no_sense_are_told(options, says):
    with pytest.raises(UsageError, match=says):
        METHODS.build("smoothgrad", {"sampling": "antithetic", **options})
