"""Methods that go back by a rule, on Keras models: what they return, record and flag."""

import numpy as np
import pytest
from oracles import build

import saliency_cli as sal
from saliency_cli.autodiff.compiled import Compiled
from saliency_cli.autodiff.packing import Job, Packer, Query
from saliency_cli.autodiff.runtime import keras
from saliency_cli.cli import entry
from saliency_cli.differentiable import GRADIENT, Answer, Sample
from saliency_cli.errors import ModelError, UsageError
from saliency_cli.models.keras3.live import wrap
from saliency_cli.runs.settings import METHODS

L = keras.layers
CLASSES = 4


def model_of(activation="relu", *, biases=True, seed=3):
    x = keras.Input((6, 6, 2), name="x")
    y = L.Conv2D(5, 3, activation=activation, use_bias=biases, name="conv")(x)
    y = L.GlobalAveragePooling2D()(L.MaxPooling2D()(y))
    model = keras.Model(x, L.Dense(CLASSES, "softmax", use_bias=biases)(y))
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(0, 0.5, w.shape).astype(np.float32) for w in model.get_weights()])
    return model


def asked(method, sample, weights):
    attributing = method.attribute(sample)
    try:
        ask = next(attributing)
        while True:
            ask = attributing.send((yield Query(ask, weights=weights)).answer)
    except StopIteration as stop:
        return stop.value


def explained(model, name, sample, target=1, batch=2, **options):
    opened = wrap(model)
    packer = Packer(Compiled(opened, opened.outputs[0].name, batch=batch), classes=CLASSES)
    weights = np.eye(CLASSES, dtype=np.float32)[target]
    (outcome,) = packer.run([Job(0, sample, asked(build(name, **options), sample, weights))])
    if outcome.error is not None:
        raise outcome.error
    return outcome.result


def drawn(seed=0):
    return np.random.default_rng(seed).random((6, 6, 2)).astype(np.float32)


def a_sample(seed=0, **kinds):
    x = drawn(seed)
    edges = {"black": 0 * x, "white": 0 * x + 1} | kinds
    return Sample({"x": x}, ("x",), lambda kind: {"x": edges[kind]})


def logit(model, x, target=1):
    head = keras.Model(model.inputs[0], model.layers[-2].output)
    kernel, *bias = model.layers[-1].get_weights()
    found = head(x[None]).numpy()[0] @ kernel
    return float((found + (bias[0] if bias else 0))[target])


def test_deeplift_adds_up_and_tells_so():
    model, sample = model_of("gelu"), a_sample()
    found = explained(model, "deeplift", sample)
    change = logit(model, sample.inputs["x"]) - logit(model, 0 * sample.inputs["x"])
    assert found.values["x"].sum() == pytest.approx(change, abs=1e-5)
    assert found.details["completeness_gap"] == pytest.approx(0, abs=1e-5)
    assert found.details["baseline_value"] == pytest.approx(logit(model, 0 * sample.inputs["x"]), abs=1e-5)
    assert found.details["patched"] == 2
    assert found.flags == ()


def test_deeplift_at_its_own_baseline_is_flagged():
    x = drawn()
    found = explained(model_of(), "deeplift", a_sample(white=x), baseline="white")
    assert not np.any(found.values["x"])
    assert found.flags == ("baseline-is-input",)


@pytest.mark.parametrize("count", [1, 3, 40])
def test_deep_shap_is_the_mean_of_deeplift(tmp_path, count):
    model, sample = model_of("tanh"), a_sample()
    references = np.random.default_rng(9).random((count, 6, 6, 2)).astype(np.float32)
    np.save(tmp_path / "references.npy", references)
    found = explained(model, "deep-shap", sample, batch=8, baselines=str(tmp_path / "references.npy"))
    some = references[:3]
    alone = [explained(model, "deeplift", a_sample(white=b), baseline="white").values["x"] for b in some]
    if count <= 3:
        np.testing.assert_allclose(found.values["x"], np.mean(alone, 0), atol=1e-6)
    mean = np.mean([logit(model, b) for b in references])
    assert found.details["baseline_value"] == pytest.approx(mean, abs=1e-5)
    assert found.details["references"] == count
    assert found.values["x"].sum() == pytest.approx(logit(model, sample.inputs["x"]) - mean, abs=1e-5)


