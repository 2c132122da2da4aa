"""RISE: the mean target over random soft masks, at each place over those that keep it.

Definition
    With N masks Mᵢ in [0, 1] and sᵢ = s at x′ + Mᵢ ⊙ (x − x′) (with the default `zero` baseline: Mᵢ ⊙ x):
    `expectation` φ = Σ sᵢ Mᵢ / (p N), an estimate of E[s | the place is kept];
    `coverage` φ = Σ sᵢ Mᵢ / Σ Mᵢ, of the same, where masks happened to keep a place more often than p;
    `difference` φ = Σ (sᵢ − s̄) Mᵢ / (p N), with s̄ the mean of sᵢ: what keeping the place adds.
    A mask is a grid of `cells` along each axis of places, 1 with probability p, enlarged bilinearly to one
    cell more than the input and cut to it at a random shift of less than a cell, so E[M] = p at every
    place. Columns of a table are kept or not, each by itself. A place's channels share one φ. Each
    input's masks are drawn on their own, all inputs are masked at once.

When it misleads
    φ is a conditional mean, not a share: it is not near zero where nothing matters, but near the mean
    of s over masks, and the noise of too few masks is proportional to that. Only differences between places of
    one map mean anything. The paper's s is a probability; a logit (the default target) is mostly negative under
    masks, and then so is the map, nearly everywhere: what matters is where it is nearest to zero, and a picture or
    a metric that reads |φ| has it upside down (the flag `below-zero`). `--space probability` gives the paper's
    map, `-p form=difference` one around zero, with far less noise.

Source
    Petsiuk, Das, Saenko 2018, RISE: Randomized Input Sampling for Explanation of Black-box Models,
    arXiv:1806.07421, section 3.

Differs from
    Xplique, which divides by ΣM + 0.0001 (`coverage`).
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from msgspec import Meta

from saliency_cli.asking import CHUNK, ask_values
from saliency_cli.differentiable import Array, Arrays, Attributing, Explanation, Reduce, Sample
from saliency_cli.features import Absent
from saliency_cli.layout import is_table, places

__all__ = ["Rise"]

Form = Literal["expectation", "coverage", "difference"]


@dataclass(frozen=True)
class Rise:
    """φ = E[s | the place is kept], over random masks."""

    draws: Annotated[int, Meta(ge=1, le=1_000_000, description="random masks")] = 4000
    cells: Annotated[int, Meta(ge=1, le=4096, description="cells of a mask's grid along each axis")] = 7
    p: Annotated[float, Meta(gt=0, lt=1, description="probability that a cell is kept")] = 0.5
    form: Annotated[Form, Meta(description="what the masks' values are added up to")] = "expectation"
    baseline: Absent = "zero"

    reduce: ClassVar[Reduce] = "mean"
    unit: ClassVar[str] = "target"
    signed: ClassVar[bool] = True

    def attribute(self, sample: Sample) -> Attributing:
        """Ask for the value under each mask, and add the masks up as they are answered."""
        absent = sample.baseline(self.baseline)
        way = {name: sample.inputs[name] - absent[name] for name in sample.floating}
        shapes = {name: _mask_shape(sample, name) for name in sample.floating}
        weighted = {name: np.zeros(shape) for name, shape in shapes.items()}
        covered = {name: np.zeros(shape) for name, shape in shapes.items()}
        # Sums are of s less its first value, so that a target that never changes adds up to exactly 0.
        first, total = 0.0, 0.0
        drawn: dict[tuple[int, str], Array] = {}

        def point(i: int, out: Arrays) -> None:
            for name in sample.floating:
                mask = drawn[i % CHUNK, name] = self.mask(sample, name, i)
                np.multiply(way[name], mask, out=out[name], casting="same_kind")
                np.add(out[name], absent[name], out=out[name])

        def take(start: int, values: Array) -> None:
            nonlocal first, total
            first = float(values[0]) if start == 0 else first
            for i, value in enumerate(values - first, start):
                total += float(value)
                for name in sample.floating:
                    weighted[name] += np.multiply(drawn[i % CHUNK, name], value, dtype=np.float64)
                    covered[name] += drawn[i % CHUNK, name]

        yield from ask_values(self.draws, point, take)
        mean = total / self.draws
        maps = {name: self._folded(weighted[name], covered[name], first, mean) for name in sample.floating}
        values = {name: np.array(np.broadcast_to(maps[name], sample.inputs[name].shape)) for name in maps}
        below = self.form != "difference" and all(np.quantile(found, 0.95) < 0 for found in maps.values())
        return Explanation(values, {"mean_value": first + mean}, ("below-zero",) if below else ())

    def _folded(self, weighted: Array, covered: Array, first: float, mean: float) -> Array:
        """Return φ from Σ (s − first) M and Σ M, with `mean` the mean of s − first."""
        if self.form == "coverage":
            # A place no mask ever kept has no mean of its own; the mean of all is the least it can say.
            kept = covered > 0
            return np.asarray(first + np.where(kept, weighted / np.where(kept, covered, 1), mean), np.float32)
        offset = -mean if self.form == "difference" else first
        return np.asarray((weighted + offset * covered) / (self.p * self.draws), np.float32)

    def mask(self, sample: Sample, name: str, draw: int) -> Array:
        """Return one mask of an input, float32 in [0, 1], its channel axis of length 1."""
        shape, axes = _mask_shape(sample, name), places(sample, name)
        random = sample.generator(f"rise|{name}", draw)
        if is_table(sample, name):
            return np.asarray(random.random(shape) < self.p, np.float32)
        cells = [min(self.cells, shape[axis]) for axis in axes]
        mask = np.asarray(random.random(cells) < self.p, np.float32)
        for axis, count in zip(axes, cells, strict=True):
            size = -(-shape[axis] // count)
            shift = int(random.integers(size))
            mask = np.moveaxis(np.tensordot(_bilinear(shape[axis], count, size, shift), mask, (1, 0)), 0, -1)
        return mask.reshape(shape)


def _mask_shape(sample: Sample, name: str) -> tuple[int, ...]:
    axes = places(sample, name)
    return tuple(size if axis in axes else 1 for axis, size in enumerate(sample.inputs[name].shape))


def _bilinear(n: int, count: int, size: int, shift: int) -> Array:
    """Return the weights `(n, count)` by which `count` cells make `n` places, from `shift` on of (count + 1)·size."""
    at = np.clip((np.arange(n) + shift + 0.5) * count / ((count + 1) * size) - 0.5, 0, count - 1)
    return np.asarray(np.maximum(0, 1 - np.abs(at[:, None] - np.arange(count))), np.float32)
