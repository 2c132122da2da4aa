"""Gradient ascent on a target over the values of a sample's inputs.

With `u` in 0…1 for every value, `x = Range(u)` and `u` given by parameters `p` (`parametrizations`), each step asks
for the gradient of the target at one shifted copy and goes uphill on

    J(p) = target(x(shift(u))) − G · (tv · TV(u) + l2 · mean((u − start)²)),

where `G = n · rms(∂target/∂u)` of the n values at the start: what the target would rise by, were it linear, if all
went the whole range uphill. So a weight means the same for a logit of thousands and a unit of a hundredth.

The shift is drawn anew for each step, evenly from −jitter…jitter along every axis of places, and what leaves on one
side comes in on the other: the target then rises for what is there, not for where it lies on the model's grid. After
a step the parameters are blurred by a Gaussian whose σ falls linearly from `blur` to 0 over the run.

Sources: Erhan, Bengio, Courville, Vincent 2009, Visualizing Higher-Layer Features of a Deep Network; total variation
and jitter: Mahendran, Vedaldi 2015, arXiv:1412.0035, and Mordvintsev, Olah, Tyka 2015, Inceptionism; blur: Yosinski
et al. 2015, Understanding Neural Networks Through Deep Visualization.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass

import numpy as np

from saliency_cli.differentiable import GRADIENT, Answer, Array, Arrays, Ask, Sample, Trace
from saliency_cli.errors import InputError
from saliency_cli.maximizing.parametrizations import Parametrization
from saliency_cli.maximizing.penalties import squared_distance, total_variation
from saliency_cli.maximizing.ranges import Range
from saliency_cli.maximizing.steps import Optimizer, stepping

_STARTS = 6
_MIDDLE = 0.5


@dataclass(frozen=True, eq=False)
class Canvas:
    """One input that is made: its valid range, what is varied, the axes that are places, and the step's length.

    `given`: the start is the sample's own values, else noise about the middle of the range. `jitter`: how many
    places a shift may go.
    """

    range: Range
    parametrization: Parametrization
    places: tuple[int, ...]
    rate: float
    given: bool = False
    jitter: int = 0


@dataclass(frozen=True)
class Climb:
    """How the ascent goes: see the module. `contrast` is the deviation of the noise it begins with, first tried."""

    steps: int = 256
    optimizer: Optimizer = "adam"
    tv: float = 0.0
    l2: float = 0.0
    blur: float = 0.0
    contrast: float = 0.02


@dataclass(frozen=True, eq=False)
class Moment:
    """The way after `step` steps: the target at the values `u` (0…1, by input) as they are, without a shift."""

    step: int
    value: float
    u: Arrays


@dataclass(frozen=True, eq=False)
class Ascended:
    """The start and the end of an ascent.

    `contrast`: that of the noise it began with, None for given values. `scale`: the G of the penalties.
    """

    first: Moment
    last: Moment
    contrast: float | None
    scale: float


@dataclass(frozen=True, eq=False)
class Aim:
    """What is raised: the sample's own target by the trace, or with `about` other weights of its classes."""

    trace: Trace = GRADIENT
    about: Array | None = None

    def ask(self, sample: Sample, canvases: Mapping[str, Canvas], u: Arrays) -> Ask:
        """Return the ask for the target and its gradient where these inputs have the values `u`."""

        def point(_: int, out: Arrays) -> None:
            sample.write(out)
            for name, canvas in canvases.items():
                np.copyto(out[name], canvas.range.inside(u[name]), casting="same_kind")

        return Ask(1, point, np.ones(1), trace=self.trace, about=self.about)


