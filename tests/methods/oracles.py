"""Functions whose gradients are known in closed form, and samples to explain them at."""

import numpy as np
import pytest
from rule_models import explained_by_rule, needs_rule

from saliency_cli.autodiff.runtime import tf
from saliency_cli.differentiable import Answer, Sample, solve
from saliency_cli.errors import InputError
from saliency_cli.runs.settings import METHODS

# What a method can't do without, or what keeps its tests short.
SETTINGS = {
    "expected-gradients": {"baselines": "zero"},
    "deep-shap": {"baselines": "zero"},
    "guided-ig": {"steps": 40},
    "rise": {"draws": 200},
    "lime": {"draws": 200},
}
# Methods that look at a layer, which in a plain function is an input under its own name.
LAYERED = {name for name in METHODS.names() if any(option.name == "layer" for option in METHODS.options(name))}
SETTINGS |= {name: {"layer": "x"} for name in LAYERED}
# Those of them whose map is not of the score: the same whatever it is.
UNAIMED = {"eigen-cam", "layer-activation", "neuron-gradient", "neuron-integrated-gradients"}
# Sums shared out by sign: what speaks against an input's part is for others to make up.
SHARED_BY_SIGN = {name for name in METHODS.names() if name.startswith("lrp")}
SHARED_BY_SIGN |= {"excitation-backprop", "deep-taylor"}
# Maps that don't look at the model, for others to beat.
CONTROLS = {"edges", "random"}
# Sums over random masks of all inputs at once: right in the mean, not to the last bit.
SAMPLED = {"lime", "rise"}


def build(name, **options):
    return METHODS.build(name, SETTINGS.get(name, {}) | options)


def explained(name, function, sample, **options):
    """What a method finds; the test is skipped where it refuses such an input, as it says it does."""
    try:
        method = build(name, **options)
        if needs_rule(method, sample):
            return explained_by_rule(method, function, sample)
        return solve(method, function, sample)
    except InputError as refused:
        if refused.reason not in ("no-places", "not-a-picture", "incomplete"):
            raise
        pytest.skip(refused.message)


def sample_of(baseline=None, *, seed=0, identity="", floating=None, **inputs):
    """A sample of the given arrays; "absent" is the given arrays, else zero."""
    absent = {name: np.zeros_like(array) for name, array in inputs.items()} | (baseline or {})
    return Sample(inputs, tuple(floating or inputs), lambda kind: absent, seed, identity)


def in_tensors(twin):
    """Give a function a twin in TensorFlow, of one row of named tensors, for methods that go back by a rule."""

    def given(function):
        function.tensors = twin
        return function

    return given


def linear(b=0.0, **weights):
    """Σ w·x + b over every input."""

    def function(arrays):
        return sum(float((w * arrays[name]).sum()) for name, w in weights.items()) + b, weights

    return function


def sum_of_squares(arrays):
    return sum(float((x * x).sum()) for x in arrays.values()), {name: 2 * x for name, x in arrays.items()}


def sum_of_cubes(arrays):
    return sum(float((x**3).sum()) for x in arrays.values()), {name: 3 * x * x for name, x in arrays.items()}


def product(arrays):
    """x₀·x₁ of the one input."""
    ((name, x),) = arrays.items()
    return float(x[0] * x[1]), {name: x[::-1].copy()}


@in_tensors(lambda tensors: tf.reduce_sum(tf.nn.relu(tensors["a"] * tf.cast(tensors["b"], tensors["a"].dtype))))
def product_of_inputs(arrays):
    a, b = arrays["a"], arrays["b"]
    return float((a * b).sum()), {"a": b, "b": a}


def _sines(tensors):
    # ReLUs of its two halves, so that there is something to guide.
    sines = [tf.sin(x) for x in tensors.values()]
    return sum(tf.reduce_sum(tf.nn.relu(y)) - tf.reduce_sum(tf.nn.relu(-y)) for y in sines)


@in_tensors(_sines)
def sum_of_sines(arrays):
    return sum(float(np.sin(x).sum()) for x in arrays.values()), {name: np.cos(x) for name, x in arrays.items()}


@in_tensors(lambda tensors: 1.5 + 0 * sum(tf.reduce_sum(tf.nn.relu(x)) for x in tensors.values()))
def constant(arrays):
    return 1.5, {name: np.zeros_like(x) for name, x in arrays.items()}


@in_tensors(lambda tensors: _sines(dict(list(tensors.items())[:1])))
def ignores_second(arrays):
    """sin of the first input; the second plays no part."""
    first, second = arrays.values()
    gradients = dict(zip(arrays, (np.cos(first), np.zeros_like(second)), strict=True))
    return float(np.sin(first).sum()), gradients


def drive(method, sample, answer):
    """Drive a method with `answer(ask) → Answer` for each of its asks, and return its explanation."""
    attributing = method.attribute(sample)
    try:
        ask = next(attributing)
        while True:
            ask = attributing.send(answer(ask))
    except StopIteration as stop:
        return stop.value


def with_tops(sample, first, later):
    """An `answer` of zero gradients whose top classes are `first` at the sample and `later` in the draws."""

    def answer(ask):
        zeros = {name: np.zeros(sample.inputs[name].shape) for name in sample.floating}
        tops = np.array([first]) if ask.unperturbed else np.resize(later, ask.n)
        return Answer(np.zeros(ask.n), tops, zeros, zeros)

    return answer
