"""A stand-in for the compiled function: s = Σ w·tanh(x) over rows, in NumPy, with what it was given on record."""

import numpy as np

from saliency_cli.autodiff.packing import Evaluation, Job, Query
from saliency_cli.differentiable import Ask, Sample


class NumpyEvaluator:
    """Score c of a row is Σ (c + 1)·tanh(x) + c, so the last one is on top where that is positive."""

    def __init__(self, batch, classes=3, *, fail=lambda inputs: None):
        self.batch, self.classes, self.fail = batch, classes, fail
        self.batches = []

    def __call__(self, inputs, weights, top, truth, trace):
        for array in inputs.values():
            assert len(array) == self.batch
        self.batches.append(
            {name: array.copy() for name, array in inputs.items()} | {"top": top.copy(), "trace": trace}
        )
        self.fail(inputs)
        x = inputs["x"]
        axes = tuple(range(1, x.ndim))
        factors = np.arange(1, self.classes + 1, dtype=np.float32)
        logits = np.tanh(x).sum(axes)[:, None] * factors + np.arange(self.classes, dtype=np.float32)
        tops = logits.argmax(-1)
        rows = np.where(top[:, None], np.eye(self.classes, dtype=np.float32)[tops], weights)
        slope = (rows * factors).sum(-1).reshape(-1, *(1 for _ in axes))
        values = (rows * logits).sum(-1).astype(np.float64)
        gradients = {"x": slope * (1 - np.tanh(x) ** 2)} if trace.gradient else {}
        return Evaluation(values, tops, logits, logits, gradients)


def sample_of(seed, shape=(3, 2)):
    x = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return Sample({"x": x}, ("x",), lambda kind: {"x": np.zeros_like(x)})


def noisy_ask(sample, n, **wanted):
    """An ask of n noisy copies with uneven weights."""

    def point(i, out):
        sample.normal("x", i, out["x"])
        out["x"] += sample.inputs["x"]

    return Ask(n, point, np.linspace(0.5, 1.5, n), **wanted)


def program(sample, *lengths, log=None, key=None, **wanted):
    """Ask for the sample itself, then for noisy copies; return the answers."""
    first = yield Query(sample.itself())
    answers = [first.answer]
    for n in lengths:
        if log is not None:
            log.append(key)
        reply = yield Query(noisy_ask(sample, n, **wanted), weights=np.float32([0, 1, 0]))
        answers.append(reply.answer)
    return answers


def job(key, *lengths, shape=(3, 2), **options):
    sample = sample_of(key, shape)
    return Job(key, sample, program(sample, *lengths, key=key, **options))


def bits(answers):
    """Everything in the answers, to the last bit."""
    return [
        part.tobytes()
        for answer in answers
        for part in (answer.values, answer.tops, *answer.gradients.values(), *answer.squares.values())
    ]
