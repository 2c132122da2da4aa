"""Functions with a twin in TensorFlow as models, so that methods which go back by a rule can be asked about them."""

from dataclasses import replace
from functools import cache

import numpy as np

from saliency_cli.autodiff.compiled import Compiled
from saliency_cli.autodiff.model import Layer, Model, OutputSpec, Traced
from saliency_cli.autodiff.packing import Job, Packer, Query
from saliency_cli.autodiff.runtime import tf
from saliency_cli.records import InputSpec


def needs_rule(method, sample):
    """Whether the method goes back by a rule, which a plain function can't."""
    attributing = method.attribute(sample)
    ask = next(attributing, None)
    attributing.close()
    return ask is not None and (ask.trace.rule is not None or type(method).__name__ == "GuidedGradCam")


def explained_by_rule(method, function, sample):
    """Drive a method about a function's twin through the packer, as a run would; held inputs are integers."""
    held = {name: array.astype(np.int32) for name, array in sample.inputs.items() if name not in sample.floating}
    sample = replace(sample, inputs={**sample.inputs, **held})
    shapes = tuple((name, array.shape, str(array.dtype)) for name, array in sample.inputs.items())
    (outcome,) = Packer(_compiled(function.tensors, shapes), classes=1).run([Job(0, sample, _asked(method, sample))])
    if outcome.error is not None:
        raise outcome.error
    return outcome.result


def _asked(method, sample):
    attributing = method.attribute(sample)
    try:
        ask = next(attributing)
        while True:
            ask = attributing.send((yield Query(ask, weights=np.ones(1, np.float32))).answer)
    except StopIteration as stop:
        return stop.value


@cache
def _compiled(twin, shapes):
    def forward(named, given=None, placed=None):
        taps = {name: tf.identity((placed or {}).get(name, tensor)) for name, tensor in named.items()}
        return Traced({"score": tf.reshape(twin(taps), (1, 1))}, taps)

    specs = tuple(InputSpec(name, shape, dtype) for name, shape, dtype in shapes)
    layers = tuple(Layer(name, "Input", 0) for name, _, _ in shapes)
    model = Model("twin", "live", specs, (OutputSpec("score", (1,)),), layers, forward)
    return Compiled(model, "score", batch=1)
