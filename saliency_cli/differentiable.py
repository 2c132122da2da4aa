"""What a method may ask of a model, and what it gives back: the one protocol of the engine.

A method is written for one sample as straight-line NumPy: a generator that yields an `Ask` (points,
and the weighted sum of their gradients it wants), goes on with the `Answer`, and returns an
`Explanation`. Who computes the answers (the packer over TensorFlow, or a plain function in a test)
is none of its business.
"""

import hashlib
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Arrays = Mapping[str, Array]
Point = Callable[[int, Arrays], None]


@dataclass(frozen=True)
class Trace:
    """Which compiled function answers an ask: the plain input gradient of the run's target, or another one.

    `gradient` off: values and top classes only, a forward pass. `space`: the target is read in this
    space (`logit`, `probability`, `log-probability`) instead of the run's own space or loss.
    `randomised` `(seed, depth)`: by the model whose `depth` layers nearest the output are drawn anew.
    """

    layer: str | None = None
    rule: str | None = None
    gradient: bool = True
    space: str | None = None
    randomised: tuple[int, int] | None = None


GRADIENT = Trace()
VALUES = Trace(gradient=False)


@dataclass(frozen=True, eq=False)
class Ask:
    """`n` points and the sums of their gradients that are wanted.

    `point(i, out)` writes point `i` straight into `out[name]`, a view of the batch buffer of that
    floating input's shape. `weights` is `(n,)`: the answer holds `Σ wᵢ gᵢ`, and with `squares` also
    `Σ wᵢ gᵢ²`, both accumulated in float64; with `each` every gradient, float32. `unperturbed` says that
    the only point is the sample itself, whose value and gradient may be known already. `about`: another
    target than the sample's own, as weights over the output's classes `(classes,)`.
    """

    n: int
    point: Point
    weights: Array
    squares: bool = False
    each: bool = False
    trace: Trace = GRADIENT
    unperturbed: bool = False
    about: Array | None = None


@dataclass(frozen=True, eq=False)
class Answer:
    """The answer to an `Ask`.

    `values` `(n,)` float64: the target at each point. `tops` `(n,)` int64: the top class at each point
    (−1 where the output has no classes). `gradients` and `squares`: floating input → float64 array of
    the input's shape, empty for a trace without gradients. `each`: floating input → `(n, *shape)` float32.
    `logits` `(classes,)`: of an ask of one point, where the engine tells them.
    """

    values: Array
    tops: Array
    gradients: Arrays
    squares: Arrays = field(default_factory=dict)
    each: Arrays = field(default_factory=dict)
    logits: Array = field(default_factory=lambda: np.empty(0))


