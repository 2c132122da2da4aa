"""Metrics of the model's own sensitivity, on functions whose answers are known in closed form."""

from dataclasses import replace

import numpy as np
import pytest
from numpy_classes import METRICS, Classifier, drive, softmax, subject_of

from saliency_cli.differentiable import Answer
from saliency_cli.subject import evaluate

W = np.array([[3.0, -4.0], [0.0, 12.0]])
X = np.array([[0.25, 0.5], [0.75, 0.5]], np.float32)
UNIT = {"x": (np.float32(0), np.float32(1))}


def linear(arrays):
    return float((W * arrays["x"]).sum()) + 1, {"x": W}


def measured(name, function, subject, **options):
    return evaluate(METRICS.build(name, options), subject, function)


# The norms of the gradient


@pytest.mark.parametrize(("name", "expected"), [("grad-l1", 19), ("grad-l2", 13), ("grad-linf", 12)])
def test_the_norms_of_a_linear_functions_gradient(name, expected):
    assert measured(name, linear, subject_of(X)) == (pytest.approx(expected, abs=1e-12), "")


def test_a_norm_is_over_every_input():
    def function(arrays):
        return 0.0, {"a": np.full(3, 2.0), "b": np.array([-2.0, 0])}

    subject = subject_of({"a": np.zeros(3, np.float32), "b": np.zeros(2, np.float32)})
    assert measured("grad-l2", function, subject).value == pytest.approx(4)
    assert measured("grad-l1", function, subject).value == pytest.approx(8)


def test_the_gradient_of_a_quadratic_is_taken_at_the_sample():
    a = np.array([[2.0, 1.0], [1.0, 3.0]])
    x = np.array([1.0, -2.0], np.float32)
    found = measured("grad-l1", lambda arrays: (0.0, {"x": a @ arrays["x"]}), subject_of(x))
    assert found.value == pytest.approx(np.abs(a @ x).sum())


# The loss's gradient


THREE = Classifier([[1.0, 2.0], [3.0, -1.0], [-2.0, 0.5]], np.array([0.1, 0.0, -0.2]))
X2 = np.array([0.3, 0.4], np.float32)


@pytest.mark.parametrize("label", [None, 0, 2])
def test_the_loss_gradient_of_a_softmax_is_w_transposed_p_minus_y(label):
    """Of −log p_y, whatever target the run has; y is the class on top where no label is known."""
    z = THREE.logits(X2)
    residual = softmax(z) - np.eye(3)[z.argmax() if label is None else label]
    found = drive("loss-grad-l2", THREE.subject(X2, label=label, target=1), THREE)
    assert found.value == pytest.approx(np.linalg.norm(THREE.w.T @ residual), rel=1e-5)


# Elasticity


def test_elasticity_of_a_homogeneous_function():
    """s = w·x in the direction of x: exactly 1, of any scale; s³ is three times as elastic."""
    x = np.array([3.0, 4.0], np.float32)

    def function(arrays):
        s = 10 * float((x * arrays["x"]).sum())
        return s, {"x": 10 * x}

    def cubed(arrays):
        s, g = function(arrays)
        return -(s**3), {"x": -3 * s * s * g["x"]}

    assert measured("elasticity", function, subject_of(x)).value == pytest.approx(1)
    assert measured("elasticity", cubed, subject_of(x)).value == pytest.approx(3)


def test_elasticity_at_a_target_of_zero():
    def function(arrays):
        return 0.0, {"x": W}

    assert measured("elasticity", function, subject_of(X), epsilon=0.5).value == pytest.approx(
        13 * np.linalg.norm(X) / 0.5
    )
    found = measured("elasticity", function, subject_of(X), epsilon=0)
    assert np.isnan(found.value)
    assert "zero" in found.note


# The margin


def two_classes(radius, x=X, sign=1):
    """Two classes whose ℓ∞ margin at `x` is `radius` in the model's units: Δz = d·x + b, Δz(x) = radius·‖d‖₁."""
    d = np.array([[2.0, -1.0], [0.5, 1.5]])[: x.shape[0]]
    w = np.stack([d / 2, -d / 2]) * sign
    return Classifier(w, np.array([1, -1]) * sign * (radius * np.abs(d).sum() - (d * x).sum()) / 2)


