"""What these tests share: canvases of small inputs, and an ascent driven by a plain function."""

import numpy as np

from saliency_cli.differentiable import Sample, answer
from saliency_cli.maximizing.ascending import Aim, Canvas, Climb, ascend
from saliency_cli.maximizing.parametrizations import Pixel
from saliency_cli.maximizing.ranges import Range


def sample_of(shape, seed=0, **others):
    """A sample with one input `x`, zeros but for what is given."""
    arrays = {"x": np.zeros(shape), **others}
    return Sample(arrays, tuple(arrays), lambda _: {}, seed)


def unit_range(shape, low=0.0, high=1.0):
    return Range(np.full(shape, low), np.full(shape, high))


def canvas(shape, *, low=0.0, high=1.0, places=None, parametrization=None, rate=0.02, **fields):
    places = tuple(range(len(shape))) if places is None else places
    return Canvas(unit_range(shape, low, high), parametrization or Pixel(shape, places), places, rate, **fields)


def linear(weights):
    """x ↦ w·x, and its gradient."""
    return lambda arrays: (float(np.sum(weights * arrays["x"])), {"x": weights})


def driven(function, canvases, sample=None, every=0, aim=None, **settings):
    """Run an ascent over a plain function; return its end, every moment kept, and the value at every ask."""
    if sample is None:
        sample = sample_of(canvases["x"].range.low.shape)
    kept, values = [], []
    program = ascend(sample, canvases, Climb(**settings), aim or Aim(), kept.append, every)
    try:
        ask = next(program)
        while True:
            found = answer(ask, function, sample)
            values.append(float(found.values[0]))
            ask = program.send(found)
    except StopIteration as stop:
        return stop.value, kept, values
