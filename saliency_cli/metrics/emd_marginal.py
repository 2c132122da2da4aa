"""How far the map has to be moved to become its reference, along each axis on its own.

Definition
    The mean over the axes of Σ |F − G| / n, F and G the cumulative sums of both folded |maps|, scaled to a sum of 1
    and added up over the other axes, n the axis's length: the earth mover's distance of the marginals as
    a share of the side. 0 the same marginals; (n − 1) / n from one end to the other.

When it misleads
    It is a lower bound: a map and another with the same rows and columns added up have 0. Axes that are no
    places, as the columns of a table, have no distances.

Source
    Rubner, Tomasi, Guibas 2000, The Earth Mover's Distance, doi:10.1023/A:1026543900054; for maps: Bylinskii et al.
    2019, arXiv:1604.03605 (EMD).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from saliency_cli.metrics.pearson import same, why_incomparable
from saliency_cli.metrics.similarity import shares
from saliency_cli.subject import Better, Measurement, Need, Subject, plain

__all__ = ["EmdMarginal"]


@dataclass(frozen=True)
class EmdMarginal:
    """Distance of two maps along the axes."""

    better: ClassVar[Better] = "lower"
    lowest: ClassVar[float] = 0.0
    highest: ClassVar[float] = 1.0
    unit: ClassVar[str] = "share of a side"
    needs: ClassVar[frozenset[Need]] = frozenset({"map", "reference"})
    cost: ClassVar[str] = "nothing beside the map"

    def measure(self, subject: Subject) -> Measurement:
        """Compare what the maps add up to along each axis."""
        assert subject.reference is not None
        a, b = subject.plane, subject.reference.plane
        if same(a, b):
            return plain(0.0)
        reason = why_incomparable(a, b, varying=False)
        if reason:
            return plain(np.nan, reason)
        difference, found = shares(a) - shares(b), []
        for axis, length in enumerate(a.shape):
            others = tuple(other for other in range(a.ndim) if other != axis)
            found.append(np.abs(np.cumsum(difference.sum(axis=others))[:-1]).sum() / length)
        return plain(np.mean(found))
