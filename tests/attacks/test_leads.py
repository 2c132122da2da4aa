"""How far a class is ahead of the others, as the engine tells it: exact where a softmax in float32 is not."""

import numpy as np
import pytest

from saliency_cli.autodiff.head import Head
from saliency_cli.autodiff.runtime import tf


def told(z, space, kind="softmax", index=None):
    """The scores of a head over these logits, and the gradient of one (or all) by them."""
    logits = tf.constant(z, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        scores = Head(kind, logits, None if kind == "linear" else logits).scores(space)
        chosen = tf.reduce_sum(scores if index is None else scores[:, index])
    return scores.numpy(), tape.gradient(chosen, logits).numpy()


def exact(z, index):
    """log(p / (1 − p)) of one class and its gradient, in float64."""
    others = np.delete(np.arange(len(z)), index)
    ahead = np.logaddexp.reduce(z[others])
    gradient = np.eye(len(z))[index]
    gradient[others] = -np.exp(z[others] - ahead)
    return z[index] - ahead, gradient


@pytest.mark.parametrize("spread", [0.1, 3.0, 30.0, 300.0])
def test_log_odds_and_their_gradient_are_those_of_float64(spread):
    z = np.random.default_rng(0).normal(size=7).astype(np.float32) * np.float32(spread)
    for index in range(7):
        scores, gradient = told(z[None], "log-odds", index=index)
        value, slope = exact(np.float64(z), index)
        assert scores[0, index] == pytest.approx(value, rel=1e-5, abs=1e-5)
        np.testing.assert_allclose(gradient[0], slope, atol=2e-6)


def test_where_the_softmax_is_saturated_the_true_class_has_its_part():
    z = np.float32([[60.0, 1.0, 0.0]])
    np.testing.assert_allclose(
        told(z, "log-odds", index=0)[1][0], [1, -1 / (1 + np.exp(-1)), -1 / (1 + np.e)], atol=1e-6
    )
    lost = told(z, "log-probability", index=0)[1][0]
    assert lost[0] == 0
    assert np.abs(lost).max() < 1e-20


def test_the_margin_is_what_is_missing_to_the_first_or_what_the_first_is_ahead_by():
    z = np.float32([[2.0, 5.0, 4.5, -1.0]])
    np.testing.assert_allclose(told(z, "margin")[0][0], [-3, 0.5, -0.5, -6])
    np.testing.assert_allclose(told(z, "margin", index=1)[1][0], [0, 1, -1, 0])
    np.testing.assert_allclose(told(z, "margin", index=0)[1][0], [1, -1, 0, 0])


def test_one_sigmoid_unit_is_two_classes():
    for space in ("log-odds", "margin"):
        scores, gradient = told(np.float32([[1.5]]), space, "binary", index=1)
        np.testing.assert_allclose(scores[0], [-3, 3])
        np.testing.assert_allclose(gradient[0], [2])


def test_of_several_places_the_mean_counts_as_for_the_class_on_top():
    z = np.random.default_rng(1).normal(size=(1, 5, 3)).astype(np.float32)
    scores, _ = told(z, "margin")
    mean = z[0].mean(axis=0)
    assert scores.shape == (1, 3)
    assert scores[0, mean.argmax()] == pytest.approx(np.ptp(np.sort(mean)[-2:]), rel=1e-5)


def test_an_output_without_a_softmax_is_taken_for_logits():
    z = np.float32([[2.0, 5.0, 4.5]])
    np.testing.assert_allclose(told(z, "margin", "linear")[0], told(z, "margin")[0])


def test_nothing_is_nan_at_a_tie_or_far_out():
    for z in ([[0.0, 0.0, 0.0]], [[1e30, -1e30, 0.0]], [[3e38, 3e38, 0.0]]):
        for space in ("log-odds", "margin"):
            scores, gradient = told(np.float32(z), space)
            assert np.isfinite([*scores.ravel(), *gradient.ravel()]).all(), (z, space)