@dataclass(frozen=True, eq=False)
class Sample:
    """Named arrays for every input of the model, prepared, without batch axis.

    `floating` names the inputs that are differentiated; integer inputs are held fixed. `identity` is
    the content hash of the unperturbed arrays. `baseline(kind)` gives the floating inputs' arrays for
    "absent", in the file's own units and prepared like the input. `channels` is the position of an
    input's channel axis, None where it has none; an input that isn't in it is told by its shape.
    """

    inputs: Arrays
    floating: tuple[str, ...]
    baseline: Callable[[str], Arrays]
    seed: int = 0
    identity: str = ""
    channels: Mapping[str, int | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.identity:
            object.__setattr__(self, "identity", content_hash(self.inputs))

    def write(self, out: Arrays) -> None:
        """Write the unperturbed floating inputs into `out`."""
        for name in self.floating:
            np.copyto(out[name], self.inputs[name])

    def itself(self) -> Ask:
        """Return the ask for the value and gradient at the unperturbed sample."""
        return Ask(1, lambda _, out: self.write(out), np.ones(1), unperturbed=True)

    def at(self, arrays: Arrays) -> "Sample":
        """Return this sample moved to other floating arrays; it keeps its identity, and so its draws."""
        return replace(self, inputs={**self.inputs, **arrays})

    def generator(self, name: str, draw: int) -> np.random.Generator:
        """Return random numbers that depend on (seed, identity, input or purpose `name`, draw) alone."""
        key = hashlib.blake2b(f"{self.seed}|{self.identity}|{name}|{draw}".encode(), digest_size=16)
        return np.random.Generator(np.random.Philox(key=int.from_bytes(key.digest(), "little")))

    def normal(self, name: str, draw: int, out: Array) -> None:
        """Fill `out` with standard normal noise that depends on (seed, identity, input name, draw) alone."""
        if out.dtype == np.float32 and out.flags.c_contiguous:
            self.generator(name, draw).standard_normal(out=out, dtype=np.float32)
        else:
            out[...] = self.generator(name, draw).standard_normal(out.shape, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Explanation:
    """What a method returns for one sample and one target.

    `values`: floating input → attribution, float32, the input's own shape, signed and un-normalised.
    `details`: numbers worth recording (`completeness_gap`, `top_changed`, …). `flags`: reasons not to
    trust the map, as short stable words.
    """

    values: Arrays
    details: Mapping[str, float] = field(default_factory=dict)
    flags: tuple[str, ...] = ()


Attributing = Generator[Ask, Answer, Explanation]
Reduce = Literal["max", "mean", "sum", "l2", "none"]


class Method(Protocol):
    """An attribution method: a frozen dataclass of options.

    `reduce` says how its channels are folded for a picture unless the user chooses; `signed` whether
    negative values mean something; `unit` what one value is measured in (`target/input` for a
    gradient, `target` for a share of the target).
    """

    @property
    def reduce(self) -> Reduce:
        """How its channels are folded for a picture, unless the user chooses."""
        ...

    @property
    def unit(self) -> str:
        """What one value is measured in."""
        ...

    @property
    def signed(self) -> bool:
        """Whether negative values mean something."""
        ...

    def attribute(self, sample: Sample) -> Attributing:
        """Yield asks, receive answers, return the explanation."""
        ...


def content_hash(arrays: Arrays) -> str:
    """Return a hash of the arrays' names, dtypes, shapes and bytes, independent of their order."""
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        digest.update(array.data if array.dtype != object else repr(array.tolist()).encode())
    return digest.hexdigest()


def solve(
    method: Method,
    function: Callable[[Arrays], tuple[float, Arrays]],
    sample: Sample,
) -> Explanation:
    """Drive a method with a hand-made function `arrays → (value, gradient by input)`, without TensorFlow."""
    attributing = method.attribute(sample)
    try:
        ask = next(attributing)
        while True:
            ask = attributing.send(answer(ask, function, sample))
    except StopIteration as stop:
        explanation: Explanation = stop.value
        return explanation


def answer(ask: Ask, function: Callable[[Arrays], tuple[float, Arrays]], sample: Sample) -> Answer:
    """Return a plain function's answer to an ask."""
    points = {name: np.empty_like(sample.inputs[name]) for name in sample.floating}
    shapes = {name: points[name].shape for name in sample.floating}
    gradients = {name: np.zeros(shape) for name, shape in shapes.items()}
    squares = {name: np.zeros(shape) for name, shape in shapes.items()}
    each = {name: np.empty((ask.n, *shape), np.float32) for name, shape in shapes.items()}
    values = np.empty(ask.n)
    for i in range(ask.n):
        ask.point(i, points)
        values[i], found = function({**sample.inputs, **points})
        if not ask.trace.gradient:
            continue
        for name in sample.floating:
            each[name][i] = found[name]
            if ask.weights[i]:
                gradients[name] += ask.weights[i] * found[name]
                squares[name] += ask.weights[i] * np.square(found[name], dtype=np.float64)
    tops = np.full(ask.n, -1)
    if not ask.trace.gradient:
        return Answer(values, tops, {})
    return Answer(values, tops, gradients, squares if ask.squares else {}, each if ask.each else {})
