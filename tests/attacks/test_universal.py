"""One perturbation for many inputs."""

import numpy as np
import pytest
from linear_classifier import ATTACKS, Linear, ball_around, goal, scored

from saliency_cli.differentiable import Answer

W = np.array([[1.0, -2.0, 0.5], [-1.0, 1.0, 0.25]])


class Together(Linear):
    """Answers asks of several points, each of them another sample."""

    def answer(self, ask, sample):
        self.asked.append(ask)
        tops, total, out = [], np.zeros_like(sample.inputs["x"]), {"x": np.empty_like(sample.inputs["x"])}
        for i in range(ask.n):
            ask.point(i, out)
            self.points.append(out["x"].copy())
            z = self.logits(out)
            tops.append(z.argmax())
            total = total + ask.weights[i] * np.tensordot(
                ask.about @ scored(z, ask.trace.space)[1], self.weights["x"], 1
            )
        return Answer(np.zeros(ask.n), np.array(tops), {"x": total} if ask.trace.gradient else {})


def together(model, balls, target=None, **settings):
    members = [(ball, goal(model, ball, target)) for ball in balls]
    return model.solve(ATTACKS.build("universal", settings).perturb_all(members), balls[0].sample)


@pytest.mark.parametrize("norm", ["inf", "2"])
def test_of_inputs_of_one_class_of_a_linear_model_it_is_the_step_each_would_take(norm):
    balls = [ball_around(x, 0.5, norm) for x in ([3.0, -1.0, 2.0], [4.0, -2.0, 1.0], [2.0, -3.0, 0.0])]
    found = together(Together(W), balls)
    way = W[1] - W[0]
    expected = np.sign(way) if norm == "inf" else way / np.linalg.norm(way)
    np.testing.assert_allclose(found.delta["x"], 0.5 * expected, atol=1e-6)
    assert (found.reached, found.steps) == (0, 20)


def test_inputs_of_two_classes_are_asked_about_apart_and_their_gradients_are_summed():
    """Two of the first class and one of the second, of equal weight: the two win."""
    balls = [ball_around(x, 0.01, "2") for x in ([30.0, -1.0, 2.0], [30.0, -1.0, 2.0], [-30.0, 1.0, 0.0])]
    model = Together(W)
    found = together(model, balls, steps=1, stride=1)
    way = W[1] - W[0]
    np.testing.assert_allclose(found.delta["x"], 0.01 * way / np.linalg.norm(way), atol=1e-6)
    assert [ask.n for ask in model.asked] == [2, 1, 2, 1]


def test_it_ends_when_all_have_flipped_and_those_that_have_weigh_nothing():
    balls = [ball_around(x, 8.0) for x in ([0.2, -0.1, 0.0], [6.0, -3.0, 0.0])]
    model = Together(W)
    found = together(model, balls, steps=80, stride=1)
    assert found.reached == 2
    assert found.steps < 80
    assert next(tuple(ask.weights) for ask in model.asked) == (1, 1)
    assert (0, 1) in [tuple(ask.weights) for ask in model.asked]
    for ball in balls:
        assert model.logits({"x": ball.moved_by(found.delta)["x"]}).argmax() == 1


def test_a_target_is_reached_by_all():
    w = np.random.default_rng(0).normal(size=(4, 30))
    balls = [ball_around(np.random.default_rng(k).normal(size=30), 4.0, "2") for k in range(6)]
    model = Together(w)
    target = int(np.bincount([model.logits(ball.sample.inputs).argmax() for ball in balls], minlength=4).argmin())
    found = together(model, balls, target)
    assert found.reached == 6
    assert np.linalg.norm(found.delta["x"]) <= 4


def test_it_is_rounded_once_and_cut_to_each_inputs_range():
    balls = [ball_around(x, 9.5, ends=(0, 255), whole=True) for x in ([200.0, 3.0, 100.0], [255.0, 100.0, 0.0])]
    found = together(Together(W), balls)
    np.testing.assert_array_equal(found.delta["x"], 9 * np.sign(W[1] - W[0]))
    np.testing.assert_array_equal(balls[0].moved_by(found.delta)["x"], [191, 12, 91])
    np.testing.assert_array_equal(balls[1].moved_by(found.delta)["x"], [246, 109, 0])


def test_the_order_of_the_inputs_does_not_matter():
    w = np.random.default_rng(1).normal(size=(4, 30))
    balls = [ball_around(np.random.default_rng(k).normal(size=30), 0.3) for k in range(6)]
    there, back = together(Together(w), balls), together(Together(w), balls[::-1])
    np.testing.assert_array_equal(there.delta["x"], back.delta["x"])


def test_without_a_gradient_it_is_none_and_said_to_be():
    found = together(Together(np.zeros((2, 3)), [1.0, 0.0]), [ball_around([1.0, 2.0, 3.0])])
    assert found.stuck
    assert not found.delta["x"].any()
