"""Subjects and models in NumPy: a linear classifier that answers asks as the engine does, and a driver."""

import numpy as np

from saliency_cli.differentiable import Answer, Ask, Explanation, Sample
from saliency_cli.registry import Registry
from saliency_cli.subject import Subject

METRICS = Registry("saliency_cli.metrics", "metric")


def subject_of(x, values=None, plane=None, *, method=None, baseline=None, seed=0, identity="", **facts):
    """A subject of one array `x` or of several by name; its map is `values`, its plane |values| unless given."""
    inputs = dict(x) if isinstance(x, dict) else {"x": x}
    attribution = values if isinstance(values, dict) else {"x": values}
    if values is None:
        attribution = {name: np.ones_like(array) for name, array in inputs.items()}
    name = next(iter(inputs))
    asked = []

    def absent(kind):
        asked.append(kind)
        return {n: np.zeros_like(a) for n, a in inputs.items()} | (baseline or {})

    sample = Sample(inputs, tuple(inputs), absent, seed, identity)
    found = Subject(
        sample=sample,
        attribution=attribution,
        name=name,
        plane=np.abs(attribution[name]).astype(np.float64) if plane is None else plane,
        weights=facts.pop("weights", np.ones(1, np.float32)),
        value=facts.pop("value", np.nan),
        logits=facts.pop("logits", np.empty(0)),
        scores=np.empty(0),
        top=facts.pop("top", -1),
        attribute=method or (lambda sample, trace: _gradient(sample)),
        **facts,
    )
    object.__setattr__(found, "asked", asked)
    return found


def _gradient(sample):
    answer = yield Ask(1, lambda _, out: sample.write(out), np.ones(1))
    return Explanation({name: np.asarray(g, np.float32) for name, g in answer.gradients.items()})


class Classifier:
    """z = W·x + b of one input, with a softmax at its end that computes in float32, as a network's does.

    `asks` are the asks answered so far and `points` the points of all of them.
    """

    def __init__(self, w, b=0.0):
        self.w, self.b = np.asarray(w, np.float64), b
        self.asks, self.points = [], []

    def logits(self, x):
        return np.asarray(self.w.reshape(len(self.w), -1) @ np.asarray(x, np.float64).ravel() + self.b)

    def jacobian(self, x):
        return self.w

    def subject(self, x, values=None, *, target=None, label=None, **facts):
        """A subject of this model, about the class on top unless told."""
        z = self.logits(x)
        target = int(z.argmax()) if target is None else target
        facts.setdefault("weights", np.eye(len(z), dtype=np.float32)[target])
        return subject_of(x, values, logits=z, top=int(z.argmax()), label=label, value=float(z[target]), **facts)

    def answer(self, ask, subject):
        self.asks.append(ask)
        out = {name: np.full_like(x, np.nan) for name, x in subject.sample.inputs.items()}
        values, tops, total = np.empty(ask.n), np.empty(ask.n, np.int64), np.zeros(subject.sample.inputs["x"].shape)
        for i in range(ask.n):
            ask.point(i, out)
            x = out["x"].copy()
            self.points.append(x)
            assert np.isfinite(x).all(), "a point was not written whole"
            z, weights = self.logits(x), subject.weights if ask.about is None else ask.about
            assert len(weights) == len(z), "an ask about no class"
            scores, slopes = self.scored(z, ask.trace.space or "logit")
            values[i], tops[i] = weights @ scores, z.argmax()
            if ask.trace.gradient:
                total += ask.weights[i] * np.tensordot(weights @ slopes, self.jacobian(x), 1)
        logits = z if ask.n == 1 else np.empty(0)
        return Answer(values, tops, {"x": total} if ask.trace.gradient else {}, logits=logits)

    def scored(self, z, space):
        """The classes' scores in a space, and their derivatives by the logits `(classes, classes)`."""
        p = np.exp(np.float32(z - z.max()))
        p /= p.sum()
        if space in ("logit", "output"):
            return (z if space == "logit" else 100 * z), np.eye(len(z)) * (1 if space == "logit" else 100)
        if space == "probability":
            return p, np.diag(p) - np.outer(p, p)
        assert space == "log-probability"
        return np.log(np.maximum(p, 1e-38)), np.eye(len(z), dtype=np.float32) - p


def drive(metric, subject, model):
    """Drive a metric (or a metric's name) with a model's `answer(ask, subject)`."""
    metric = METRICS.build(metric, {}) if isinstance(metric, str) else metric
    measuring = metric.measure(subject)
    try:
        ask = next(measuring)
        while True:
            ask = measuring.send(model.answer(ask, subject))
    except StopIteration as stop:
        return stop.value


def softmax(z):
    found = np.exp(np.asarray(z, np.float64) - np.max(z))
    return found / found.sum()