def test_deep_shap_needs_references():
    with pytest.raises(UsageError, match="reference samples") as caught:
        METHODS.build("deep-shap", {})
    assert caught.value.reason == "missing-baselines"


def test_guided_backprop_tells_what_it_changed():
    found = explained(model_of(), "guided-backprop", a_sample())
    assert found.details == {"patched": 1, "patched_relu": 1, "unpatched": 0}
    assert found.flags == ()
    x = keras.Input((6, 6, 2), name="x")
    y = L.Conv2D(3, 3, activation="tanh")(L.Conv2D(4, 3, activation="relu")(x))
    mixed = explained(keras.Model(x, L.Dense(CLASSES)(L.Flatten()(y))), "deconvnet", a_sample())
    assert mixed.details["unpatched"] == 1
    assert mixed.flags == ("unpatched-activations",)


def test_guided_grad_cam_is_the_product_of_both():
    model, sample = model_of(), a_sample()
    both = explained(model, "guided-grad-cam", sample, layer="conv")
    coarse = explained(model, "grad-cam", sample, layer="conv")
    fine = explained(model, "guided-backprop", sample)
    assert np.any(both.values["x"])
    np.testing.assert_allclose(both.values["x"], coarse.values["x"] * fine.values["x"], rtol=1e-5)
    assert both.details["patched"] == 1
    assert set(both.layers) == set(coarse.layers)


RELEVANCE = [name for name in METHODS.names() if name.startswith("lrp")] + ["deep-taylor", "excitation-backprop"]


@pytest.mark.parametrize("name", RELEVANCE)
def test_the_gap_of_relevance_is_told(name):
    model, sample = model_of(), a_sample()
    found = explained(model, name, sample)
    whole = 1.0 if name == "excitation-backprop" else logit(model, sample.inputs["x"])
    assert found.details["conservation_gap"] == pytest.approx(found.values["x"].sum() - whole, abs=1e-4)
    assert found.details["patched"] == 3
    large = abs(found.details["conservation_gap"]) > abs(whole) / 4
    assert ("shares-gap" in found.flags) == large


@pytest.mark.parametrize("name", ["lrp-gamma", "lrp-zbox", "lrp-epsilon"])
def test_relevance_without_biases_has_no_gap(name):
    options = {} if name == "lrp-gamma" else {"epsilon": "0"}
    found = explained(model_of(biases=False), name, a_sample(), **options)
    assert found.details["conservation_gap"] == pytest.approx(0, abs=1e-5)
    assert found.flags == ()


def test_presets_are_the_composites_of_the_literature():
    rules = {name: METHODS.build(name, {}) for name in METHODS.names() if name.startswith("lrp")}
    found = {name: (rule.dense, rule.convolution, rule.first) for name, rule in rules.items()}
    assert found == {
        "lrp-epsilon": ("epsilon", "epsilon", "same"),
        "lrp-gamma": ("gamma", "gamma", "same"),
        "lrp-alpha-beta": ("alpha-beta", "alpha-beta", "same"),
        "lrp-zplus": ("zplus", "zplus", "same"),
        "lrp-zbox": ("epsilon", "gamma", "zbox"),
        "lrp-epsilon-plus": ("epsilon", "zplus", "same"),
        "lrp-epsilon-plus-flat": ("epsilon", "zplus", "flat"),
        "lrp-epsilon-alpha2-beta1": ("epsilon", "alpha-beta", "same"),
        "lrp-epsilon-alpha2-beta1-flat": ("epsilon", "alpha-beta", "flat"),
    }
    assert all(rule.alpha == 2 for rule in rules.values())


def test_values_outside_the_box_are_flagged():
    model = model_of()
    inside = explained(model, "lrp-zbox", a_sample())
    assert "outside-box" not in inside.flags
    outside = explained(model, "lrp-zbox", a_sample(white=0 * drawn() + 0.5))
    assert "outside-box" in outside.flags
    own = explained(model, "lrp-zbox", a_sample(min=0 * drawn() - 1), low="min")
    assert np.abs(own.values["x"] - inside.values["x"]).max() > 1e-3


