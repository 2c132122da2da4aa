"""How far the map's centre of mass is from its reference's.

Definition
    ‖c(a) − c(b)‖₂ / (Σ (n − 1)²)^½ with c(a) = Σᵢ aᵢ rᵢ / Σ a, r the places' positions and n the lengths of the axes:
    1 is from one corner to the opposite one.

When it misleads
    Everything may move without the centre moving. Axes that are no places, as the columns of a table, have
    no distances.

Source
    Ghorbani, Abid, Zou 2019, Interpretation of Neural Networks is Fragile, arXiv:1710.10547.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from saliency_cli.differentiable import Array
from saliency_cli.metrics.pearson import same, why_incomparable
from saliency_cli.metrics.similarity import shares
from saliency_cli.subject import Better, Measurement, Need, Subject, plain

__all__ = ["CentroidShift"]


@dataclass(frozen=True)
class CentroidShift:
    """Distance of two maps' centres."""

    better: ClassVar[Better] = "lower"
    lowest: ClassVar[float] = 0.0
    highest: ClassVar[float] = 1.0
    unit: ClassVar[str] = "share of the diagonal"
    needs: ClassVar[frozenset[Need]] = frozenset({"map", "reference"})
    cost: ClassVar[str] = "nothing beside the map"

    def measure(self, subject: Subject) -> Measurement:
        """Compare the centres of the two maps."""
        assert subject.reference is not None
        a, b = subject.plane, subject.reference.plane
        if same(a, b):
            return plain(0.0)
        reason = why_incomparable(a, b, varying=False) or ("the map has one place" if a.size == 1 else "")
        if reason:
            return plain(np.nan, reason)
        diagonal = float(np.linalg.norm(np.array(a.shape) - 1))
        return plain(min(float(np.linalg.norm(_centre(a) - _centre(b))) / diagonal, 1.0))


def _positions(values: Array) -> list[Array]:
    return list(np.indices(values.shape, sparse=True))


def _centre(values: Array) -> Array:
    weights = shares(values)
    return np.array([(weights * positions).sum() for positions in _positions(values)])
