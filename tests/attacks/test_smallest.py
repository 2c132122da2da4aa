"""The smallest ε that an attack can do with."""

import numpy as np
import pytest
from linear_classifier import ATTACKS, Linear, ball_around, goal

from saliency_cli.studies.perturb_search import smallest

W = np.array([[1.0, -2.0, 0.5], [-1.0, 1.0, 0.25]])
WAY = np.abs(W[0] - W[1]).sum()


def found_by(attack, model, ball, **settings):
    return model.solve(smallest(ATTACKS.build(attack, settings), ball, goal(model, ball)), ball.sample)


@pytest.mark.parametrize("attack", ["fgsm", "pgd", "iterative", "deepfool"])
def test_in_whole_steps_it_is_the_first_that_a_linear_model_allows(attack):
    for margin in (10.0, 17.0, 33.3, 50.0):
        model = Linear(W, [0, (W[0] - W[1]) @ np.array([100.0, 90.0, 120.0]) - margin])
        ball = ball_around([100.0, 90.0, 120.0], 16.0, ends=(0, 255), whole=True, bounded=attack != "deepfool")
        found, share = found_by(attack, model, ball)
        assert share * 16 == np.ceil(margin / WAY) == np.abs(found.values["x"] - [100, 90, 120]).max(), margin
        assert model.logits(found.values).argmax() == 1


def test_without_steps_it_is_found_to_a_part_of_256():
    model, ball = Linear(W), ball_around([3.0, -1.0, 2.0], 4.0)
    _, share = found_by("fgsm", model, ball)
    exact = (W[0] - W[1]) @ np.array([3.0, -1.0, 2.0]) / WAY
    assert exact <= share * 4 <= exact + 4 / 256
    assert len(model.asked) <= 2 * 10


def test_it_is_none_where_the_whole_ball_is_not_enough():
    model, ball = Linear(W), ball_around([3.0, -1.0, 2.0], 0.5)
    found, share = found_by("pgd", model, ball)
    assert share is None
    assert not found.reached
    assert model.gradients == 20


def test_deepfool_is_asked_once_and_its_way_is_shortened():
    model, ball = Linear(W), ball_around([3.0, -1.0, 2.0], 1.0, "2", bounded=False)
    found, share = found_by("deepfool", model, ball, overshoot=1)
    exact = (W[0] - W[1]) @ np.array([3.0, -1.0, 2.0]) / np.linalg.norm(W[0] - W[1])
    assert exact < share < exact * 1.01
    assert model.logits(found.values).argmax() == 1
    assert model.gradients == 2 + 0
