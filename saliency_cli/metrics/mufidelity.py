"""Correlation between what the map says of random subsets and what removing them does.

Definition
    Pearson's correlation over n draws of a subset S between Σ_{i ∈ S} φᵢ, the signed map summed over channels
    and places, and v(x) − v(x with S replaced by the baseline). S is `share` of the cells, drawn without
    replacement. The cells of a picture or a signal are those of a grid, `grid` along each axis (0: single
    places); of a table single values. v is the target read as a probability (`of=target`: its own value). 1 is
    a map in proportion to what removal does; −1 one that is upside down.

When it misleads
    It fits maps in units of the target relative to this baseline (integrated gradients, gradient × input). A
    gradient times how far the baseline is would do, a gradient alone may not; and a map without signs can't
    tell what speaks against the target. Subsets of very many single places hardly differ from each other, so
    all of it is noise there: leave the grid on.

Source
    Bhatt, Weller, Moura 2020, Evaluating and Aggregating Feature-based Model Explanations, arXiv:2005.00631,
    definition 3 (faithfulness).

Differs from
    Xplique's MuFidelity: Spearman's correlation, subsets of random size, and 0 where there is none. Quantus's
    FaithfulnessCorrelation: 224 single values whatever the input's size.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta

from saliency_cli.differentiable import VALUES, Array, Arrays, Ask
from saliency_cli.metrics.deletion import Reading, needs_of, over_channels, reading
from saliency_cli.subject import NOT_FINITE, Better, Measured, Measurement, Need, Subject, is_rounding

__all__ = ["MuFidelity"]


@dataclass(frozen=True)
class MuFidelity:
    """Pearson's correlation of attribution sums and falls of the target over random subsets."""

    share: Annotated[float, Meta(gt=0, lt=1, description="share of the cells in a subset")] = 0.2
    draws: Annotated[int, Meta(ge=3, le=1_000_000, description="random subsets")] = 200
    grid: Annotated[int, Meta(ge=0, le=10_000, description="cells along each axis; 0: single places")] = 9
    baseline: Annotated[
        str, Meta(description="what replaces a subset: black, white, zero, mean, min, max, blur, noise, or a file")
    ] = "black"
    of: Annotated[Reading, Meta(description="what falls: the target's probability, or its own value")] = "probability"

    better: ClassVar[Better] = "higher"
    lowest: ClassVar[float] = -1.0
    highest: ClassVar[float] = 1.0
    unit: ClassVar[str] = ""

    @property
    def needs(self) -> frozenset[Need]:
        """Probabilities where one is read."""
        return needs_of(self.of)

    @property
    def cost(self) -> str:
        """A forward pass for every subset, and one beside them at the sample."""
        return f"{self.draws + 1} forward passes"

    def measure(self, subject: Subject) -> Measurement:
        """Ask for the target with every subset replaced."""
        sample, name = subject.sample, subject.name
        if self.of == "probability" and not subject.weights.size:
            return Measured(np.nan, "the map is of a loss, which rises as the probability falls: of=target")
        cells = self._cells(subject)
        count = int(cells.max()) + 1
        if count < 2:
            return Measured(np.nan, "there is one cell only, and so one subset")
        size = min(max(1, round(self.share * count)), count - 1)
        absent, cell_of = sample.baseline(self.baseline)[name], over_channels(subject, cells)
        values = np.asarray(subject.attribution[name], np.float64)
        in_cells = np.bincount(np.broadcast_to(cell_of, values.shape).ravel(), values.ravel(), count)
        sums = np.zeros(self.draws + 1)

        def point(draw: int, out: Arrays) -> None:
            sample.write(out)
            if draw < self.draws:  # the last is the sample itself
                subset = np.zeros(count, bool)
                subset[sample.generator("mufidelity", draw).permutation(count)[:size]] = True
                sums[draw] = in_cells[subset].sum()
                np.copyto(out[name], absent, where=subset[cell_of])

        answer = yield reading(subject, Ask(self.draws + 1, point, np.zeros(self.draws + 1), trace=VALUES), self.of)
        if not np.isfinite(answer.values).all():
            return Measured(np.nan, NOT_FINITE)
        sums, falls = sums[:-1] - sums[:-1].mean(), answer.values[-1] - answer.values[:-1]
        falls = falls - falls.mean()
        if np.abs(sums).max() <= 1e-12 * np.abs(in_cells).sum():
            return Measured(np.nan, "the map says the same of every subset")
        if is_rounding(falls, float(answer.values[-1])):
            return Measured(np.nan, "the target is the same whichever subset is replaced")
        found = float(sums @ falls / np.sqrt((sums @ sums) * (falls @ falls)))
        return Measured(min(1.0, max(-1.0, found)))

    def _cells(self, subject: Subject) -> Array:
        """Return the number of the cell each place of the plane is in."""
        shape = subject.plane.shape
        table = subject.channels is None and len(shape) < 2
        along = [side if table or not self.grid else min(side, self.grid) for side in shape]
        found = np.zeros(shape, np.int64)
        for axis, (side, cells) in enumerate(zip(shape, along, strict=True)):
            position = np.arange(side) * cells // side
            found = found * cells + position.reshape([-1 if a == axis else 1 for a in range(len(shape))])
        return found
