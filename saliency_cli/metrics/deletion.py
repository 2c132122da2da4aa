"""Area under the curve of the target while the highest places are deleted.

Definition
    Places (pixels, with all their channels; else single values) are put in the order of the folded |map|,
    highest first, ties by position, and replaced by the baseline: after step k = 0…n, ⌊k d / n⌋ of the d.
    The value is ∫ v over the share replaced, 0 to 1, by trapezoids. v is the target read as a probability,
    whatever space the run explains (`of=target`: its own value). Not normalised: a probability's area lies
    between 0 and 1. `normalised=true` measures v from its value at the baseline (0) to the sample's (1).
    Other inputs of the model are left as they are. A good map has a small area.

When it misleads
    Holes are unlike anything the model was trained on, so a fall may be theirs; and the answer is one to a
    baseline. Unnormalised it follows how sure the model was in the first place. The map's signs play no part:
    what speaks against the target is deleted as early as what speaks for it.

Source
    Petsiuk, Das, Saenko 2018, RISE, arXiv:1806.07421, section 4.1. Normalised: Schulz et al. 2020, Restricting
    the Flow, arXiv:2001.00396, section 4.4.

Differs from
    RISE and Xplique, which rank signed maps by value, not by size; Xplique takes 10 steps, weighs
    unequal ones equally, and averages the area over a data set.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from msgspec import Meta

from saliency_cli.differentiable import VALUES, Answer, Array, Arrays, Ask, Trace
from saliency_cli.subject import NOT_FINITE, Better, Measured, Measurement, Need, Subject, is_rounding

__all__ = ["Deletion"]

Reading = Literal["probability", "target"]


@dataclass(frozen=True)
class Deletion:
    """Area under the deletion curve."""

    steps: Annotated[int, Meta(ge=1, le=100_000, description="steps from nothing to everything replaced")] = 32
    baseline: Annotated[
        str, Meta(description="what replaces a place: black, white, zero, mean, min, max, blur, noise, or a file")
    ] = "black"
    of: Annotated[Reading, Meta(description="the curve's value: the target's probability, or its own value")] = (
        "probability"
    )
    normalised: Annotated[bool, Meta(description="scale the curve to 0 at the baseline and 1 at the sample")] = False

    better: ClassVar[Better] = "lower"
    lowest: ClassVar[float] = float("-inf")
    highest: ClassVar[float] = float("inf")

    @property
    def unit(self) -> str:
        """The curve's own unit, none where it is scaled."""
        return "" if self.normalised else self.of

    @property
    def needs(self) -> frozenset[Need]:
        """Probabilities where the curve is of one."""
        return needs_of(self.of)

    @property
    def cost(self) -> str:
        """A forward pass a point of the curve."""
        return f"{self.steps + 1} forward passes"

    def measure(self, subject: Subject) -> Measurement:
        """Ask for the target with more and more replaced."""
        shares, counts = even_steps(subject, self.steps)
        values, note = yield from with_replaced(subject, counts, self.baseline, self.of)
        return area(shares, values, note, (values[-1], values[0]) if self.normalised else None)


def needs_of(of: Reading) -> frozenset[Need]:
    """Return what a metric of the map needs to read the target this way."""
    return frozenset({"map", "classes", "probabilities"}) if of == "probability" else frozenset({"map"})


def even_steps(subject: Subject, steps: int) -> tuple[Array, list[int]]:
    """Return shares of the places, from 0 to 1, and how many places each is; no more steps than places."""
    places = subject.plane.size
    steps = min(steps, places)
    counts = [k * places // steps for k in range(steps + 1)]
    return np.array(counts) / places, counts


def area(shares: Array, values: Array, note: str, ends: tuple[float, float] | None) -> Measured:
    """Return the area under the curve; `ends` are the values that count as 0 and as 1."""
    if note:
        return Measured(np.nan, note)
    found = float(((values[1:] + values[:-1]) / 2 * np.diff(shares)).sum())
    if ends is None:
        return Measured(found)
    if is_rounding(np.array(ends[1] - ends[0]), ends[1]):
        return Measured(np.nan, "the target at the baseline is the same: there is nothing to scale by")
    return Measured((found - ends[0]) / (ends[1] - ends[0]))


def with_replaced(
    subject: Subject, counts: Sequence[int], baseline: str, of: Reading, *, kept: bool = False
) -> Generator[Ask, Answer, tuple[Array, str]]:
    """Return the target's value with the `counts[k]` highest places replaced, float64, and why there is none.

    `kept`: with those alone kept and every other place replaced.
    """
    nothing = np.full(len(counts), np.nan)
    if of == "target" and not subject.weights.size:
        return nothing, "the target is a loss, which does not fall: of=probability"
    if not subject.plane.max() > subject.plane.min():
        return nothing, "the map is the same everywhere: it ranks nothing"
    sample, name = subject.sample, subject.name
    absent = sample.baseline(baseline)[name]
    order = np.argsort(-subject.plane, axis=None, kind="stable")
    rank = np.empty(subject.plane.size, np.int64)
    rank[order] = np.arange(rank.size)
    rank = over_channels(subject, rank.reshape(subject.plane.shape))

    def point(k: int, out: Arrays) -> None:
        sample.write(out)
        np.copyto(out[name], absent, where=(rank >= counts[k]) if kept else (rank < counts[k]))

    answer = yield reading(subject, Ask(len(counts), point, np.zeros(len(counts)), trace=VALUES), of)
    return answer.values, "" if np.isfinite(answer.values).all() else NOT_FINITE


def over_channels(subject: Subject, plane: Array) -> Array:
    """Return an array of the plane's shape such that it broadcasts with the input."""
    return plane if subject.channels is None else np.expand_dims(plane, subject.channels)


def reading(subject: Subject, ask: Ask, of: Reading) -> Ask:
    """Return an ask for values, of the target as a probability or as it is.

    A loss has no class weights: its probability is that of the class a flip is measured from.
    """
    if of == "target":
        return ask
    about = subject.weights if subject.weights.size else subject.one(subject.truth)
    return Ask(ask.n, ask.point, ask.weights, trace=Trace(gradient=False, space="probability"), about=about)
