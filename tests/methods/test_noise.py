"""SmoothGrad's noise: a function of (seed, sample, input name, draw) and of nothing else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import constant, drive, linear, sample_of, sum_of_sines, with_tops

from saliency_cli.differentiable import Answer, content_hash, solve
from saliency_cli.methods.smoothgrad import SmoothGrad

X = np.linspace(-1, 3, 12, dtype=np.float32).reshape(3, 4)


def noise(sample, name="x", draw=0, shape=(3, 4), dtype=np.float32):
    out = np.empty(shape, dtype)
    sample.normal(name, draw, out)
    return out


def points_of(method, sample):
    """Every point the method asks for after the sample itself, by input."""
    seen = []

    def answer(ask):
        for i in range(ask.n):
            out = {name: np.empty_like(sample.inputs[name]) for name in sample.floating}
            ask.point(i, out)
            if not ask.unperturbed:
                seen.append(out)
        zeros = {name: np.zeros(sample.inputs[name].shape) for name in sample.floating}
        return Answer(np.zeros(ask.n), np.zeros(ask.n), zeros, zeros)

    drive(method, sample, answer)
    return seen


def test_the_same_four_give_the_same_bits():
    np.testing.assert_array_equal(noise(sample_of(x=X, seed=3)), noise(sample_of(x=X.copy(), seed=3)))


@pytest.mark.parametrize(
    "other",
    [
        lambda: noise(sample_of(x=X, seed=4)),
        lambda: noise(sample_of(x=X + 1, seed=3)),
        lambda: noise(sample_of(x=X, seed=3), "y"),
        lambda: noise(sample_of(x=X, seed=3), draw=1),
    ],
    ids=["seed", "content", "input name", "draw"],
)
def test_another_of_the_four_gives_other_noise(other):
    assert abs(np.corrcoef(noise(sample_of(x=X, seed=3)).ravel(), other().ravel())[0, 1]) < 0.9


@settings(deadline=None)
@given(order=st.permutations(range(6)), seed=st.integers(0, 2**32))
def test_the_order_of_drawing_is_no_matter(order, seed):
    sample = sample_of(x=X, seed=seed)
    straight = [noise(sample, draw=i) for i in range(6)]
    for i in order:
        np.testing.assert_array_equal(noise(sample, draw=i), straight[i])


def test_a_point_does_not_depend_on_how_many_draws_there_are():
    few, many = points_of(SmoothGrad(3), sample_of(x=X)), points_of(SmoothGrad(9), sample_of(x=X))
    for a, b in zip(few, many, strict=False):
        np.testing.assert_array_equal(a["x"], b["x"])


def test_noise_is_the_same_in_float64_and_in_a_strided_buffer():
    sample = sample_of(x=X)
    np.testing.assert_array_equal(noise(sample), noise(sample, dtype=np.float64))
    wide = np.zeros((4, 3), np.float32).T
    sample.normal("x", 0, wide)
    np.testing.assert_array_equal(noise(sample), wide)


def test_noise_is_standard_normal():
    drawn = noise(sample_of(x=X), shape=(100_000,))
    assert drawn.mean() == pytest.approx(0, abs=0.02)
    assert drawn.std() == pytest.approx(1, abs=0.02)
    assert abs(drawn).max() > 3.5


def test_the_identity_is_the_content_and_not_the_order_of_inputs():
    a, b = np.float32([1, 2]), np.float32([3])
    assert content_hash({"a": a, "b": b}) == content_hash({"b": b, "a": a})
    others = [{"a": b, "b": a}, {"a": a.astype(np.float64), "b": b}, {"a": a[None], "b": b}, {"a": a}]
    assert len({content_hash(each) for each in ({"a": a, "b": b}, *others)}) == 5


@pytest.mark.parametrize("share", [0.15, 0.4])
def test_sigma_is_a_share_of_each_inputs_own_range(share):
    sample = sample_of(x=X, y=np.float32([10, 30]))
    found = solve(SmoothGrad(2, share), sum_of_sines, sample)
    assert found.details["sigma.x"] == pytest.approx(share * 4)
    assert found.details["sigma.y"] == pytest.approx(share * 20)
    for draw, point in enumerate(points_of(SmoothGrad(2, share), sample)):
        for name, sigma in (("x", share * 4), ("y", share * 20)):
            shape = sample.inputs[name].shape
            expected = sample.inputs[name] + sigma * noise(sample, name, draw, shape)
            np.testing.assert_allclose(point[name], expected, rtol=1e-6, atol=1e-6)


def test_zero_noise_is_the_gradient_itself():
    sample = sample_of(x=X)
    found = solve(SmoothGrad(5, 0.0), sum_of_sines, sample)
    np.testing.assert_allclose(found.values["x"], np.cos(X), rtol=1e-6)
    assert found.flags == ()


def test_a_constant_input_has_no_noise_and_that_is_flagged():
    flat = sample_of(x=np.full((3, 4), 7, np.float32))
    found = solve(SmoothGrad(5), sum_of_sines, flat)
    assert found.flags == ("no-noise",)
    assert found.details["sigma"] == 0
    np.testing.assert_allclose(found.values["x"], np.cos(7), rtol=1e-6)


def test_one_constant_input_beside_another_is_no_fault():
    sample = sample_of(x=X, flat=np.ones(3, np.float32))
    assert solve(SmoothGrad(5), sum_of_sines, sample).flags == ()


@pytest.mark.parametrize(
    ("later", "share", "flags"),
    [([1], 0, ()), ([2], 1, ("top-class-changed",)), ([1, 2], 0.5, ()), ([2, 2, 1, 2], 0.75, ("top-class-changed",))],
)
def test_the_share_of_draws_with_another_top_class(later, share, flags):
    sample = sample_of(x=X)
    found = drive(SmoothGrad(4), sample, with_tops(sample, 1, later))
    assert found.details["top_changed"] == share
    assert found.flags == flags


def test_a_function_without_classes_never_changed_its_top_class():
    assert solve(SmoothGrad(4), linear(x=X), sample_of(x=X)).details["top_changed"] == 0
    assert solve(SmoothGrad(4), constant, sample_of(x=X)).flags == ()
