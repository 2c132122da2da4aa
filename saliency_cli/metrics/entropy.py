"""Entropy of the map: how evenly it is spread over the places.

Definition
    −Σᵢ pᵢ ln pᵢ / ln d with pᵢ = aᵢ / Σ a, a the d values of the folded |map|: 0 all in one place, 1 the same
    everywhere. A map of one place has no value.

When it misleads
    Sparse is not right: a map of one wrong pixel has the lowest value. A faint floor over many places, as noise
    leaves it, weighs more here than in `gini`.

Source
    Bhatt, Weller, Moura 2020, Evaluating and Aggregating Feature-based Model Explanations, arXiv:2005.00631
    (complexity).

Differs from
    Bhatt et al. and Quantus, which leave the entropy in nats: it then grows with the number of places.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from saliency_cli.subject import Better, Measurement, Need, Subject, plain, why_blank

__all__ = ["Entropy"]


@dataclass(frozen=True)
class Entropy:
    """How evenly the map is spread, 0 to 1."""

    better: ClassVar[Better] = "neither"
    lowest: ClassVar[float] = 0.0
    highest: ClassVar[float] = 1.0
    unit: ClassVar[str] = ""
    needs: ClassVar[frozenset[Need]] = frozenset({"map"})
    cost: ClassVar[str] = "nothing beside the map"

    def measure(self, subject: Subject) -> Measurement:
        """Take the entropy of the map's shares."""
        values = subject.plane.reshape(-1)
        blank = why_blank(values) or ("the map has one place" if values.size == 1 else "")
        if blank:
            return plain(np.nan, blank)
        shares = values[values > 0] / values.sum()
        return plain(min(max(-(shares * np.log(shares)).sum() / np.log(values.size), 0.0), 1.0))