def test_companions_of_other_samples_and_rules_are_no_matter():
    """Rows of one batch, padded or full, with references of their own."""
    opened = wrap(model_of("gelu"))
    evaluator = Compiled(opened, opened.outputs[0].name, batch=4)
    weights = np.eye(CLASSES, dtype=np.float32)[0]

    def run(seeds):
        jobs = []
        for seed in seeds:
            for name in ("deeplift", "gradient"):
                sample = a_sample(seed, white=drawn(seed + 50))
                options = {"baseline": "white"} if name == "deeplift" else {}
                jobs.append(Job((seed, name), sample, asked(build(name, **options), sample, weights)))
        outcomes = Packer(evaluator, classes=CLASSES).run(jobs)
        return {outcome.key: outcome.result.values["x"].tobytes() for outcome in outcomes}

    together, alone = run(range(7)), run([5])
    assert len(together) == 14
    assert all(together[key] == value for key, value in alone.items())


def test_a_reference_of_another_dtype_is_taken():
    found = explained(model_of(), "deeplift", a_sample(black=np.zeros((6, 6, 2), np.float64)))
    assert np.isfinite(found.values["x"]).all()


UNANSWERABLE = {
    "lrp-epsilon": "no-rule",
    "lrp-zbox": "no-rule",
    "deep-taylor": "no-rule",
    "excitation-backprop": "no-rule",
    "guided-backprop": "nothing-to-patch",
    "deconvnet": "nothing-to-patch",
    "guided-grad-cam": "nothing-to-patch",
    "deeplift": "no-rule",
    "deep-shap": "no-rule",
    "fullgrad": "unknown-bias",
}


@keras.saving.register_keras_serializable("tests")
class Sorted(keras.layers.Layer):
    def call(self, x):
        return keras.ops.sort(x, axis=-1)


@pytest.fixture(scope="module")
def unanswerable(tmp_path_factory):
    """A model without ReLUs, with a gate, and with a sorting that no rule knows."""
    L = keras.layers
    x = keras.Input((6, 6, 2))
    hidden = L.Conv2D(3, 3, activation="tanh")(x)
    hidden = L.Multiply()([hidden, L.Conv2D(3, 1, activation="sigmoid")(hidden)])
    model = keras.Model(x, L.Dense(2)(L.GlobalAveragePooling2D()(Sorted()(hidden))))
    path = tmp_path_factory.mktemp("models") / "gated.keras"
    model.save(path)
    return path, sal.wrap(model)


@pytest.mark.parametrize("name", UNANSWERABLE)
def test_a_model_without_an_answer_is_refused_before_its_input_is_looked_at(name, unanswerable):
    options = {"baselines": "black"} if name == "deep-shap" else {}
    with pytest.raises(ModelError) as caught:
        unanswerable[1].attribute(np.zeros((5, 5, 5)), method=name, options=options)
    assert caught.value.reason == UNANSWERABLE[name]
    assert caught.value.hint


def test_a_run_with_a_rule_that_a_model_has_no_answer_for_ends_at_once(unanswerable, tmp_path, capsys):
    classes = tmp_path / "sorted.py"
    classes.write_text(
        "import keras\n@keras.saving.register_keras_serializable('tests')\n"
        "class Sorted(keras.layers.Layer):\n    def call(self, x):\n        return keras.ops.sort(x, axis=-1)\n"
    )
    for number in range(3):
        np.save(tmp_path / f"{number}.npy", np.zeros((6, 6, 2), np.float32))
    command = ["compute", str(unanswerable[0]), *(str(tmp_path / f"{number}.npy") for number in range(3))]
    command += ["--custom-objects", str(classes), "--method", "gradient,lrp-epsilon", "-o", str(tmp_path / "out")]
    assert entry.run(command) == 4
    told = capsys.readouterr().err
    assert told.count("error:") == 1
    assert "has no rule for" in told
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", [name for name in UNANSWERABLE if name not in ("guided-grad-cam", "deep-shap")])
def test_traces_are_those_that_are_asked_by(name):
    """So that nothing is traced in vain."""
    method = build(name)
    attributing = method.attribute(a_sample())
    ask = next(attributing)
    if ask.trace == GRADIENT:
        ask = attributing.send(Answer(np.ones(1), np.zeros(1), {"x": drawn()}))
    assert (ask.trace,) == method.traces