def ascend(
    sample: Sample,
    canvases: Mapping[str, Canvas],
    climb: Climb,
    aim: Aim,
    keep: Callable[[Moment], bool | None] = lambda _: None,
    every: int = 0,
) -> Generator[Ask, Answer, Ascended]:
    """Yield an ask a step and return where the target has got to.

    `keep` is shown the moment after every `every`-th step, the start, and the end; every draw depends on the
    sample's seed and content alone.

    Raises:
        InputError: reason `zero-gradient` where the target doesn't react at the start; `non-finite-output` where
            it or its gradient is no number.
    """
    first, parameters, answer, contrast = yield from _start(sample, canvases, climb, aim)
    known: Answer | None = answer
    scale = _scale(answer, canvases)
    start = {name: first.u[name] if canvas.given else _MIDDLE for name, canvas in canvases.items()}
    uphill = {name: stepping(climb.optimizer, canvas.rate) for name, canvas in canvases.items()}
    keep(first)
    u, moment = dict(first.u), first
    for step in range(1, climb.steps + 1):
        shifts = {name: _shift(sample, name, canvas, step) for name, canvas in canvases.items()}
        if known is None or any(map(any, shifts.values())):
            shifted = {name: _rolled(u[name], shifts[name], canvas) for name, canvas in canvases.items()}
            known = yield from _asked(aim.ask(sample, canvases, shifted))
        sigma = climb.blur * (1 - step / climb.steps)
        for name, canvas in canvases.items():
            back = tuple(-n for n in shifts[name])
            gradient = _rolled(canvas.range.pulled(known.gradients[name]), back, canvas)
            gradient = gradient - scale * _penalised(u[name], start[name], canvas, climb)
            moved = parameters[name] + uphill[name].step(canvas.parametrization.pull(gradient, u[name]))
            moved = canvas.parametrization.settle(moved)
            parameters[name] = canvas.parametrization.blurred(moved, sigma) if sigma and canvas.places else moved
            u[name] = canvas.parametrization.decode(parameters[name])
        known = None
        if step == climb.steps or (every and step % every == 0):
            known = yield from _asked(aim.ask(sample, canvases, u))
            moment = Moment(step, float(known.values[0]), dict(u))
            keep(moment)
    return Ascended(first, moment, contrast, scale)


def _start(
    sample: Sample, canvases: Mapping[str, Canvas], climb: Climb, aim: Aim
) -> Generator[Ask, Answer, tuple[Moment, dict[str, Array], Answer, float | None]]:
    """Find a start at which the target reacts: given values as they are, noise of growing contrast.

    A unit behind a ReLU is often off in a plain grey picture, and nothing tells then which way is up.
    """
    noisy = not all(canvas.given for canvas in canvases.values())
    contrasts = [climb.contrast * 2**attempt for attempt in range(_STARTS)] if noisy else [None]
    for draw, contrast in enumerate(contrasts):
        parameters = {}
        for name, canvas in canvases.items():
            if canvas.given or contrast is None:
                parameters[name] = canvas.parametrization.encode(canvas.range.share(sample.inputs[name]))
            else:
                generator = sample.generator(f"start of {name}", draw)
                parameters[name] = canvas.parametrization.noise(generator, contrast)
        u = {name: canvas.parametrization.decode(parameters[name]) for name, canvas in canvases.items()}
        answer = yield from _asked(aim.ask(sample, canvases, u))
        if any(np.any(answer.gradients[name]) for name in canvases):
            return Moment(0, float(answer.values[0]), u), parameters, answer, contrast
    where = f"in noise of {_STARTS} contrasts" if noisy else "at the start"
    raise InputError(
        f"the target's gradient is exactly zero everywhere {where}, so no direction is up",
        hint="begin with " + ("a picture, or another --seed" if noisy else "another picture, or with noise"),
        reason="zero-gradient",
    )


def _shift(sample: Sample, name: str, canvas: Canvas, step: int) -> tuple[int, ...]:
    if not canvas.jitter:
        return (0,) * len(canvas.places)
    drawn = sample.generator(f"shift of {name}", step).integers(-canvas.jitter, canvas.jitter + 1, len(canvas.places))
    return tuple(int(n) for n in drawn)


def _rolled(values: Array, shift: tuple[int, ...], canvas: Canvas) -> Array:
    return np.roll(values, shift, canvas.places) if any(shift) else values


def _scale(answer: Answer, canvases: Mapping[str, Canvas]) -> float:
    """Return √n · ‖∂target/∂u‖ over all inputs together."""
    gradients = [canvas.range.pulled(answer.gradients[name]) for name, canvas in canvases.items()]
    return float(np.sqrt(sum(g.size for g in gradients) * sum(float(np.sum(np.square(g))) for g in gradients)))


def _penalised(u: Array, start: Array | float, canvas: Canvas, climb: Climb) -> Array | float:
    """Return the gradient of what is taken off the target."""
    off: Array | float = 0.0
    if climb.tv and canvas.places:
        off = climb.tv * total_variation(u, canvas.places)[1]
    if climb.l2:
        off = off + climb.l2 * squared_distance(u, start)[1]
    return off


def _asked(ask: Ask) -> Generator[Ask, Answer, Answer]:
    """Ask, and raise `InputError` where no number comes back."""
    answer = yield ask
    if not (np.isfinite(answer.values).all() and all(np.isfinite(g).all() for g in answer.gradients.values())):
        raise InputError(
            "the target or its gradient is NaN or infinite on the way up",
            hint="smaller steps (--learning-rate), or check the model's weights",
            reason="non-finite-output",
        )
    return answer
