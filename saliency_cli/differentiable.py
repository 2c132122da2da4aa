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

from saliency_cli.errors import ModelError

Array = NDArray[Any]
Arrays = Mapping[str, Array]
Point = Callable[[int, Arrays], None]


@dataclass(frozen=True)
class Trace:
    """Which compiled function answers an ask: the plain input gradient of the run's target, or another one.

    `gradient` off: values and top classes only, a forward pass. `space`: the target is read in this
    space (`logit`, `probability`, `log-probability`) instead of the run's own space or loss.
    `randomised` `(seed, depth)`: by the model whose `depth` layers nearest the output are drawn anew.
    `layer`: the outputs of these layers are told, and differentiated by in place of the inputs. With `cut`
    points are written there too: what is asked is the part of the model behind them, and what reaches the
    target around them is as in the sample. `unit` `(layer, index)`: the target is one unit of a layer, with a
    channel's index alone that channel's mean over places, with no index the mean square of all its outputs.
    `biases`: what each constant that the model adds contributes is told, in two maps. `rule`: what goes back from
    the target goes by this rule of `autodiff/rules/` (`guided`, `lrp:dense=epsilon`) instead of by the derivative.

    `output`: the target is of another output of the model than the run's, and its weights are over that one's
    classes. `whole`: it is Σ weights · every element of the output, flattened in the output's own order, one sigmoid
    unit being one element; with `gradient` off the output itself is told, as the activation `output`. `product`: each
    point comes with a direction v of the inputs' shapes, written to `out[against(0, name)]` (`Ask.references` is 1),
    and in place of the gradient is told H·v, H the second derivative of the target (`hessian`), or as the activation
    `output` J·v, the derivative of the whole output along v, in its shape (`jacobian`). `smooth` β: of the model with
    softplus(βx)/β for each ReLU.
    """

    layer: tuple[str, ...] = ()
    rule: str | None = None
    gradient: bool = True
    space: str | None = None
    randomised: tuple[int, int] | None = None
    cut: bool = False
    unit: tuple[str, tuple[int, ...]] | None = None
    biases: bool = False
    output: str | None = None
    whole: bool = False
    product: Literal["jacobian", "hessian"] | None = None
    smooth: float | None = None


def against(reference: int, name: str) -> str:
    """Return the name under which a point's k-th reference holds an input, beside the point's own."""
    return f"reference {reference}: {name}"


GRADIENT = Trace()
VALUES = Trace(gradient=False)


@dataclass(frozen=True, eq=False)
class Ask:
    """`n` points and the sums of their gradients that are wanted.

    `point(i, out)` writes point `i` straight into `out[name]`, a view of the batch buffer of that
    floating input's shape. `weights` is `(n,)`: the answer holds `Σ wᵢ gᵢ`, and with `squares` also
    `Σ wᵢ gᵢ²`, both accumulated in float64; with `each` every gradient, float32. `unperturbed` says that
    the only point is the sample itself, whose value and gradient may be known already. `about`: another
    target than the sample's own, as weights over the output's classes `(classes,)`; `abouts`: another one for each
    point, `(n, classes)`, or `(n, elements)` of a trace of the `whole` output. `shapes`: layer → its
    output's shape, for a trace cut there: `out` then holds those layers instead of the inputs. `references`:
    how many further points a rule compares each point with, or 1 for the direction of a product;
    `out[against(k, name)]` takes the k-th one's inputs.
    """

    n: int
    point: Point
    weights: Array
    squares: bool = False
    each: bool = False
    trace: Trace = GRADIENT
    unperturbed: bool = False
    about: Array | None = None
    abouts: Array | None = None
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    references: int = 0


@dataclass(frozen=True, eq=False)
class Answer:
    """The answer to an `Ask`.

    `values` `(n,)` float64: the target at each point. `tops` `(n,)` int64: the top class at each point (−1 where
    the output has no classes). `gradients` and `squares`: floating input → float64 array of the input's shape,
    empty for a trace without gradients; of one point with weight 1 the gradient as it is, float32. `each`: floating
    input → `(n, *shape)` float32. `logits` `(classes,)`: of an ask of one point, where the engine tells them.

    Of a trace with layers, `gradients`, `squares` and `each` hold a layer's path → arrays of its output's shape,
    channels last and places in the input's order whatever the model's own; `activations` `Σ wᵢ aᵢ` of its outputs,
    float64, and `each_activation` each output, float32. `depends`: layer → the floating inputs it depends on. Of a
    trace with biases, `activations` holds an operation → `(*places, 2)`, see `autodiff/biases.py`; of one with a
    rule, what the rule tells, by name: numbers, each summed like the gradients.
    """

    values: Array
    tops: Array
    gradients: Arrays
    squares: Arrays = field(default_factory=dict)
    each: Arrays = field(default_factory=dict)
    logits: Array = field(default_factory=lambda: np.empty(0))
    activations: Arrays = field(default_factory=dict)
    each_activation: Arrays = field(default_factory=dict)
    depends: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


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
        """Fill `out` with standard normal noise that depends on (seed, identity, input name, draw) alone.

        By Box and Muller (1958): `√(−2 ln u)·cos 2πv` and the same with the sine, from 32 random bits each. In
        float32 with NumPy's vector functions that is three times as fast as the ziggurat, and exact up to 6.7 σ,
        which one value in 10¹⁰ lies beyond.
        """
        if out.dtype != np.float32 or not out.flags.c_contiguous:
            whole = np.empty(out.shape, np.float32)
            self.normal(name, draw, whole)
            out[...] = whole
            return
        flat = out.reshape(-1)
        half = (flat.size + 1) // 2
        bits = self.generator(name, draw).bit_generator.random_raw(half).view(np.uint32)
        radius, angle = bits[:half].astype(np.float32), bits[half:].astype(np.float32)
        radius += np.float32(0.5)
        radius *= np.float32(2**-32)
        np.minimum(radius, np.float32(1), out=radius)
        np.log(radius, out=radius)
        radius *= np.float32(-2)
        np.sqrt(radius, out=radius)
        angle *= np.float32(2 * np.pi * 2**-32)
        first, second = flat[:half], flat[half:]
        np.sin(angle[: second.size], out=second)
        second *= radius[: second.size]
        np.cos(angle, out=first)
        first *= radius