@pytest.mark.parametrize("radius", [0.003, 0.05, 0.2])
def test_the_flip_radius_of_two_linear_classes_is_exact(radius):
    model = two_classes(radius)
    found = drive("flip-radius-linf", model.subject(X, limits=UNIT), model).value
    assert found == pytest.approx(radius, rel=1e-6)
    worst = np.sign(model.w[1] - model.w[0])
    assert np.diff(model.logits(X + found * worst)) == pytest.approx(0, abs=1e-6)
    assert model.logits(X + 0.99 * found * worst).argmax() == 0


def test_the_flip_radius_is_a_share_of_each_values_range():
    """Twice the range of a value is twice the step it may make."""
    model = two_classes(0.05)
    low, high = np.array([-1.0, 0.0], np.float32), np.array([3.0, 1.0], np.float32)
    d = np.abs(model.w[0] - model.w[1])
    expected = 0.05 * d.sum() / (d * (high - low)).sum()
    found = drive("flip-radius-linf", model.subject(X, limits={"x": (low, high)}), model).value
    assert found == pytest.approx(expected, rel=1e-6)


def test_the_flip_radius_is_negative_where_the_prediction_is_wrong():
    model = two_classes(0.05)
    found = drive("flip-radius-linf", model.subject(X, label=1, limits=UNIT), model).value
    assert found == pytest.approx(-0.05, rel=1e-6)


@pytest.mark.parametrize(("label", "rival"), [(None, 1), (1, 0), (2, 0)])
def test_the_rival_is_the_highest_other_class(label, rival):
    z = THREE.logits(X2)
    assert z.argmax() == 0
    truth = 0 if label is None else label
    expected = (z[truth] - z[rival]) / np.abs(THREE.w[truth] - THREE.w[rival]).sum()
    found = drive("flip-radius-linf", THREE.subject(X2, label=label, limits=UNIT, target=2), THREE).value
    assert found == pytest.approx(expected, rel=1e-6)


def test_the_margins_gradient_is_read_where_the_logits_are():
    """An output without a softmax has no logit space: `logit_space` names the one to ask in."""
    model = two_classes(0.05)
    subject = replace(model.subject(X, limits=UNIT), logit_space="output")
    assert drive("flip-radius-linf", subject, model).value == pytest.approx(0.05 / 100)
    assert model.asks[-1].trace.space == "output"


def test_a_margin_without_gradient_is_no_infinite_radius():
    model = Classifier(np.zeros((2, 2, 2)), np.array([5.0, 0]))
    for name in ("flip-radius-linf", "fgsm-flip-eps", "pgd-flip-rate"):
        found = drive(name, model.subject(X, limits=UNIT), model)
        assert np.isnan(found.value), name
        assert "no gradient" in found.note


@pytest.mark.parametrize("name", ["flip-radius-linf", "fgsm-flip-eps", "pgd-flip-rate"])
def test_one_class_alone_has_no_margin(name):
    model = Classifier(np.ones((1, 2, 2)))
    found = drive(name, model.subject(X, limits=UNIT), model)
    assert np.isnan(found.value)
    assert "no other class" in found.note


# FGSM


GRID = [k / 255 for k in (0.5, 1, 2, 4, 8, 16)]


@pytest.mark.parametrize("radius", [0.1 / 255, 0.49 / 255, 0.51 / 255, 1.5 / 255, 3.9 / 255, 4.1 / 255, 15.9 / 255])
def test_fgsm_finds_the_first_step_beyond_the_radius_of_a_linear_model(radius):
    model = two_classes(radius)
    found = drive("fgsm-flip-eps", model.subject(X, limits=UNIT), model)
    assert found == (pytest.approx(min(e for e in GRID if e >= radius)), "")


def test_fgsm_steps_are_shares_of_the_range():
    """In a range of 255 the same margin, in the model's units, is 255 times as near."""
    model = two_classes(0.9)
    limits = {"x": (np.float32(-100), np.float32(155))}
    found = drive("fgsm-flip-eps", model.subject(X, limits=limits), model)
    assert found.value == pytest.approx(1 / 255)


