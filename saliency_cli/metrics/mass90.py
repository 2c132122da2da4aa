"""Smallest share of the places that holds nine tenths of the map.

Definition
    k / d for the smallest k such that the k highest of the d values of the folded |map| sum to at least
    `share` of them all. A twin of `gini` that can be pictured: 0.05 is a map of which 90 % is in a twentieth of
    the picture.

When it misleads
    Sparse is not right: a map of one wrong pixel has the lowest value. The folding of the channels matters:
    `max` makes less of many faint places than `sum`.

Source
    No paper: the quantile of the Lorenz curve that Hurley & Rickard 2009, Comparing Measures of Sparsity,
    arXiv:0811.4706, take the Gini index from.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta

from saliency_cli.subject import Better, Measurement, Need, Subject, plain, why_blank

__all__ = ["Mass90"]


@dataclass(frozen=True)
class Mass90:
    """Share of the places that holds most of the map."""

    share: Annotated[float, Meta(gt=0, le=1, description="share of the map's sum to hold")] = 0.9

    better: ClassVar[Better] = "neither"
    lowest: ClassVar[float] = 0.0
    highest: ClassVar[float] = 1.0
    unit: ClassVar[str] = "share of places"
    needs: ClassVar[frozenset[Need]] = frozenset({"map"})
    cost: ClassVar[str] = "nothing beside the map"

    def measure(self, subject: Subject) -> Measurement:
        """Add up the map's values, highest first."""
        blank = why_blank(subject.plane)
        if blank:
            return plain(np.nan, blank)
        held = np.cumsum(np.sort(subject.plane, axis=None)[::-1])
        # The sum of many values is rounded: the last one to count must not be missed, nor one more be added.
        enough = held >= self.share * held[-1] * (1 - 1e-12)
        return plain((int(np.argmax(enough)) + 1) / held.size)
