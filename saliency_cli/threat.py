"""What an attack may do to a sample and what it is after: the vocabulary of `attacks/`.

An attack, like a method, is written for one sample: a generator that yields asks and returns what it found. All it
does is in the units of the files: ε, the valid range and the steps of a picture format are told in them, and a
gradient is brought back to them. A displacement is told in shares of ε, so that several inputs of different units
are moved together; every point that is asked about is one that can be written to a file.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, NamedTuple, Protocol

import numpy as np

from saliency_cli.differentiable import Answer, Array, Arrays, Ask, Sample, Trace
from saliency_cli.errors import InputError
from saliency_cli.quantising import between, within

Norm = Literal["inf", "2"]
Loss = Literal["cross-entropy", "margin"]

# The spaces whose score of a class tells how far it is ahead of the others, for each loss.
SPACES: Mapping[str, str] = {"cross-entropy": "log-odds", "margin": "margin"}


@dataclass(frozen=True)
class Goal:
    """What an attack is after: another class than `truth` on top, or `target` if there is one.

    `classes` is their number, `space` the trace's space in which the model's logits are read.
    """

    truth: int
    classes: int
    target: int | None = None
    space: str = "logit"

    def reached(self, top: int) -> bool:
        """Whether a point with this class on top is one that was looked for."""
        return top == self.target if self.target is not None else top != self.truth

    def objective(self) -> Array:
        """Return the class weights of what is to grow: the target's score, or the true class's with a minus."""
        return -self.one(self.truth) if self.target is None else self.one(self.target)

    def one(self, index: int) -> Array:
        """Return the class weights of one class alone."""
        weights = np.zeros(self.classes, np.float32)
        weights[index] = 1
        return weights


@dataclass(frozen=True, eq=False)
class Reach:
    """How far one input may be moved, in the units of its file.

    `start` float64, the input's shape: where it is. `low`, `high`: its valid range. `epsilon`: the radius. `whole`:
    values are whole numbers, the 8-bit steps of a picture. `apply` turns file values into the model's input;
    `pull` turns a gradient by the model's input into one by file values.
    """

    start: Array
    low: float
    high: float
    epsilon: float
    whole: bool
    apply: Callable[[Array], Array]
    pull: Callable[[Array], Array]


@dataclass(frozen=True, eq=False)
class Ball:
    """All that a sample may become: within ε of it in a norm, in the valid range, on the steps of its format.

    Moves are displacements in shares of ε, float64, by input. The norm of several inputs together is the largest
    share of any value (`inf`), or the root of the sum of all squared shares (`2`). Not `bounded`: ε is a unit, and
    no bound.
    """

    sample: Sample
    reaches: Mapping[str, Reach]
    norm: Norm
    bounded: bool = True

    def within(self, share: float) -> "Ball":
        """Return the ball of a share of this one's radius."""
        reaches = {name: replace(each, epsilon=each.epsilon * share) for name, each in self.reaches.items()}
        return replace(self, reaches=reaches)

    def still(self) -> Arrays:
        """Return no move at all."""
        return {name: np.zeros(reach.start.shape) for name, reach in self.reaches.items()}

    def drawn(self, draw: int) -> Arrays:
        """Return a move drawn uniformly from the ball, cut to the valid range; the same one for the same draw."""
        generators = {name: self.sample.generator(f"attack|{name}", draw) for name in self.reaches}
        if self.norm == "inf":
            moves = {name: generators[name].uniform(-1, 1, reach.start.shape) for name, reach in self.reaches.items()}
            return self.projected(moves)
        normal = {name: generators[name].standard_normal(reach.start.shape) for name, reach in self.reaches.items()}
        size = sum(each.size for each in normal.values())
        radius = float(next(iter(generators.values())).uniform()) ** (1 / size) / euclidean(normal)
        return self.projected({name: radius * each for name, each in normal.items()})

    def projected(self, moves: Arrays) -> Arrays:
        """Bring a move into the ball and the valid range. ℓ∞: value by value; ℓ2: shortened, then cut."""
        factor = 1.0
        if self.bounded and self.norm == "2":
            factor = 1 / max(1.0, euclidean(moves))
        found = {}
        for name, move in moves.items():
            low, high = self._ends(name)
            if self.bounded and self.norm == "inf":
                low, high = np.maximum(low, -1), np.minimum(high, 1)
            found[name] = np.clip(factor * move, low, high)
        return found

    def _ends(self, name: str) -> tuple[Array, Array]:
        """Return the lowest and highest move of each value that the valid range leaves."""
        reach = self.reaches[name]
        return (reach.low - reach.start) / reach.epsilon, (reach.high - reach.start) / reach.epsilon

    def free(self, moves: Arrays, slopes: Arrays) -> Arrays:
        """Return the slopes, zero where a value is at the end of its range and would be moved beyond it."""
        found = {}
        for name, slope in slopes.items():
            low, high = self._ends(name)
            stuck = ((moves[name] >= high) & (slope > 0)) | ((moves[name] <= low) & (slope < 0))
            found[name] = np.where(stuck, 0, slope)
        return found

    def steepest(self, slopes: Arrays) -> Arrays:
        """Return the move of length 1 along which a linear function of these slopes grows most; zero for none."""
        if self.norm == "inf":
            return {name: np.sign(slope) for name, slope in slopes.items()}
        length = euclidean(slopes) or 1.0
        return {name: slope / length for name, slope in slopes.items()}

    def settled(self, moves: Arrays) -> Arrays:
        """Return the file values that a move leads to: in the ball and the range, on the format's steps, float64."""
        return {name: self._settled(self.reaches[name], move) for name, move in moves.items()}

    def _settled(self, reach: Reach, move: Array) -> Array:
        by = reach.epsilon * move
        if self.norm == "2":
            return within(reach.start, by, (reach.low, reach.high), whole=reach.whole)
        low, high = np.full(by.shape, reach.low), np.full(by.shape, reach.high)
        if self.bounded:
            low = np.maximum(low, reach.start - reach.epsilon)
            high = np.minimum(high, reach.start + reach.epsilon)
        return between(reach.start + by, low, high, whole=reach.whole)

    def anywhere(self) -> "Ball":
        """Return the ball of the displacements themselves, in the files' units: around zero, of no range."""
        reaches = {
            name: replace(reach, start=np.zeros(reach.start.shape), low=-np.inf, high=np.inf)
            for name, reach in self.reaches.items()
        }
        return replace(self, reaches=reaches)

    def moved_by(self, delta: Arrays) -> Arrays:
        """Return the file values that a displacement in the files' units leads to, cut to the range, float64."""
        return {
            name: np.clip(reach.start + delta[name], np.ceil(reach.low), np.floor(reach.high))
            if reach.whole
            else within(reach.start, delta[name], (reach.low, reach.high), whole=False)
            for name, reach in self.reaches.items()
        }

    def ask(self, values: Arrays, trace: Trace, about: Array) -> Ask:
        """Return the ask for the point of these file values."""
        weights = np.ones(1) if trace.gradient else np.zeros(1)
        return Ask(1, lambda _, out: self.write(values, out), weights, trace=trace, about=about)

    def write(self, values: Arrays, out: Arrays) -> None:
        """Write the sample with these file values in place of its own."""
        self.sample.write(out)
        for name, each in values.items():
            np.copyto(out[name], self.reaches[name].apply(each))

    def pulled(self, gradients: Arrays) -> Arrays:
        """Return a gradient by the model's inputs as slopes: by moves. Raises `InputError` where it is not finite."""
        found = {
            name: reach.epsilon * reach.pull(np.asarray(gradients[name], np.float64))
            for name, reach in self.reaches.items()
        }
        if not all(np.isfinite(slope).all() for slope in found.values()):
            raise InputError(
                "the loss's gradient is not finite at a perturbed point",
                hint="a square root or a division at 0 in the model, or an overflow: check the scale (--preprocess)",
                reason="non-finite-gradient",
            )
        return found

    def length(self, values: Arrays) -> float:
        """Return how far file values are from the start, in shares of ε."""
        shares = {name: (values[name] - reach.start) / reach.epsilon for name, reach in self.reaches.items()}
        if self.norm == "2":
            return euclidean(shares)
        return max(float(np.abs(each).max(initial=0.0)) for each in shares.values())


