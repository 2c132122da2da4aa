"""Whether the highest places alone are enough for the target.

Definition
    Mean over shares q = 1, 5, 10, 20 and 50 % of v(x) − v(x_q), where x_q keeps the ⌈q d⌉ highest of the d
    places (by the folded |map|, ties by position; a pixel with all its channels) and replaces every other by
    the baseline. v is the target read as a probability (`of=target`: its own value). 0: the few places do
    all; negative: the rest spoke against it.

When it misleads
    A few pixels on a flat ground are unlike anything the model was trained on. A model that is sure of the
    class at the baseline already makes every map sufficient. The map's signs play no part.

Source
    DeYoung et al. 2020, ERASER, arXiv:1911.03429, section 4 (sufficiency, averaged over five shares as in
    the area over the perturbation curve).

Differs from
    Dasgupta, Frost, Moshkovitz 2022, arXiv:2202.00734, and Quantus's Sufficiency after it: the share of a
    data set's samples of like explanation that get the same prediction. That needs the other samples; this is
    a number of one. ERASER's text divides by one more than there are shares, its program, as here, does not.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta

from saliency_cli.metrics.deletion import Reading, needs_of, with_replaced
from saliency_cli.subject import Better, Measured, Measurement, Need, Subject

__all__ = ["Sufficiency"]

_PERCENT = (1, 5, 10, 20, 50)


@dataclass(frozen=True)
class Sufficiency:
    """Mean fall of the target where only the highest places are left."""

    baseline: Annotated[
        str, Meta(description="what replaces a place: black, white, zero, mean, min, max, blur, noise, or a file")
    ] = "black"
    of: Annotated[Reading, Meta(description="what falls: the target's probability, or its own value")] = "probability"

    better: ClassVar[Better] = "lower"
    lowest: ClassVar[float] = float("-inf")
    highest: ClassVar[float] = float("inf")
    cost: ClassVar[str] = f"{len(_PERCENT) + 1} forward passes"

    @property
    def unit(self) -> str:
        """A fall of what is read."""
        return self.of

    @property
    def needs(self) -> frozenset[Need]:
        """Probabilities where one is read."""
        return needs_of(self.of)

    def measure(self, subject: Subject) -> Measurement:
        """Ask for the target with few places kept, and with all of them."""
        places = subject.plane.size
        counts = [-(-percent * places // 100) for percent in _PERCENT]
        values, note = yield from with_replaced(subject, [*counts, places], self.baseline, self.of, kept=True)
        return Measured(np.nan, note) if note else Measured(float((values[-1] - values[:-1]).mean()))