def test_fgsm_that_finds_nothing_says_how_far_it_looked():
    model = two_classes(16.1 / 255)
    found = drive("fgsm-flip-eps", model.subject(X, limits=UNIT), model)
    assert found == (np.inf, "> 0.0627")
    wider = METRICS.build("fgsm-flip-eps", {"largest": 0.25, "halvings": 1})
    assert drive(wider, model.subject(X, limits=UNIT), model).value == 0.125


def test_fgsm_of_a_wrong_prediction_is_zero():
    model = two_classes(0.05)
    assert drive("fgsm-flip-eps", model.subject(X, label=1, limits=UNIT), model) == (0.0, "")
    assert not model.asks


def test_fgsm_stays_in_the_valid_range():
    """All values at the end of the range they would have to leave: nothing can be found."""
    model = Classifier(np.stack([np.ones((2, 2)), -np.ones((2, 2))]), np.array([0.01, 0.0]))
    x = np.zeros((2, 2), np.float32)
    assert drive("fgsm-flip-eps", model.subject(x, limits=UNIT), model).value == np.inf
    assert min(point.min() for point in model.points) == 0
    assert drive("fgsm-flip-eps", model.subject(x, limits={"x": (-1.0, 1.0)}), model).value < np.inf


@pytest.mark.parametrize("name", ["fgsm-flip-eps", "pgd-flip-rate"])
def test_a_saturated_softmax_hides_nothing(name):
    """Three classes at logits of some thousands: p_y is 1 in float32, and its gradient 0 or of the wrong sign."""
    w = 1e5 * np.array([[[1.0, 0.2]], [[0.9, -0.3]], [[-2.0, 1.0]]])
    x = np.array([[0.5, 0.51]], np.float32)
    model = Classifier(w, np.array([0.0, 3e4, -1e5]))
    margin = -np.diff(np.sort(model.logits(x))[::-1])[0]
    assert 100 < margin < 4 / 255 * 1e5 * 0.6
    found = drive(name, model.subject(x, limits=UNIT), model).value
    assert found == 1.0 if name.startswith("pgd") else 0 < found <= 4 / 255


def test_the_direction_is_that_of_the_cross_entropy():
    """Not that of the margin to one class: both other classes pull, by their share."""
    w = np.array([[2.0, 0.5], [3.0, 0.8], [2.8, 0.0]])
    model = Classifier(w, np.array([1.0, 0.0, 0.0]))
    x = np.array([0.1, 0.1], np.float32)
    drive(METRICS.build("fgsm-flip-eps", {"halvings": 0, "largest": 0.01}), model.subject(x, limits=UNIT), model)
    p = softmax(model.logits(x))
    expected = w.T @ (p - np.array([1, 0, 0]))
    assert expected[1] < 0 < w[1, 1] - w[0, 1], "the case tells the two apart"
    np.testing.assert_array_equal(np.sign(model.points[-1] - x), np.sign(expected))
    about = model.asks[0].about
    np.testing.assert_allclose(w.T @ about, expected / (1 - p[0]), rtol=1e-5)


# PGD


def test_pgd_finds_what_is_there_and_never_what_is_not():
    for k, radius in enumerate(np.linspace(0.2, 5, 25) / 255):
        model = two_classes(radius)
        subject = model.subject(X, limits=UNIT, identity=str(k))
        assert drive("pgd-flip-rate", subject, model).value == float(radius < 4 / 255)


@pytest.mark.parametrize("factor", [0.98, 1.02])
def test_pgd_reaches_the_corner_of_its_ball(factor):
    model = two_classes(0.01)
    metric = METRICS.build("pgd-flip-rate", {"epsilon": 0.01 * factor})
    for seed in range(20):
        assert drive(metric, model.subject(X, limits=UNIT, seed=seed), model).value == float(factor > 1)


