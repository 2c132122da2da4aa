"""Randomised models and other classes: which are asked for, and what their maps are compared with."""

import numpy as np
import pytest
from numpy_classes import METRICS, Classifier, drive

from saliency_cli.differentiable import Answer, Ask, Explanation, Trace

SHAPE = (12, 12)
W = np.random.default_rng(1).normal(size=(4, *SHAPE))
X = np.random.default_rng(2).random(SHAPE).astype(np.float32)


class Layered(Classifier):
    """A classifier whose weights at each depth are known; depth 3 of them can be drawn anew."""

    def __init__(self, w=W, drawn=None, depth=3):
        super().__init__(w)
        self.drawn, self.depth = drawn or {}, depth
        self.runs = []

    def weights_at(self, trace):
        if trace.randomised is None:
            return self.w
        seed, depth = trace.randomised
        known = self.drawn.get(depth)
        return np.random.default_rng([seed, depth]).normal(size=self.w.shape) if known is None else known

    def answer(self, ask, subject):
        own, self.w = self.w, self.weights_at(ask.trace)
        try:
            return super().answer(Ask(**{**vars(ask), "trace": Trace(gradient=ask.trace.gradient)}), subject)
        finally:
            self.w = own

    def subject_of(self, method=None, **facts):
        def rerun(sample, trace, weights=None, /):
            self.runs.append((trace, None if weights is None else weights.copy()))
            asked = Ask(1, lambda _, out: sample.write(out), np.ones(1), trace=trace, about=weights)
            answer: Answer = yield asked
            return Explanation({"x": (method or (lambda g, s: g))(answer.gradients["x"], sample)})

        target = facts.pop("target", 0)
        values = (method or (lambda g, s: g))(self.w[target], None)
        fold = lambda found: np.abs(np.asarray(found["x"], np.float64))  # noqa: E731
        return self.subject(X, values, target=target, depth=self.depth, method=rerun, fold=fold, **facts)


def build(name="model-randomisation", **options):
    return METRICS.build(name, options)


def correlation(a, b):
    return np.corrcoef(np.abs(a).ravel(), np.abs(b).ravel())[0, 1]


def test_the_map_by_the_top_layer_drawn_anew():
    other = np.random.default_rng(9).normal(size=W.shape)
    model = Layered(drawn={1: other})
    found = drive(build(), model.subject_of(seed=5), model)
    assert found == (pytest.approx(correlation(W[0], other[0])), "")
    assert [trace.randomised for trace, _ in model.runs] == [(5, 1)]
    assert model.runs[0][0].gradient


def test_other_signs_are_folded_away():
    model = Layered(drawn={2: -W})
    assert drive(build(depth=2), model.subject_of(), model).value == pytest.approx(1)


@pytest.mark.parametrize("similarity", ["pearson", "spearman", "ssim"])
def test_a_method_that_is_blind_to_the_model(similarity):
    model = Layered()
    subject = model.subject_of(method=lambda g, s: X)
    assert drive(build(similarity=similarity), subject, model) == (1.0, "")


@pytest.mark.parametrize("similarity", ["spearman", "ssim"])
def test_the_likeness_asked_for(similarity):
    other = np.abs(W) ** 3 + 0.2 * np.random.default_rng(3).random(W.shape)
    model = Layered(drawn={1: other})
    expected = drive(similarity, _beside(W[0], other[0]), None).value
    found = drive(build(similarity=similarity), model.subject_of(), model).value
    assert found == pytest.approx(expected)
    assert found != pytest.approx(drive(build(), Layered(drawn={1: other}).subject_of(), model).value)


def _beside(a, b):
    from numpy_classes import subject_of

    from saliency_cli.subject import Reference

    return subject_of(X, a, np.abs(a), reference=Reference(np.abs(b)))


def test_a_cascade_is_the_mean_of_its_depths():
    drawn = {depth: np.random.default_rng(10 + depth).normal(size=W.shape) for depth in (1, 2, 3)}
    model = Layered(drawn=drawn)
    found = drive(build("cascading-randomisation"), model.subject_of(), model)
    assert [trace.randomised[1] for trace, _ in model.runs] == [1, 2, 3]
    assert found.value == pytest.approx(np.mean([correlation(W[0], drawn[d][0]) for d in (1, 2, 3)]))


@pytest.mark.parametrize(
    ("options", "depth", "expected"),
    [
        ({"steps": 3}, 9, [1, 5, 9]),
        ({"steps": 1, "depth": 4}, 9, [4]),
        ({"steps": 2, "depth": 4}, 9, [4, 9]),
        ({"steps": 5}, 1, [1]),
    ],
)
def test_the_depths_of_a_cascade(options, depth, expected):
    model = Layered(depth=depth)
    drive(build(**options), model.subject_of(), model)
    assert [trace.randomised[1] for trace, _ in model.runs] == expected


def test_deeper_than_the_model():
    model = Layered(depth=2)
    found = drive(build(depth=3), model.subject_of(), model)
    assert np.isnan(found.value)
    assert "2 layers" in found.note
    assert not model.runs


def test_drawing_anew_what_the_target_does_not_hear_of_tests_nothing():
    """Else it would pass for a method that is blind to the model."""
    other = W.copy()
    other[1:] += 1
    model = Layered(drawn={1: other})
    found = drive(build(), model.subject_of(), model)
    assert np.isnan(found.value)
    assert "nothing is tested" in found.note


def test_a_randomised_map_of_zeros_has_no_likeness():
    model = Layered(drawn={1: np.zeros_like(W)})
    found = drive(build(), model.subject_of(), model)
    assert np.isnan(found.value)
    assert found.note == "the other map is zero everywhere, at depth 1"


@pytest.mark.parametrize("name", ["model-randomisation", "random-logit"])
def test_a_map_of_zeros(name):
    model = Layered()
    found = drive(name, model.subject_of(method=lambda g, s: 0 * g), model)
    assert np.isnan(found.value)
    assert found.note == "the map is zero everywhere"
    assert not model.runs


def test_another_class_is_one_the_target_has_no_part_of():
    seen = set()
    for seed in range(40):
        model = Layered()
        found = drive("random-logit", model.subject_of(seed=seed, target=2), model)
        ((trace, weights),) = model.runs
        (index,) = np.flatnonzero(weights)
        assert trace.randomised is None
        assert weights[index] == 1
        assert found.value == pytest.approx(correlation(W[2], W[index]))
        seen.add(int(index))
    assert seen == {0, 1, 3}


def test_the_other_class_is_the_same_twice():
    first, second = (drive("random-logit", Layered().subject_of(seed=3), Layered()) for _ in range(2))
    assert first == second


def test_a_difference_of_classes_leaves_both_out():
    weights = np.float32([1, 0, -1, 0])
    for seed in range(20):
        model = Layered()
        drive("random-logit", model.subject_of(seed=seed, weights=weights), model)
        assert np.flatnonzero(model.runs[0][1])[0] in (1, 3)


def test_random_logit_has_no_value():
    model = Layered()
    for weights, words in [(np.empty(0), "loss"), (np.ones(4), "every class")]:
        found = drive("random-logit", model.subject_of(weights=weights), model)
        assert np.isnan(found.value)
        assert words in found.note
    binary = Layered(np.stack([-W[0], W[0]]))
    found = drive("random-logit", binary.subject_of(), binary)
    assert np.isnan(found.value)
    assert "one unit" in found.note


def test_a_map_that_ignores_the_class_is_alike():
    model = Layered()
    assert drive("random-logit", model.subject_of(method=lambda g, s: X), model) == (1.0, "")
