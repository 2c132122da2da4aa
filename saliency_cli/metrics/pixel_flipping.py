"""Mean fall of the target while the highest places are flipped (AOPC).

Definition
    (1 / (L + 1)) Σ_k (v(x) − v(x⁽ᵏ⁾)), k = 0…L, where x⁽ᵏ⁾ has the ⌊k m / L⌋ highest places (by the folded
    |map|, ties by position; a pixel with all its channels) replaced by the baseline, m = ⌈`share` · d⌉ of the
    d places. The term k = 0 is 0. v is the target read as a probability (`of=target`: its own value). A good
    map has a large value.

When it misleads
    The sample with uniform noise in some pixels is unlike anything the model was trained on. The value is
    bounded by how sure the model was: a sample at p = 0.3 can fall by no more. The map's signs play no part.

Source
    Samek et al. 2017, Evaluating the Visualization of What a Deep Neural Network Has Learned,
    arXiv:1509.06321, section III; Bach et al. 2015, doi:10.1371/journal.pone.0130140.

Differs from
    Samek, who flips regions of 9 × 9 pixels (100 of them, about 16 % of the picture: the default `share`) and
    averages over ten draws of the noise: here places are single and the noise is one draw. Quantus, whose
    PixelFlipping returns the curve or its area, and whose "black" is the sample's own minimum.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta

from saliency_cli.metrics.deletion import Reading, needs_of, with_replaced
from saliency_cli.subject import Better, Measured, Measurement, Need, Subject

__all__ = ["PixelFlipping"]


@dataclass(frozen=True)
class PixelFlipping:
    """Area over the perturbation curve, most relevant first."""

    share: Annotated[float, Meta(gt=0, le=1, description="share of the places flipped in the end")] = 0.16
    steps: Annotated[int, Meta(ge=1, le=100_000, description="steps on the way there")] = 25
    baseline: Annotated[
        str, Meta(description="what replaces a place: noise, black, white, zero, mean, min, max, blur, or a file")
    ] = "noise"
    of: Annotated[Reading, Meta(description="what falls: the target's probability, or its own value")] = "probability"

    better: ClassVar[Better] = "higher"
    lowest: ClassVar[float] = float("-inf")
    highest: ClassVar[float] = float("inf")

    @property
    def unit(self) -> str:
        """A fall of what is read."""
        return self.of

    @property
    def needs(self) -> frozenset[Need]:
        """Probabilities where one is read."""
        return needs_of(self.of)

    @property
    def cost(self) -> str:
        """A forward pass a step."""
        return f"{self.steps + 1} forward passes"

    def measure(self, subject: Subject) -> Measurement:
        """Ask for the target with more and more flipped."""
        flipped = int(np.ceil(self.share * subject.plane.size))
        steps = min(self.steps, flipped)
        counts = [k * flipped // steps for k in range(steps + 1)]
        values, note = yield from with_replaced(subject, counts, self.baseline, self.of)
        return Measured(np.nan, note) if note else Measured(float((values[0] - values).mean()))
