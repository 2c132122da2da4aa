"""What a metric may look at, what it gives back, and what it says of itself.

A metric, like a method, is written for one sample: a generator that yields `Ask`s where it needs the
model again and returns a `Measured`. One that only looks at the map yields nothing.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, NamedTuple, Protocol

import numpy as np

from saliency_cli.differentiable import GRADIENT, Answer, Array, Arrays, Ask, Attributing, Sample, Trace

Need = Literal["map", "classes", "probabilities", "limits", "mask", "reference", "reference-attribution", "depth"]


@dataclass(frozen=True, eq=False)
class Reference:
    """The same sample explained by another model, another method, or an earlier version of this model.

    `plane` is of the shape of the subject's own. `attribution` is empty where only the plane was kept
    (a baseline folder). `top` is the class on top, `value` the target's value, `scores` the readable
    scores, empty where unknown.
    """

    plane: Array
    attribution: Arrays = field(default_factory=dict)
    top: int = -1
    value: float = float("nan")
    scores: Array = field(default_factory=lambda: np.empty(0))


class Rerun(Protocol):
    """The map's own method, run again by another trace or about other classes than the map's target."""

    def __call__(self, sample: Sample, trace: Trace, weights: Array | None = None, /) -> Attributing:
        """Yield asks, receive answers, return the explanation; `weights` are class weights, in the run's space."""
        ...


@dataclass(frozen=True, eq=False)
class Subject:
    """One sample with one map of it, as a metric sees them.

    `sample` is unperturbed. `attribution`: differentiated input → the map, signed, float32, the input's
    shape. `name` is the input whose map is measured where there are several (the first). `plane` is its
    |map| folded over channels (the method's own reduction), float64: `(rows, columns)` of a picture, the
    input's shape without channels else. `channels` is the position of the channel axis in `name`'s array,
    None without one. `weights` `(classes,)` is the target as class weights (empty for a loss), `value` its
    value. `logits` and `scores` `(classes,)` are the output's at the sample; `top` the class on top, −1
    without classes; `label` the true class where the user gave one. `limits`: differentiated input → the
    lowest and highest valid value in the model's units, arrays that broadcast with the input. `mask`
    marks the object, boolean, of `plane`'s shape. `depth` is how many layers hold weights that can be
    drawn anew. `attribute` runs the map's own method again. `logit_space` is the trace's space that `logits`
    are read in: `output` where the model's end has none of its own.
    """

    sample: Sample
    attribution: Arrays
    name: str
    plane: Array
    weights: Array
    value: float
    logits: Array
    scores: Array
    top: int
    attribute: Rerun
    channels: int | None = None
    label: int | None = None
    limits: Mapping[str, tuple[Array, Array]] = field(default_factory=dict)
    mask: Array | None = None
    reference: Reference | None = None
    depth: int = 0
    fold: Callable[[Arrays], Array] = field(default=lambda _: np.empty(0))
    logit_space: str = "logit"

    @property
    def truth(self) -> int:
        """The class a flip is measured from: the true one where it is known, else the one on top."""
        return self.top if self.label is None else self.label

    def again(self, arrays: Arrays, trace: Trace = GRADIENT) -> Attributing:
        """Run the method on a perturbed copy, with the noise draws of the unperturbed sample."""
        return self.attribute(self.sample.at(arrays), trace)

    def about(self, weights: Array) -> Attributing:
        """Run the method on the sample as it is, about other classes."""
        return self.attribute(self.sample, GRADIENT, weights)

    def one(self, index: int) -> Array:
        """Return the class weights of one class alone."""
        weights = np.zeros(self.logits.size, np.float32)
        weights[index] = 1
        return weights

    def spans(self) -> Arrays:
        """Return highest − lowest valid value, float64, of every differentiated input whose limits are known."""
        known = [name for name in self.sample.floating if name in self.limits]
        return {name: np.subtract(self.limits[name][1], self.limits[name][0], dtype=np.float64) for name in known}

    def flat(self) -> Array:
        """Return every differentiated input's map as one float64 vector, in the inputs' order."""
        return flatten(self.attribution, self.sample.floating)


def flatten(arrays: Arrays, names: tuple[str, ...]) -> Array:
    """Return the named arrays as one float64 vector."""
    return np.concatenate([np.asarray(arrays[name], np.float64).reshape(-1) for name in names if name in arrays])


class Measured(NamedTuple):
    """A metric's value for one sample.

    NaN: there is no value, and `note` says why. An infinity is a value: nothing was found up to a bound
    that `note` tells ("> 0.0627").
    """

    value: float
    note: str = ""


Measurement = Generator[Ask, Answer, Measured]
Better = Literal["higher", "lower", "neither"]


class Metric(Protocol):
    """A number about one sample: a frozen dataclass of options.

    `better`: which way is better, where one is. `lowest` and `highest` bound its values. `unit` is what
    a value is measured in. `needs`: what must be there for it; a missing one is an error of the request.
    """

    better: ClassVar[Better]
    lowest: ClassVar[float]
    highest: ClassVar[float]

    @property
    def unit(self) -> str:
        """What a value is measured in, empty for a plain number."""
        ...

    @property
    def needs(self) -> frozenset[Need]:
        """What must be there for it."""
        ...

    @property
    def cost(self) -> str:
        """What it costs a sample beside the map, in gradients, forward passes or maps, as text."""
        ...

    def measure(self, subject: Subject) -> Measurement:
        """Yield asks, receive answers, return the value."""
        ...


NOT_FINITE = "the model gives no finite value at a perturbed point"


def is_rounding(changes: Array, value: float) -> bool:
    """Whether changes of a float32 number of about this value are no larger than its rounding."""
    return float(np.abs(changes).max(initial=0.0)) <= 1e-6 * abs(value)


def why_blank(plane: Array, what: str = "the map") -> str:
    """Return why a map says nothing of any place, or nothing where it does."""
    if not np.isfinite(plane).all():
        return f"{what} is not finite"
    return "" if np.any(plane) else f"{what} is zero everywhere"


def plain(value: float, note: str = "") -> Measurement:
    """Return the measurement of a metric that asks nothing of the model."""
    return Measured(float(value), note)
    yield  # type: ignore[unreachable]


def evaluate(metric: Metric, subject: Subject, function: Callable[[Arrays], tuple[float, Arrays]]) -> Measured:
    """Drive a metric with a hand-made function `arrays → (value, gradient by input)`, without TensorFlow."""
    from saliency_cli.differentiable import answer

    measuring = metric.measure(subject)
    try:
        ask = next(measuring)
        while True:
            ask = measuring.send(answer(ask, function, subject.sample))
    except StopIteration as stop:
        measured: Measured = stop.value
        return measured
