"""Share of the map that is on the object.

Definition
    Σ_{i ∈ M} aᵢ / Σᵢ aᵢ with a the folded |map| and M the mask (relevance mass accuracy; the energy-based pointing
    game). `mass-lift` divides it by |M| / d, the object's share of the d places: 1 is what a map that is the
    same everywhere has, whatever the size of the object.

When it misleads
    It grows with the object: a map of noise has the object's share of the picture. Use `mass-lift` over
    objects of several sizes. What is around an object may be a good reason, and a shortcut on the object a bad one.

Source
    Arras, Osman, Samek 2022, CLEVR-XAI, arXiv:2003.07258; Wang et al. 2020, Score-CAM,
    arXiv:1910.01279.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta

from saliency_cli.subject import Better, Measurement, Need, Subject, plain, why_blank

__all__ = ["MassInMask"]

PRESETS = {
    "mass-lift": ("How much more of the map is on the object than an even map would have there.", {"lift": True}),
}


@dataclass(frozen=True)
class MassInMask:
    """Share of the map on the object."""

    lift: Annotated[bool, Meta(description="divide by the object's share of the places")] = False

    better: ClassVar[Better] = "higher"
    lowest: ClassVar[float] = 0.0
    needs: ClassVar[frozenset[Need]] = frozenset({"map", "mask"})
    cost: ClassVar[str] = "nothing beside the map"

    @property
    def highest(self) -> float:
        """1 for a share; a lift has no bound but the number of places."""
        return float("inf") if self.lift else 1.0

    @property
    def unit(self) -> str:
        """What a value is a share of."""
        return "times an even map" if self.lift else "share of the map"

    def measure(self, subject: Subject) -> Measurement:
        """Add up the map on the object."""
        assert subject.mask is not None
        blank = why_blank(subject.plane) or ("" if subject.mask.any() else "the mask is empty")
        if blank:
            return plain(np.nan, blank)
        share = min(float(subject.plane[subject.mask].sum() / subject.plane.sum()), 1.0)
        return plain(share / subject.mask.mean() if self.lift else share)
