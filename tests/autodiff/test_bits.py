"""TensorFlow under the packer: a sample's bits do not depend on its companions; batch sizes agree to 1e-5."""

import numpy as np
import pytest
from asking import compiled
from tiny_models import CLASSES, L, any_size, drawn, headed, keras, seeded

from saliency_cli.autodiff.packing import Job, Packer, Query
from saliency_cli.differentiable import Sample
from saliency_cli.methods.integrated_gradients import IntegratedGradients
from saliency_cli.methods.smoothgrad import SmoothGrad


def attributed(method, sample):
    """The packer's program of one method about the top class."""
    attributing = method.attribute(sample)
    first = yield Query(sample.itself())
    weights = np.eye(CLASSES, dtype=np.float32)[first.answer.tops[0]]
    try:
        ask = next(attributing)
        while True:
            ask = attributing.send((yield Query(ask, weights=weights)).answer)
    except StopIteration as stop:
        return next(iter(stop.value.values.values()))


def maps_of(function, samples, method):
    packer = Packer(function, classes=CLASSES)
    jobs = [Job(key, sample, attributed(method, sample)) for key, sample in samples.items()]
    return {outcome.key: outcome.result for outcome in packer.run(jobs)}


def samples_of(function, *shapes):
    (name,) = function.floating
    found = {}
    for key, shape in enumerate(shapes):
        x = drawn(*shape, seed=key)
        found[key] = Sample({name: x}, (name,), lambda kind, x=x, name=name: {name: np.zeros_like(x)}, seed=5)
    return found


METHODS = pytest.mark.parametrize("method", [SmoothGrad(11), IntegratedGradients(10)], ids=["smoothgrad", "ig"])


def lstm():
    x = keras.Input((6, 2))
    return seeded(keras.Model(x, L.Dense(CLASSES, "softmax")(L.LSTM(5)(x))))


MODELS = {"convolution": lambda: headed("dense softmax")[0], "lstm": lstm}


@METHODS
@pytest.mark.parametrize("kind", MODELS)
def test_the_same_bits_alone_and_in_company_in_any_order(kind, method):
    function = compiled(MODELS[kind](), batch=8)
    shape = tuple(function.model.inputs[0].shape)
    samples = samples_of(function, *[shape] * 6)
    together = maps_of(function, samples, method)
    backwards = maps_of(function, dict(reversed(samples.items())), method)
    for key, sample in samples.items():
        alone = maps_of(function, {key: sample}, method)[key]
        assert together[key].tobytes() == alone.tobytes() == backwards[key].tobytes()
        assert np.any(alone)


@METHODS
def test_batch_sizes_agree(method):
    model, _ = headed("dense softmax")
    found = {}
    for batch in (1, 2, 7, 64):
        function = compiled(model, batch=batch)
        found[batch] = maps_of(function, samples_of(function, *[(6, 6, 2)] * 5), method)
    for batch in (2, 7, 64):
        for key, expected in found[1].items():
            assert abs(found[batch][key] - expected).max() <= 1e-5 * abs(expected).max()


def test_two_sizes_in_one_run():
    function = compiled(any_size(), batch=8)
    sizes = [(7, 5, 3), (4, 9, 3), (7, 5, 3), (4, 9, 3), (3, 3, 3)]
    samples = samples_of(function, *sizes)
    together = maps_of(function, samples, SmoothGrad(5))
    for key, size in enumerate(sizes):
        assert together[key].shape == size
        assert together[key].tobytes() == maps_of(function, {key: samples[key]}, SmoothGrad(5))[key].tobytes()
