"""Overlap of the map with its reference, both read as distributions.

Definition
    Σᵢ min(pᵢ, qᵢ) with p = a / Σ a and q = b / Σ b of the folded |maps|: 1 the same shares everywhere, 0 no place in
    common (histogram intersection; 1 − half the ℓ1 distance).

When it misleads
    Two maps that are nearly flat overlap whatever they point at. A shift by a few pixels counts as fully as one
    across the picture: see `emd-marginal`.

Source
    Bylinskii et al. 2019, What Do Different Evaluation Metrics Tell Us About Saliency Models?, arXiv:1604.03605
    (SIM).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from saliency_cli.differentiable import Array
from saliency_cli.metrics.pearson import same, why_incomparable
from saliency_cli.subject import Better, Measurement, Need, Subject, plain

__all__ = ["Similarity"]


@dataclass(frozen=True)
class Similarity:
    """Overlap of two maps' shares."""

    better: ClassVar[Better] = "higher"
    lowest: ClassVar[float] = 0.0
    highest: ClassVar[float] = 1.0
    unit: ClassVar[str] = "share of the map"
    needs: ClassVar[frozenset[Need]] = frozenset({"map", "reference"})
    cost: ClassVar[str] = "nothing beside the map"

    def measure(self, subject: Subject) -> Measurement:
        """Add up the smaller share of every place."""
        assert subject.reference is not None
        a, b = subject.plane, subject.reference.plane
        if same(a, b):
            return plain(1.0)
        reason = why_incomparable(a, b, varying=False)
        return plain(np.nan, reason) if reason else plain(min(np.minimum(shares(a), shares(b)).sum(), 1.0))


def shares(values: Array) -> Array:
    """Return a map scaled to a sum of 1."""
    return np.asarray(values / values.sum())
