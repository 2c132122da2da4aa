"""What one sample asks of the engine, and what is said of its maps, over the NumPy stand-in."""

import numpy as np
import pytest
from numpy_evaluator import NumpyEvaluator, sample_of

from saliency_cli.autodiff.packing import Evaluation, Job, Packer
from saliency_cli.differentiable import Explanation
from saliency_cli.errors import InputError
from saliency_cli.records import InputSpec, ModelRecord
from saliency_cli.runs import diagnosis
from saliency_cli.runs.engine import Engine
from saliency_cli.runs.explaining import Question, explain, one_target
from saliency_cli.runs.settings import build_methods
from saliency_cli.targets import Classes, parse_target


def engine_of(evaluator, **facts):
    said = {"head": "softmax", "space": "logit", "classes": 3, "record": ModelRecord(path="", format=""), **facts}
    specs = (InputSpec("x", (3, 2), "float32"),)
    return Engine(specs=specs, output="y", shape=(said["classes"],), evaluator=evaluator, connected=("x",), **said)


def explained(target="top", methods=("gradient",), options=(), sample=None, evaluator=None, truth=None, **facts):
    evaluator = evaluator or NumpyEvaluator(4)
    strict = facts.pop("strict", False)
    engine = engine_of(evaluator, **facts)
    question = Question(
        engine, build_methods(methods, options), parse_target(target), Classes(engine.classes), strict
    )
    sample = sample or sample_of(0)
    job = Job("x", sample, explain(sample, question, truth))
    (outcome,) = Packer(evaluator, classes=engine.classes).run([job])
    if outcome.error:
        raise outcome.error
    return outcome.result, sum(batch["x"].any(axis=(1, 2)).sum() for batch in evaluator.batches)


def slope(sample):
    return 1 - np.tanh(sample.inputs["x"]) ** 2


def logits(sample):
    return np.tanh(sample.inputs["x"]).sum() * np.arange(1, 4) + np.arange(3)


def test_the_gradient_of_the_top_class_costs_one_evaluation():
    found, points = explained()
    (one,) = found.maps
    top = int(logits(sample_of(0)).argmax())
    np.testing.assert_allclose(one.explanation.values["x"], (top + 1) * slope(sample_of(0)), rtol=1e-6)
    assert points == 1
    assert (one.target.label, one.target.weights) == (str(top), {str(top): 1.0})
    assert one.target.value == pytest.approx(logits(sample_of(0))[top], rel=1e-6)
    assert (found.prediction.kind, found.prediction.index) == ("class", top)


@pytest.mark.parametrize(
    ("target", "methods", "options", "points"),
    [
        ("top", ("gradient", "gradient-times-input"), (), 1),
        ("2", ("gradient", "smoothgrad"), ("draws=5",), 1 + 5),
        ("top:2", ("gradient", "gradient-times-input"), (), 2),
        ("all", ("gradient", "smoothgrad", "vargrad"), ("draws=5",), 3 * (1 + 5 + 5)),
        ("0 - 1", ("integrated-gradients",), ("points=7",), 1 + 7),
    ],
)
def test_nothing_is_evaluated_twice(target, methods, options, points):
    """A point of zeros (the baseline) is not counted here."""
    assert explained(target, methods, options)[1] == points


def test_every_target_has_its_own_gradient_and_value():
    found, _ = explained("all", ("gradient", "gradient-times-input"))
    assert [(one.target.label, one.method) for one in found.maps] == [
        (label, method) for label in "012" for method in ("gradient", "gradient-times-input")
    ]
    for one in found.maps[::2]:
        index = int(one.target.label)
        np.testing.assert_allclose(one.explanation.values["x"], (index + 1) * slope(sample_of(0)), rtol=1e-6)
        assert one.target.value == pytest.approx(logits(sample_of(0))[index], rel=1e-5)


def test_top_classes_come_in_order():
    found, _ = explained("top:3")
    order = np.argsort(-logits(sample_of(0)), kind="stable")
    assert [one.target.label for one in found.maps] == [str(index) for index in order]


def test_the_top_class_stays_the_one_of_the_unperturbed_sample():
    """SmoothGrad with so much noise that most draws have another top class still explains the first."""
    sample = sample_of(3)
    sample.inputs["x"][...] *= 0.1
    found, _ = explained("top", ("smoothgrad",), ("draws=40", "noise=20"), sample=sample)
    (one,) = found.maps
    top = int(one.target.label)
    changed = one.explanation.details["top_changed"]
    assert 0 < changed < 1
    draws = np.stack([_draw(sample, i) for i in range(40)])
    expected = (top + 1) * (1 - np.tanh(draws) ** 2).mean(0)
    np.testing.assert_allclose(one.explanation.values["x"], expected, rtol=1e-5, atol=1e-7)


def _draw(sample, index):
    out = np.empty((3, 2), np.float32)
    sample.normal("x", index, out)
    return sample.inputs["x"] + np.float32(20 * np.ptp(sample.inputs["x"])) * out


