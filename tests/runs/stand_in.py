"""Models without TensorFlow: a quadratic score of known gradient behind the engine's own interface.

The model is chosen by the stem of its path (`picture.keras`); no file is opened. Score of class k:
Σ aₖ·x + x²/20 over every floating input, with aₖ waves over the values.
"""

import math
import os
import signal
import time
from pathlib import Path

import faulty
import numpy as np

from saliency_cli.autodiff.packing import Evaluation
from saliency_cli.errors import ModelError
from saliency_cli.records import InputSpec, ModelRecord, ScalingClue
from saliency_cli.runs.engine import Engine

CLASSES = 3
_PICTURE = InputSpec("x", (8, 8, 3), "float32", 2)
_UNIT = ScalingClue("rescaling", "scaled", scale=2.0, offset=-1.0)
MODELS = {
    "picture": (_PICTURE,),
    "guessed": (_PICTURE,),
    "five": (InputSpec("x", (8, 8, 5), "float32", 2),),
    "open": (InputSpec("x", (None, None, 3), "float32", 2),),
    "table": (InputSpec("x", (4,), "float32"),),
    "signal": (InputSpec("x", (32, 1), "float32", 1),),
    "pair": (InputSpec("left", (8, 8, 3), "float32", 2), InputSpec("right", (4,), "float32")),
    "twins": (InputSpec("a/b", (8, 8, 3), "float32", 2), InputSpec("a_b", (8, 8, 3), "float32", 2)),
    "nan": (_PICTURE,),
    "hole": (_PICTURE,),
    "dead": (_PICTURE,),
    "deadly": (_PICTURE,),
}


def waves(k, size):
    """Return the coefficients of class `k`."""
    return np.sin(np.arange(size) * (0.7 + 0.3 * k) + k)


class Quadratic:
    """The evaluator: row by row, so that a row's bits can't depend on its batch."""

    def __init__(self, kind, specs, batch, loss):
        self.kind, self.specs, self.batch, self.loss = kind, specs, batch, loss
        self.delay = float(os.environ.get("STAND_IN_DELAY", "0"))
        self.batches = 0

    def __call__(self, inputs, weights, top, truth, trace):
        time.sleep(self.delay)
        if "STAND_IN_LOG" in os.environ:  # as TensorFlow's own code logs: past Python, to the descriptor
            os.write(2, b"a line of a library's log\n")
        self.batches += 1
        rows = [
            self._row({n: a[i] for n, a in inputs.items()}, weights[i], top[i], truth[i], trace)
            for i in range(self.batch)
        ]
        values, logits, gradients = zip(*rows, strict=True)
        logits = np.array(logits)
        return Evaluation(
            np.array(values),
            logits.argmax(axis=1),
            logits,
            _softmax(logits),
            {name: np.stack([g[name] for g in gradients]).astype(np.float32) for name in inputs if trace.gradient},
        )

    def _row(self, inputs, weights, top, truth, trace):
        flat = {name: array.reshape(-1).astype(np.float64) for name, array in inputs.items()}
        slopes = {name: [waves(k, x.size) + x / 10 for k in range(CLASSES)] for name, x in flat.items()}
        logits = np.array(
            [sum(waves(k, x.size) @ x + x @ x / 20 for x in flat.values()) / 50 for k in range(CLASSES)]
        )
        if trace.space == "log-probability":
            soft = np.exp(logits - logits.max())
            soft /= soft.sum()
            value = float(weights @ np.log(soft))
            weights = weights - weights.sum() * soft
        elif trace.space in ("log-odds", "margin"):
            value, weights = _lead(trace.space, logits, np.eye(CLASSES)[logits.argmax()] if top else weights)
        elif self.loss and not trace.space:
            value = float(np.square(logits - truth).mean())
            weights = 2 * (logits - truth) / CLASSES
        else:
            weights = np.eye(CLASSES)[logits.argmax()] if top else weights
            value = float(weights @ logits)
        gradients = {n: sum(w * s for w, s in zip(weights, found, strict=True)) / 50 for n, found in slopes.items()}
        bright = any(x.mean() > 0.99 for x in flat.values())
        if self.kind == "deadly" and bright:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == "nan" and bright:
            value = math.nan
        for name, gradient in gradients.items():
            if self.kind == "dead":
                gradient[:] = 0
            if self.kind == "hole" and bright:
                gradient[0] = math.nan
            gradients[name] = gradient.reshape(inputs[name].shape)
        return value, logits, gradients


def _softmax(z):
    powers = np.exp(z - z.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _lead(space, z, weights):
    """How far classes are ahead of the others, weighted, and its derivative by the logits."""
    value, slopes = 0.0, np.zeros(CLASSES)
    for k in range(CLASSES):
        others = np.delete(np.arange(CLASSES), k)
        if space == "margin":
            ahead, share = z[others].max(), (z[others] == z[others].max()).astype(float)
        else:
            ahead = np.logaddexp.reduce(z[others])
            share = np.exp(z[others] - ahead)
        value += weights[k] * (z[k] - ahead)
        slopes[k] += weights[k]
        slopes[others] -= weights[k] * share
    return float(value), slopes


def open_stand_in(request, *, single):
    """Return the engine of the stand-in that the request's model names."""
    faulty.install()
    kind = Path(request.model).stem
    if kind not in MODELS:
        raise ModelError(f"'{request.model}' is no model", hint="a .keras file", reason="not-a-model")
    specs = MODELS[kind]
    batch = request.batch_size if isinstance(request.batch_size, int) else 1 if single else 4
    return Engine(
        specs=specs,
        output="scores",
        classes=CLASSES,
        shape=(CLASSES,),
        head="softmax",
        space="loss" if request.loss else request.space or "logit",
        evaluator=Quadratic(kind, specs, batch, request.loss),
        record=ModelRecord(path=request.model, format="stand-in", weights_sha256=f"weights of {kind}"),
        connected=tuple(spec.name for spec in specs),
        loss=request.loss,
        clues={} if kind == "guessed" else {spec.name: (_UNIT,) for spec in specs},
        environment={"tensorflow": "none"},
    )
