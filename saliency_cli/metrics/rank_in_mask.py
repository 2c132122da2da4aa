"""Share of the highest places, as many as the object has, that are on the object.

Definition
    |Top_K(a) ∩ M| / K with K = |M|, a the folded |map| and M the mask (relevance rank accuracy). Where places tie for
    the last of the K, each of them counts for the share of them that fits.

When it misleads
    Only the order counts, not by how much. It grows with the object: a map of noise has the object's share of the
    picture, and an object that fills the picture gives 1.

Source
    Arras, Osman, Samek 2022, CLEVR-XAI, arXiv:2003.07258.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from saliency_cli.metrics.topk_intersection import among_highest
from saliency_cli.subject import Better, Measurement, Need, Subject, plain, why_blank

__all__ = ["RankInMask"]


@dataclass(frozen=True)
class RankInMask:
    """Share of the highest places on the object."""

    better: ClassVar[Better] = "higher"
    lowest: ClassVar[float] = 0.0
    highest: ClassVar[float] = 1.0
    unit: ClassVar[str] = "share of the object's places"
    needs: ClassVar[frozenset[Need]] = frozenset({"map", "mask"})
    cost: ClassVar[str] = "nothing beside the map"

    def measure(self, subject: Subject) -> Measurement:
        """Count the highest places on the object."""
        assert subject.mask is not None
        blank = why_blank(subject.plane) or ("" if subject.mask.any() else "the mask is empty")
        if blank:
            return plain(np.nan, blank)
        count = int(subject.mask.sum())
        return plain(among_highest(subject.plane, count)[subject.mask].sum() / count)