def test_a_loss_hands_on_the_truth():
    seen = []

    class Evaluator(NumpyEvaluator):
        def __call__(self, inputs, weights, top, truth, trace):
            seen.append((truth.tolist(), top.tolist()))
            return super().__call__(inputs, weights, top, truth, trace)

    explained(evaluator=Evaluator(2), truth=one_target("mse", "7", np.float32(7)), space="loss", loss="mse")
    assert seen == [([7.0, 0.0], [False, False])]


class Broken(NumpyEvaluator):
    """Values or gradients that are not finite."""

    def __init__(self, **broken):
        super().__init__(2)
        self.broken = broken

    def __call__(self, *arguments):
        found = super().__call__(*arguments)
        changed = {name: getattr(found, name) + value for name, value in self.broken.items() if name != "gradients"}
        if "gradients" in self.broken:
            gradients = {name: g.copy() for name, g in found.gradients.items()}
            gradients["x"][:, 0, 0] = self.broken["gradients"]
            changed["gradients"] = gradients
        return Evaluation(**(found._asdict() | changed))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_target_that_is_not_finite_ends_the_sample(value):
    with pytest.raises(InputError, match=f"the model's output for this input is {value}") as caught:
        explained(evaluator=Broken(values=value))
    assert caught.value.reason == "non-finite-output"


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_map_that_is_not_finite_ends_the_sample(value):
    with pytest.raises(InputError, match="gradient gave 1 of 6 values NaN or infinite for the input 'x'") as caught:
        explained(evaluator=Broken(gradients=value))
    assert caught.value.reason == "non-finite-gradient"


def test_flags_of_the_model():
    record = ModelRecord(path="", format="", stochastic=["noisy"])
    (one,) = explained(record=record, disconnected={"y": "why"})[0].maps
    assert one.flags == ("stochastic", "disconnected")


def test_strict_makes_flags_errors_told_in_words():
    record = ModelRecord(path="", format="", stochastic=["noisy"])
    with pytest.raises(InputError) as caught:
        explained(record=record, strict=True)
    assert caught.value.message.startswith("--strict: layers of the model draw random numbers in inference")
    assert caught.value.reason == "stochastic"
    assert explained(strict=True)[0].maps[0].flags == ()


@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        ({}, "class"),
        ({"head": "linear"}, "class"),
        ({"head": "linear", "regression": True}, "value"),
        ({"head": "linear", "classes": 1}, "value"),
    ],
)
def test_a_prediction_is_a_class_or_a_value(facts, kind):
    evaluator = NumpyEvaluator(2, facts.get("classes", 3))
    found = explained(evaluator=evaluator, **facts)[0]
    assert found.prediction.kind == kind
    assert (found.prediction.index is None) == (kind == "value")


ZERO, EVEN, MIXED = np.zeros(4), np.full(4, 0.5), np.arange(4.0)


@pytest.mark.parametrize(
    ("values", "space", "probability", "flags"),
    [
        (MIXED, "logit", 1.0, []),
        (MIXED, "output", None, []),
        (ZERO, "logit", 1.0, ["all-zero"]),
        (ZERO, "output", None, ["all-zero"]),
        (ZERO, "probability", 1.0, ["saturated"]),
        (ZERO, "probability", 0.0, ["saturated"]),
        (ZERO, "probability", 0.5, ["all-zero"]),
        (ZERO, "log-probability", 1.0, ["saturated"]),
        (ZERO, "log-probability", 0.0, ["all-zero"]),
        (ZERO, "loss", 1.0, ["saturated"]),
        (MIXED, "probability", 1 - 1e-7, ["saturated"]),
        (MIXED, "probability", 1e-7, ["saturated"]),
        (MIXED, "probability", 0.99, []),
        (MIXED, "log-probability", 1 - 1e-7, ["saturated"]),
        (MIXED, "log-probability", 1e-7, []),
        (MIXED, "loss", 1.0, []),
        (EVEN, "logit", 0.5, ["constant"]),
    ],
)
def test_what_a_map_s_values_show(values, space, probability, flags):
    assert diagnosis.flags_of(Explanation({"x": values}), space, probability) == flags


def test_flags_of_several_inputs():
    assert diagnosis.flags_of(Explanation({"a": ZERO, "b": MIXED}), "logit", None) == []
    assert diagnosis.flags_of(Explanation({"a": ZERO, "b": EVEN}), "logit", None) == ["constant"]
    assert diagnosis.flags_of(Explanation({"a": np.ones(1)}), "logit", None) == []


def test_a_method_s_own_flags_come_first_and_once():
    explanation = Explanation({"x": ZERO}, flags=("baseline-is-input", "all-zero"))
    assert diagnosis.flags_of(explanation, "logit", None) == ["baseline-is-input", "all-zero"]


def test_every_flag_has_a_meaning():
    said = {"top-class-changed", "no-noise", "completeness-gap", "baseline-is-input", "all-zero", "saturated"}
    assert said | {"constant", "stochastic", "disconnected", "preparing-guessed"} <= set(diagnosis.MEANINGS)
    assert all(len(meaning) > 40 for meaning in diagnosis.MEANINGS.values())
