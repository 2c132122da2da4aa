"""Attacks on linear models, where the answer is known."""

import numpy as np
import pytest
from linear_classifier import ATTACKS, Linear, ball_around, goal, moved

W = np.array([[1.0, -2.0, 0.5], [-1.0, 1.0, 0.25]])
X = np.array([3.0, -1.0, 2.0])


def test_fgsm_goes_the_whole_ball_along_the_sign_of_the_weights():
    model, ball = Linear(W), ball_around(X, 0.5)
    found = model.attack("fgsm", ball, goal(model, ball))
    np.testing.assert_allclose(moved(ball, found), 0.5 * np.sign(W[1] - W[0]))
    assert (found.reached, found.steps, model.gradients, len(model.asked)) == (False, 1, 1, 2)


def test_fgsm_in_l2_is_a_step_of_length_epsilon_along_the_gradient():
    model, ball = Linear(W), ball_around(X, 0.5, "2")
    found = model.attack("fgsm", ball, goal(model, ball))
    way = W[1] - W[0]
    np.testing.assert_allclose(moved(ball, found), 0.5 * way / np.linalg.norm(way), rtol=1e-6)
    assert np.linalg.norm(moved(ball, found)) <= 0.5


def test_of_many_classes_the_loss_weighs_the_rivals_by_their_probability():
    w = np.random.default_rng(0).normal(size=(4, 6))
    model, ball = Linear(w), ball_around(np.random.default_rng(1).normal(size=6), 0.1, "2")
    found = model.attack("fgsm", ball, goal(model, ball))
    z = model.logits(ball.sample.inputs)
    p = np.exp(z) / np.exp(z).sum()
    way = w.T @ (p - np.eye(4)[z.argmax()])  # the gradient of −log p_y
    np.testing.assert_allclose(moved(ball, found), 0.1 * way / np.linalg.norm(way), rtol=1e-5, atol=1e-6)


def test_the_margin_looks_at_the_second_class_alone():
    w = np.random.default_rng(0).normal(size=(4, 6))
    model, ball = Linear(w), ball_around(np.random.default_rng(1).normal(size=6), 0.1, "2")
    found = model.attack("fgsm", ball, goal(model, ball), loss="margin")
    first, second = np.argsort(-model.logits(ball.sample.inputs))[:2]
    way = w[second] - w[first]
    np.testing.assert_allclose(moved(ball, found), 0.1 * way / np.linalg.norm(way), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("attack", ["fgsm", "pgd", "iterative", "deepfool"])
@pytest.mark.parametrize("norm", ["inf", "2"])
def test_every_attack_reaches_any_class_of_a_linear_softmax(attack, norm):
    w = np.random.default_rng(2).normal(size=(5, 40))
    for target in range(5):
        model, ball = Linear(w), ball_around(np.random.default_rng(3).normal(size=40), 10.0, norm)
        wanted = goal(model, ball, target)
        if wanted.truth == target:
            continue
        found = model.attack(attack, ball, wanted)
        assert found.reached
        assert found.top == target
        assert model.logits({"x": found.values["x"]}).argmax() == target


def test_a_target_is_neared_also_where_it_can_not_be_reached():
    model, ball = Linear(np.eye(3)), ball_around([5.0, 3.0, 0.0], 0.5)
    found = model.attack("iterative", ball, goal(model, ball, 2))
    np.testing.assert_allclose(moved(ball, found), [-0.5, -0.5, 0.5])
    assert not found.reached


def test_steps_of_pgd_end_in_the_corner_and_cost_a_gradient_each():
    model, ball = Linear(W), ball_around(X, 0.5)
    found = model.attack("pgd", ball, goal(model, ball))
    np.testing.assert_allclose(moved(ball, found), 0.5 * np.sign(W[1] - W[0]))
    assert (model.gradients, len(model.asked), found.steps) == (20, 21, 20)


def test_pgd_is_the_step_it_says():
    model, ball = Linear(W), ball_around(X, 0.5)
    model.attack("pgd", ball, goal(model, ball), start="sample", steps=4, stride=2)
    way = [points["x"] - X for points in model.points]
    np.testing.assert_allclose(way, np.outer([0, 0.25, 0.5, 0.5, 0.5], np.sign(W[1] - W[0])))


def test_the_iterative_preset_is_that_of_its_authors_for_eight_steps():
    model, ball = Linear(W * 1e-3), ball_around(np.array([130.0, 120.0, 140.0]), 8.0, ends=(0, 255), whole=True)
    model.attack("iterative", ball, goal(model, ball))
    way = [points["x"] - ball.reaches["x"].start for points in model.points]
    np.testing.assert_array_equal(np.abs(way).max(axis=1), [*range(9), 8, 8])


def test_pgd_ends_at_the_first_point_that_flips():
    model, ball = Linear(W), ball_around(X, 20.0)
    found = model.attack("pgd", ball, goal(model, ball), start="sample", steps=100, stride=1)
    margin, most = (W[0] - W[1]) @ X, np.abs(W[0] - W[1]).sum()
    assert found.steps == int(margin / most / 0.2) + 1 == len(model.asked) - 1
    assert found.reached


def test_more_restarts_cost_more_and_the_best_end_is_kept():
    model, ball = Linear(W), ball_around(X, 0.5)
    found = model.attack("pgd", ball, goal(model, ball), restarts=3, steps=5, stride=0.5)
    objectives = [np.diff(model.logits(points))[0] for points in model.points]
    assert (model.gradients, len(model.asked)) == (15, 18)
    assert np.diff(model.logits(found.values))[0] == max(objectives)
    starts = [model.points[k]["x"] for k in (0, 6, 12)]
    assert len({tuple(start) for start in starts}) == 3


@pytest.mark.parametrize(("norm", "size"), [("2", np.linalg.norm), ("inf", lambda w: np.abs(w).sum())])
def test_deepfool_is_the_projection_onto_the_boundary(norm, size):
    model, ball = Linear(W, [0.2, 0]), ball_around(X, 1.0, norm, bounded=False)
    found = model.attack("deepfool", ball, goal(model, ball), overshoot=1e-6)
    way, margin = W[1] - W[0], (W[0] - W[1]) @ X + 0.2
    direction = way / np.linalg.norm(way) if norm == "2" else np.sign(way)
    np.testing.assert_allclose(moved(ball, found), margin / size(way) * direction, rtol=1e-5, atol=1e-6)
    assert found.reached
    assert found.steps == 1
    assert ball.length(found.values) == pytest.approx(margin / size(way), rel=1e-5)


def test_deepfool_goes_to_the_nearest_of_several_boundaries():
    w = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 4.0]])
    model, ball = Linear(w, [3.0, 1.0, 0.0]), ball_around([0.0, 0.0], 1.0, "2", bounded=False)
    found = model.attack("deepfool", ball, goal(model, ball), overshoot=0.02)
    np.testing.assert_allclose(moved(ball, found), [0, 1.02 * 0.75], rtol=1e-6)  # 3/4 away, the other one 2
    assert found.top == 2
    near = model.attack("deepfool", ball, goal(model, ball), rivals=1)
    assert near.top == 1  # the second by its score, though farther away


