"""Share of the highest places that are among the highest of the reference too.

Definition
    |Top_K(a) ∩ Top_K(b)| / K for the folded |maps| a and b, K = `k` of the places, rounded, at least one. Where
    places tie for the last of the K, each of them is in the set by the share of them that fits, and the smaller
    of its two shares counts.

When it misleads
    A map shifted by one pixel loses much of it, though it says the same. An even map without any relation has `k`.

Source
    Ghorbani, Abid, Zou 2019, Interpretation of Neural Networks is Fragile, arXiv:1710.10547.
    The pixel shift: Kamath et al. 2024, Rethinking Robustness of Model Attributions, arXiv:2312.10534.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta

from saliency_cli.differentiable import Array
from saliency_cli.metrics.pearson import same, why_incomparable
from saliency_cli.subject import Better, Measurement, Need, Subject, plain

__all__ = ["TopkIntersection"]


@dataclass(frozen=True)
class TopkIntersection:
    """Overlap of the highest places of two maps."""

    k: Annotated[float, Meta(gt=0, le=1, description="share of the places that count as highest")] = 0.05

    better: ClassVar[Better] = "higher"
    lowest: ClassVar[float] = 0.0
    highest: ClassVar[float] = 1.0
    unit: ClassVar[str] = "share of the highest places"
    needs: ClassVar[frozenset[Need]] = frozenset({"map", "reference"})
    cost: ClassVar[str] = "nothing beside the map"

    def measure(self, subject: Subject) -> Measurement:
        """Count the places that are high in both maps."""
        assert subject.reference is not None
        a, b = subject.plane, subject.reference.plane
        if same(a, b):
            return plain(1.0)
        reason = why_incomparable(a, b)
        if reason:
            return plain(np.nan, reason)
        count = max(1, round(self.k * a.size))
        return plain(np.minimum(among_highest(a, count), among_highest(b, count)).sum() / count)


def among_highest(values: Array, count: int) -> Array:
    """Return how much of each place is among the `count` highest: 1, 0, or the share of a tie that fits."""
    last = np.sort(values, axis=None)[values.size - count]
    above, tied = values > last, values == last
    return np.asarray(above + tied * ((count - above.sum()) / tied.sum()))