def test_pgd_walks_within_the_ball_and_the_valid_range():
    low, high = np.array([0.0, 0.4], np.float32), np.array([1.0, 0.5], np.float32)
    model = two_classes(5.0)
    drive("pgd-flip-rate", model.subject(X, limits={"x": (low, high)}), model)
    asked = [ask for ask in model.asks if ask.trace.gradient]
    assert (len(asked), len(model.asks)) == (20, 41)
    way = np.array(model.points[::2])
    assert (np.abs(way - X) <= 1.00001 * 4 / 255 * (high - low)).all()
    assert (way >= low).all()
    assert (way <= high).all()
    steps = np.abs(np.diff(way, axis=0)) / (high - low)
    assert steps.max() == pytest.approx(2.5 * 4 / 255 / 20, rel=1e-3)
    assert np.unique(way[0] - X).size >= 3, "the start is drawn, value by value"


def test_pgd_draws_its_start_from_seed_and_sample_alone():
    def start(**facts):
        model = two_classes(5.0)
        drive("pgd-flip-rate", model.subject(X, limits=UNIT, **facts), model)
        return model.points[0]

    np.testing.assert_array_equal(start(), start())
    assert len({found.tobytes() for found in (start(), start(seed=1), start(identity="other"))}) == 3
    moved = np.array([start(seed=seed) for seed in range(50)]) - X
    assert -4.0001 / 255 <= moved.min() < -3.7 / 255
    assert 3.7 / 255 < moved.max() <= 4.0001 / 255


def test_pgd_looks_at_every_point_of_its_way():
    """A model that is wrong at the third point alone."""

    class Passing(Classifier):
        def answer(self, ask, subject):
            found = super().answer(ask, subject)
            forward = sum(not ask.trace.gradient for ask in self.asks)
            return replace(found, tops=np.array([1])) if not ask.trace.gradient and forward == 3 else found

    model = Passing(two_classes(5.0).w, two_classes(5.0).b)
    assert drive("pgd-flip-rate", model.subject(X, limits=UNIT), model).value == 1
    assert len(model.asks) == 5


def test_pgd_of_a_wrong_prediction_is_one():
    model = two_classes(0.05)
    assert drive("pgd-flip-rate", model.subject(X, label=1, limits=UNIT), model) == (1.0, "")
    assert not model.asks


@pytest.mark.parametrize("name", ["fgsm-flip-eps", "pgd-flip-rate"])
def test_an_attack_on_a_model_that_breaks_down_has_no_result(name):
    class Broken(Classifier):
        def answer(self, ask, subject):
            found = super().answer(ask, subject)
            return found if ask.trace.gradient else Answer(np.full(ask.n, np.nan), found.tops, {})

    model = Broken(two_classes(5.0).w, two_classes(5.0).b)
    found = drive(name, model.subject(X, limits=UNIT), model)
    assert np.isnan(found.value)
    assert "finite" in found.note


def test_inputs_without_a_range_are_held():
    """Two inputs, one of them with limits: margin and steps are of that one."""

    class Two(Classifier):
        def answer(self, ask, subject):
            out = {n: a.copy() for n, a in subject.sample.inputs.items()}
            tops, values = np.zeros(ask.n, np.int64), np.zeros(ask.n)
            for i in range(ask.n):
                ask.point(i, out)
                assert out["table"][0] == 7
                z = float(out["x"].sum()) - 1.97
                tops[i], values[i] = int(z > 0), z
            slope = float(ask.about[1] - ask.about[0]) / 2 if ask.about is not None else 0
            both = {"x": np.full((2, 2), slope), "table": np.full(1, 100 * slope)}
            return Answer(values, tops, both if ask.trace.gradient else {}, logits=np.array([-z / 2, z / 2]))

    x = {"x": np.full((2, 2), 0.49, np.float32), "table": np.full(1, 7, np.float32)}
    subject = subject_of(x, limits=UNIT, logits=np.array([0.005, -0.005]), top=0, weights=np.eye(2)[0])
    assert drive("flip-radius-linf", subject, Two([[0], [0]])).value == pytest.approx(0.0025)
    assert drive("fgsm-flip-eps", subject, Two([[0], [0]])).value == pytest.approx(1 / 255)
    assert drive("pgd-flip-rate", subject, Two([[0], [0]])).value == 1
