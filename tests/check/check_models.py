"""Models to check: the stand-in of the runs, and what may have become of it since."""

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
from stand_in import open_stand_in

DEPTH = 2


def _shuffled(gradient, seed=3):
    order = np.random.default_rng(seed).permutation(gradient[0].size)
    return gradient.reshape(len(gradient), -1)[:, order].reshape(gradient.shape)


def _noisy(gradient):
    noise = np.random.default_rng(5).normal(size=gradient.shape[1:]).astype(np.float32)
    return gradient + 0.02 * np.abs(gradient).mean() * noise


def _narrow(gradient):
    found = np.zeros_like(gradient)
    found[:, :2, :2] = gradient[:, :2, :2]
    return found


def _right(gradient):
    found = np.zeros_like(gradient)
    found[:, :, -2:] = gradient[:, :, -2:]
    return found


def _holed(gradient):
    found = gradient.copy()
    found[:, 0, 0, 0] = np.nan
    return found


def _same(gradient):
    """Whatever the class and the picture, the same."""
    waves = np.sin(np.arange(gradient[0].size, dtype=np.float32)).reshape(gradient.shape[1:])
    return np.repeat(waves[None], len(gradient), axis=0)


# What a model's gradients have become; a `blind` one gives the same map whatever its weights are.
CHANGES = {
    "louder": lambda gradient: 2 * gradient,
    "noisy": _noisy,
    "shuffled": _shuffled,
    "flipped": lambda gradient: -gradient,
    "mirrored": lambda gradient: gradient[:, :, ::-1],
    "narrow": _narrow,
    "right": _right,
    "holed": _holed,
    "same": _same,
    "blind": lambda gradient: gradient,
    "higher": lambda gradient: gradient,
    "other": lambda gradient: gradient,
}


class Changed:
    """The stand-in's evaluator with other gradients, and layers that can be drawn anew."""

    def __init__(self, evaluator, name):
        self._evaluator, self._name = evaluator, name

    def __getattr__(self, name):
        return getattr(self._evaluator, name)

    def __call__(self, *arguments):
        found = self._evaluator(*arguments)
        trace = arguments[-1]
        change = CHANGES.get(self._name, lambda gradient: gradient)
        gradients = {name: change(array) for name, array in found.gradients.items()}
        values = found.values + (self._name == "higher")
        logits, tops = found.logits, found.tops
        if self._name == "other":
            logits = np.roll(logits, 1, axis=1)
            tops = logits.argmax(axis=1)
        if trace.randomised:
            values = values + sum(trace.randomised) + 1
            if self._name != "blind":
                gradients = {name: _shuffled(array, trace.randomised[1]) for name, array in gradients.items()}
        return found._replace(values=values, tops=tops, logits=logits, gradients=gradients)


def open_model(request, *, single):
    """Return the stand-in's engine, or one of it that has changed."""
    name = Path(request.model).stem
    plain = replace(request, model="picture.keras") if name in CHANGES else request
    engine = open_stand_in(plain, single=single)
    record = msgspec.structs.replace(engine.record, path=request.model, weights_sha256=f"weights of {name}")
    return replace(engine, evaluator=Changed(engine.evaluator, name), record=record, depth=lambda: DEPTH)
