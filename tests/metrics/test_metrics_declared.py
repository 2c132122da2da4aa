"""What every metric that asks the model says of itself, and what it leaves alone."""

import numpy as np
import pytest
from numpy_classes import METRICS, Classifier, drive

NAMES = [
    "completeness-gap",
    "deletion",
    "elasticity",
    "fgsm-flip-eps",
    "flip-radius-linf",
    "grad-l1",
    "grad-l2",
    "grad-linf",
    "infidelity",
    "insertion",
    "local-lipschitz",
    "loss-grad-l2",
    "max-sensitivity",
    "mufidelity",
    "pgd-flip-rate",
    "pixel-flipping",
    "sufficiency",
    "unexplained-fraction",
]
HIGHER = {"deletion": "lower", "insertion": "higher", "pixel-flipping": "higher", "sufficiency": "lower"} | {
    "mufidelity": "higher",
    "flip-radius-linf": "higher",
    "fgsm-flip-eps": "higher",
}
X = np.linspace(0.05, 0.95, 24, dtype=np.float32).reshape(4, 3, 2)
MODEL = Classifier(np.random.default_rng(5).normal(size=(3, 4, 3, 2)))

every = pytest.mark.parametrize("name", NAMES)


def subject(x=X):
    limits = {"x": (np.float32(0), np.float32(1))}
    top = int(MODEL.logits(x).argmax())
    return MODEL.subject(x, (MODEL.w[top] * x).astype(np.float32), plane=x.max(-1), channels=2, limits=limits)


@every
def test_a_value_within_its_bounds_and_the_same_twice(name):
    metric = METRICS.build(name, {})
    first, second = (drive(metric, subject(), MODEL) for _ in range(2))
    assert first == second
    assert type(first.value) is float
    assert np.isfinite(first.value) or first == (np.inf, "> 0.0627")
    assert metric.lowest <= first.value <= metric.highest
    assert first.note == "" or np.isinf(first.value)


@every
def test_the_sample_is_not_written_to(name):
    x = X.copy()
    x.flags.writeable = False
    drive(name, subject(x), MODEL)
    np.testing.assert_array_equal(x, X)


@every
def test_memory_does_not_grow_with_the_draws(name):
    model = Classifier(MODEL.w)
    drive(name, subject(), model)
    assert model.asks
    assert not any(ask.each or ask.squares for ask in model.asks)


@every
def test_what_is_declared(name):
    metric = METRICS.build(name, {})
    assert metric.better == HIGHER.get(name, "lower")
    assert isinstance(metric.needs, frozenset)
    assert isinstance(metric.unit, str)
    assert any(word in metric.cost for word in ("gradient", "forward pass", "map"))
    assert all(option.help for option in METRICS.options(name))


@every
def test_the_cost_is_what_is_asked(name):
    """Counted: the gradients and forward passes that the text tells, or fewer where it says up to."""
    model = Classifier(MODEL.w)
    metric = METRICS.build(name, {})
    drive(metric, subject(), model)
    told = {"gradient": 0, "forward": 0, "map": 0}
    for part in metric.cost.removeprefix("up to ").partition(",")[0].split(" and "):
        count, what = part.split()[:2]
        told[what.rstrip("s")] = int(count)
    gradients = sum(ask.n for ask in model.asks if ask.trace.gradient)
    passes = sum(ask.n for ask in model.asks if not ask.trace.gradient)
    if "up to" in metric.cost or name in ("deletion", "insertion", "pixel-flipping"):
        assert gradients <= told["gradient"]
        assert passes <= told["forward"]
    else:
        assert gradients == told["gradient"] + told["map"], "a map of the gradient is one gradient"
        assert passes == told["forward"]


@every
def test_the_docstring_tells_definition_dangers_and_source(name):
    story = METRICS.story(name).splitlines()
    for heading in ("Definition", "When it misleads", "Source"):
        assert heading in story, f"{name} has no paragraph '{heading}'"
        assert story[story.index(heading) + 1].startswith("    ")
    source = "\n".join(story[story.index("Source") :])
    assert "arXiv:" in source or "doi:" in source
    assert 20 < len(METRICS.summary(name)) < 100
    assert METRICS.summary(name).endswith(".")