class Seen(NamedTuple):
    """One point an attack looked at: file values, class on top, objective, logits, slopes (none without gradient)."""

    values: Arrays
    top: int
    objective: float
    logits: Array
    slopes: Arrays


def look(ball: Ball, moves: Arrays, trace: Trace, about: Array) -> Generator[Ask, Answer, Seen]:
    """Ask about the point that a move leads to. Raises `InputError` where the model gives nothing finite there."""
    return (yield from look_at(ball, ball.settled(moves), trace, about))


def look_at(ball: Ball, values: Arrays, trace: Trace, about: Array) -> Generator[Ask, Answer, Seen]:
    """Ask about the point of some file values. Raises `InputError` where the model gives nothing finite there."""
    answer = yield ball.ask(values, trace, about)
    objective = float(answer.values[0])
    if not np.isfinite(objective):
        raise InputError(
            f"the model's output is {objective} at a perturbed point",
            hint="check the input's scale (--preprocess) and the model's weights",
            reason="non-finite-output",
        )
    slopes = ball.pulled(answer.gradients) if trace.gradient else {}
    return Seen(values, int(answer.tops[0]), objective, np.asarray(answer.logits, np.float64), slopes)


@dataclass(frozen=True, eq=False)
class Perturbed:
    """What an attack found: the file values of every input it moved, float64, and whether they reach the goal.

    Where none does it is the point whose objective is highest. `steps`: how many were taken. `stuck`: nothing had a
    gradient, so that nothing was tried.
    """

    values: Arrays
    reached: bool
    top: int
    steps: int
    stuck: bool = False


@dataclass(frozen=True, eq=False)
class Common:
    """One displacement for many samples, in the files' units, float64, and how many of them it brings to the goal."""

    delta: Arrays
    reached: int
    steps: int
    stuck: bool = False


Perturbing = Generator[Ask, Answer, Perturbed]


class Attack(Protocol):
    """A search for a perturbed input: a frozen dataclass of options.

    `minimal`: it looks for the nearest point by itself, and ε only tells which of its results count.
    """

    minimal: ClassVar[bool]

    @property
    def cost(self) -> str:
        """What it costs a sample at most, in gradients and forward passes, as text."""
        ...

    def perturb(self, ball: Ball, goal: Goal) -> Perturbing:
        """Yield asks, receive answers, return what was found."""
        ...


def euclidean(arrays: Arrays) -> float:
    """Return the Euclidean norm of several arrays together."""
    return float(np.sqrt(sum(float(np.square(array, dtype=np.float64).sum()) for array in arrays.values())))
