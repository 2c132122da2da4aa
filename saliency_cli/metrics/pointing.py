"""Whether the highest place of the map is on the object, or near it.

Definition
    1 if the highest place of the folded |map| is within τ pixels (Euclidean) of a pixel of the mask, in the
    model's input, else 0. Where several places are highest together, the share of them that are near.

When it misleads
    One pixel decides. Of large objects, or with a tolerance that is large beside the input, a random map hits
    often: a network that was never trained scored 0.65 where the trained one scored 0.57. Compare with
    `mass-lift`.

Source
    Zhang et al. 2018, Top-down Neural Attention by Excitation Backprop, arXiv:1608.00507.

Differs from
    Quantus (no tolerance; any hit among tied highest places counts as 1). Zhang et al. measure in the
    picture's own pixels; here they are the model input's.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta

from saliency_cli.differentiable import Array
from saliency_cli.subject import Better, Measurement, Need, Subject, plain, why_blank

__all__ = ["Pointing"]


@dataclass(frozen=True)
class Pointing:
    """1 where the highest place is on the object or near it, else 0."""

    tolerance: Annotated[float, Meta(ge=0, le=10_000, description="distance from the object, in pixels")] = 15

    better: ClassVar[Better] = "higher"
    lowest: ClassVar[float] = 0.0
    highest: ClassVar[float] = 1.0
    unit: ClassVar[str] = ""
    needs: ClassVar[frozenset[Need]] = frozenset({"map", "mask"})
    cost: ClassVar[str] = "nothing beside the map"

    def measure(self, subject: Subject) -> Measurement:
        """Find the highest place and how far the object is."""
        assert subject.mask is not None
        blank = why_blank(subject.plane) or ("" if subject.mask.any() else "the mask is empty")
        if blank:
            return plain(np.nan, blank)
        highest = subject.plane == subject.plane.max()
        return plain(near(subject.mask, self.tolerance)[highest].mean())


def near(mask: Array, distance: float) -> Array:
    """Return which places are within a Euclidean distance of a mask."""
    squared = np.where(mask, 0.0, np.inf)
    # Squared distances add up over the axes, so each axis is walked on its own, no further than needed.
    for axis in range(mask.ndim):
        line = np.moveaxis(squared, axis, 0)
        nearest = line.copy()
        for step in range(1, min(int(distance), len(line) - 1) + 1):
            np.minimum(nearest[step:], line[:-step] + step**2, out=nearest[step:])
            np.minimum(nearest[:-step], line[step:] + step**2, out=nearest[:-step])
        squared = np.moveaxis(nearest, 0, axis)
    return np.asarray(squared <= distance**2)
