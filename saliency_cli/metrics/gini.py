"""Gini index of the map: how much of it is in few places.

Definition
    Σᵢ (2i − d − 1) a₍ᵢ₎ / (d Σ a) with the d values of the folded |map| sorted ascending: 0 is a flat map,
    1 − 1/d all in one place.

When it misleads
    Sparse is not right: a map of one wrong pixel has the highest value.

Source
    Hurley & Rickard 2009, Comparing Measures of Sparsity, arXiv:0811.4706; Chalasani et al. 2020,
    arXiv:1810.06583, section 5.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from saliency_cli.subject import Better, Measurement, Need, Subject, plain, why_blank

__all__ = ["Gini"]


@dataclass(frozen=True)
class Gini:
    """Concentration of the map, 0 to 1."""

    better: ClassVar[Better] = "neither"
    lowest: ClassVar[float] = 0.0
    highest: ClassVar[float] = 1.0
    unit: ClassVar[str] = ""
    needs: ClassVar[frozenset[Need]] = frozenset({"map"})
    cost: ClassVar[str] = "nothing beside the map"

    def measure(self, subject: Subject) -> Measurement:
        """Sort the map's values."""
        blank = why_blank(subject.plane)
        if blank:
            return plain(np.nan, blank)
        values = np.sort(subject.plane, axis=None)
        d = values.size
        return plain(max(((2 * np.arange(1, d + 1) - d - 1) * values).sum() / (d * values.sum()), 0.0))
