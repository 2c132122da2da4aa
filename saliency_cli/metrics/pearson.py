"""Linear correlation of the map with its reference.

Definition
    Σᵢ (aᵢ − ā)(bᵢ − b̄) / (‖a − ā‖₂ ‖b − b̄‖₂) over the places of both folded |maps|: 1 is the same map up to scale and
    offset, 0 no linear relation. A map that is the same everywhere correlates with none but itself.

When it misleads
    A few very high places decide. Maps of noisy gradients differ between two trainings that see the same things:
    smooth them first (SmoothGrad with a fixed seed), and expect a retrained network to be far from its predecessor.

Source
    Bylinskii et al. 2019, What Do Different Evaluation Metrics Tell Us About Saliency Models?, arXiv:1604.03605
    (CC).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from saliency_cli.differentiable import Array
from saliency_cli.subject import Better, Measurement, Need, Subject, plain, why_blank

__all__ = ["Pearson"]


@dataclass(frozen=True)
class Pearson:
    """Linear correlation of two maps."""

    better: ClassVar[Better] = "higher"
    lowest: ClassVar[float] = -1.0
    highest: ClassVar[float] = 1.0
    unit: ClassVar[str] = ""
    needs: ClassVar[frozenset[Need]] = frozenset({"map", "reference"})
    cost: ClassVar[str] = "nothing beside the map"

    def measure(self, subject: Subject) -> Measurement:
        """Correlate the two maps."""
        assert subject.reference is not None
        return plain(*correlation(subject.plane, subject.reference.plane))


def why_incomparable(a: Array, b: Array, *, varying: bool = True) -> str:
    """Return why two maps can't be compared, or nothing; `varying`: neither may be the same everywhere."""
    for values, what in ((a, "the map"), (b, "the other map")):
        blank = why_blank(values, what)
        if blank or (varying and values.min() == values.max()):
            return blank or f"{what} is the same everywhere"
    return ""


def same(a: Array, b: Array) -> bool:
    """Whether two maps are the same, and are maps."""
    return bool(np.array_equal(a, b) and np.isfinite(a).all())


def correlation(a: Array, b: Array) -> tuple[float, str]:
    """Return the linear correlation of two maps, or NaN and why; a map and itself correlate whatever it is."""
    if same(a, b):
        return 1.0, ""
    reason = why_incomparable(a, b)
    if reason:
        return np.nan, reason
    x, y = a - a.mean(), b - b.mean()
    sizes = float(np.linalg.norm(x) * np.linalg.norm(y))
    return (
        (float(np.clip((x * y).sum() / sizes, -1, 1)), "")
        if sizes > 0
        else (np.nan, "a map varies by rounding alone")
    )
