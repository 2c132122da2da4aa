"""A live Keras model asked through the engine, one batch at a time."""

import numpy as np

from saliency_cli.autodiff.compiled import Compiled
from saliency_cli.models.keras3.live import wrap


def compiled(model, output=None, *, batch=2, **options):
    opened = wrap(model)
    return Compiled(opened, output or opened.outputs[0].name, batch=batch, **options)


def ask(function, inputs, *, weights=None, truth=None):
    """Evaluate rows of inputs; `weights` None asks for each row's top class."""
    names = [spec.name for spec in function.model.inputs]
    inputs = inputs if isinstance(inputs, dict) else {names[0]: inputs}
    n, classes = function.batch, function.facts.classes
    rows = np.zeros((n, classes), np.float32)
    if weights is not None:
        rows[:] = weights
    top = np.full(n, weights is None and truth is None)
    truth = np.zeros(n, np.float32) if truth is None else np.asarray(truth, np.float32)
    return function(inputs, rows, top, truth)


def one(index, classes):
    return np.eye(classes, dtype=np.float32)[index]