@dataclass(frozen=True, eq=False)
class Explanation:
    """What a method returns for one sample and one target.

    `values`: floating input → attribution, float32, the input's own shape, signed and un-normalised.
    `details`: numbers worth recording (`completeness_gap`, `top_changed`, …). `flags`: reasons not to
    trust the map, as short stable words. `layers`: layer → the map as it was found there, before it was
    resized to the input, float32.
    """

    values: Arrays
    details: Mapping[str, float] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    layers: Arrays = field(default_factory=dict)


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
    """Return a plain function's answer to an ask. Its only layers are its inputs, each under its own name.

    Raises `ModelError` for a trace with a rule: a function has no operations to go back through.
    """
    trace = ask.trace
    if trace.rule is not None:
        raise ModelError(
            f"a plain function has no operations for the rule '{trace.rule}' to go back through",
            hint="ask a model, or a method without a rule",
            reason="no-rule",
        )
    if trace.product or trace.whole or trace.output or trace.smooth or ask.abouts is not None:
        raise ModelError(
            "a plain function has one output, of which its value and gradient are known",
            hint="ask a model",
            reason="no-product",
        )
    points = {name: np.empty_like(sample.inputs[name]) for name in (trace.layer if trace.cut else sample.floating)}
    by = trace.layer or sample.floating
    shapes = {name: sample.inputs[name].shape for name in by}
    gradients = {name: np.zeros(shape) for name, shape in shapes.items()}
    squares = {name: np.zeros(shape) for name, shape in shapes.items()}
    each = {name: np.empty((ask.n, *shape), np.float32) for name, shape in shapes.items()}
    activations = {name: np.zeros(shapes[name]) for name in trace.layer}
    each_activation = {name: np.empty((ask.n, *shapes[name]), np.float32) for name in trace.layer}
    values = np.empty(ask.n)
    for i in range(ask.n):
        ask.point(i, points)
        arrays = {**sample.inputs, **points}
        values[i], found = function(arrays)
        for name in trace.layer:
            activations[name] += ask.weights[i] * arrays[name]
            each_activation[name][i] = arrays[name]
        if trace.unit is not None:
            values[i], found = _unit(trace.unit, arrays, sample.floating)
        if not trace.gradient:
            continue
        for name in by:
            each[name][i] = found[name]
            if ask.weights[i]:
                gradients[name] += ask.weights[i] * found[name]
                squares[name] += ask.weights[i] * np.square(found[name], dtype=np.float64)
    layered: dict[str, Any] = {
        "activations": activations,
        "each_activation": each_activation if ask.each else {},
        "depends": {name: (name,) for name in trace.layer},
    }
    tops = np.full(ask.n, -1)
    if not trace.gradient:
        return Answer(values, tops, {}, **layered)
    return Answer(values, tops, gradients, squares if ask.squares else {}, each if ask.each else {}, **layered)


def _unit(unit: tuple[str, tuple[int, ...]], arrays: Arrays, floating: tuple[str, ...]) -> tuple[float, Arrays]:
    """Return the value of one unit of an input that is taken for a layer, and its gradient."""
    layer, index = unit
    gradient = np.zeros(arrays[layer].shape)
    if not index:
        gradient = 2 * np.asarray(arrays[layer], np.float64) / gradient.size
        found = {name: gradient if name == layer else np.zeros(arrays[name].shape) for name in floating}
        return float(np.mean(np.square(arrays[layer], dtype=np.float64))), found
    if len(index) == arrays[layer].ndim:
        gradient[index] = 1
    else:
        gradient[..., index[-1]] = arrays[layer].shape[-1] / arrays[layer].size
    found = {name: gradient if name == layer else np.zeros(arrays[name].shape) for name in floating}
    return float((gradient * arrays[layer]).sum()), found