def test_deepfool_leaves_out_a_value_at_the_end_of_its_range():
    w = np.array([[4.0, 1.0], [0.0, 0.0]])
    model, ball = Linear(w), ball_around([0.0, 1.0], 1.0, "2", ends=(0.0, 9.0), bounded=False)
    found = model.attack("deepfool", ball, goal(model, ball), overshoot=0.02)
    np.testing.assert_allclose(moved(ball, found), [0, -1], atol=0.03)
    assert found.reached is bool(model.logits(found.values).argmax())


def test_a_model_without_a_gradient_is_told():
    for attack in ATTACKS.names():
        model, ball = Linear(np.zeros((3, 2)), [1.0, 0.0, 0.0]), ball_around([1.0, 2.0], 1.0)
        found = model.attack(attack, ball, goal(model, ball))
        assert (found.stuck, found.reached) == (True, False), attack


def test_epsilon_and_steps_are_in_the_units_of_the_file():
    """A model that takes v/255 is moved as far, in steps of the file, as one that takes v."""
    x = np.array([100.0, 90.0, 80.0])
    for attack in ("fgsm", "pgd", "deepfool"):
        found = {}
        for scale in (1.0, -1 / 255):
            model = Linear(W / scale)
            ball = ball_around(x, 4.0, ends=(0, 255), scale=scale, bounded=attack != "deepfool")
            found[scale] = moved(ball, model.attack(attack, ball, goal(model, ball)))
        np.testing.assert_allclose(*found.values(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("norm", ["inf", "2"])
def test_several_inputs_are_moved_together_each_by_its_own_epsilon(norm):
    model = Linear({"a": [[1.0, -2.0], [0.0, 0.0]], "b": [[3.0], [0.0]]})
    ball = ball_around({"a": [9.0, -9.0], "b": [9.0]}, {"a": 0.5, "b": 2.0}, norm)
    found = model.attack("fgsm", ball, goal(model, ball))
    if norm == "inf":
        np.testing.assert_allclose(moved(ball, found, "a"), [-0.5, 0.5])
        np.testing.assert_allclose(moved(ball, found, "b"), [-2])
    else:  # the ellipsoid ‖a‖²/ε_a² + ‖b‖²/ε_b² ≤ 1
        slopes = np.array([-0.5, 1.0, -6.0])
        way = slopes / np.linalg.norm(slopes)
        np.testing.assert_allclose(moved(ball, found, "a"), 0.5 * way[:2], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(moved(ball, found, "b"), 2 * way[2:], rtol=1e-5, atol=1e-6)
    assert ball.length(found.values) == pytest.approx(1, rel=1e-6)
