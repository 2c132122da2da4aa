"""The protocol itself: asks, answers, and `solve`, which drives a method without TensorFlow."""

import numpy as np
import pytest

from saliency_cli.differentiable import Ask, Explanation, Sample, solve

X = np.float32([1.0, -2.0, 3.0])


class Asking:
    """A method that sends one ask and hands back what came."""

    def __init__(self, ask):
        self.ask = ask

    def attribute(self, sample):
        self.answer = yield self.ask
        return Explanation({}, {"n": float(self.ask.n)})


def sample_of(**inputs):
    return Sample(inputs, tuple(inputs), lambda kind: {})


def squares(arrays):
    return float((arrays["x"] ** 2).sum()), {"x": 2 * arrays["x"]}


def scaled(i, out):
    out["x"][...] = X * i


@pytest.mark.parametrize("wanted", [{}, {"squares": True}, {"each": True}, {"squares": True, "each": True}])
def test_solve_answers_what_was_asked_and_no_more(wanted):
    weights = np.array([0.5, 2.0, -1.0])
    method = Asking(Ask(3, scaled, weights, **wanted))
    assert solve(method, squares, sample_of(x=X)).details == {"n": 3}
    answer = method.answer
    np.testing.assert_allclose(answer.values, [0, 14, 56])
    assert answer.gradients["x"].dtype == np.float64
    np.testing.assert_allclose(answer.gradients["x"], 0 * X + 2 * 2 * X - 4 * X)
    assert list(answer.squares) == (["x"] if "squares" in wanted else [])
    assert list(answer.each) == (["x"] if "each" in wanted else [])
    if "squares" in wanted:
        np.testing.assert_allclose(answer.squares["x"], 2 * (2 * X) ** 2 - (4 * X) ** 2)
    if "each" in wanted:
        np.testing.assert_array_equal(answer.each["x"], [0 * X, 2 * X, 4 * X])
        assert answer.each["x"].dtype == np.float32


def test_a_point_of_no_weight_is_asked_for_its_value_only():
    def at_zero(arrays):
        value, gradients = squares(arrays)
        return value, gradients if value else {"x": np.full(3, np.nan)}

    method = Asking(Ask(2, scaled, np.array([0.0, 1.0]), squares=True))
    solve(method, at_zero, sample_of(x=X))
    np.testing.assert_array_equal(method.answer.gradients["x"], 2 * X)
    assert np.isfinite(method.answer.squares["x"]).all()


def test_sums_are_kept_in_float64():
    """2²⁴ + 1 is lost in float32."""
    weights = np.array([2.0**24, 1.0, 1.0])
    method = Asking(Ask(3, lambda i, out: out["x"].fill(1), weights))
    solve(method, lambda a: (0.0, {"x": a["x"]}), sample_of(x=X))
    np.testing.assert_array_equal(method.answer.gradients["x"], 2.0**24 + 2)


def test_the_ask_for_the_sample_itself():
    sample = sample_of(x=X)
    ask = sample.itself()
    assert (ask.n, ask.unperturbed, ask.weights.tolist()) == (1, True, [1.0])
    out = {"x": np.zeros(3, np.float32)}
    ask.point(0, out)
    np.testing.assert_array_equal(out["x"], X)


def test_held_inputs_reach_the_function_unchanged():
    tokens = np.array([3, 1, 2])
    sample = Sample({"x": X, "tokens": tokens}, ("x",), lambda kind: {})

    def function(arrays):
        np.testing.assert_array_equal(arrays["tokens"], tokens)
        return squares(arrays)

    method = Asking(sample.itself())
    solve(method, function, sample)
    assert list(method.answer.gradients) == ["x"]


def test_a_given_identity_is_kept():
    assert Sample({"x": X}, ("x",), lambda kind: {}, identity="one").identity == "one"
    assert Sample({"x": X}, ("x",), lambda kind: {}).identity == sample_of(x=X.copy()).identity
