"""Structural similarity of the map and its reference.

Definition
    The mean over places of (2 μ_a μ_b + c₁)(2 σ_ab + c₂) / ((μ_a² + μ_b² + c₁)(σ_a² + σ_b² + c₂)), moments under a
    Gaussian window of σ = 1.5 and 11 places a side, c₁ = 0.01², c₂ = 0.03², at the places the window fits around.
    Each folded |map| is first divided by its own 99th percentile (its maximum where that is 0) and clipped to [0, 1].
    Signals and tables have a window of one axis.

When it misleads
    Two maps that are faint nearly everywhere agree there, and that is most of the value. It is lowered by
    noise that nobody would see in the picture.

Source
    Wang et al. 2004, Image Quality Assessment, doi:10.1109/TIP.2003.819861; for maps: Adebayo et al. 2018, Sanity
    Checks for Saliency Maps, arXiv:1810.03292.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from saliency_cli.arrays import clip_limit
from saliency_cli.differentiable import Array
from saliency_cli.metrics.pearson import same, why_incomparable
from saliency_cli.subject import Better, Measurement, Need, Subject, plain

__all__ = ["Ssim"]


@dataclass(frozen=True)
class Ssim:
    """Structural similarity of two maps."""

    better: ClassVar[Better] = "higher"
    lowest: ClassVar[float] = -1.0
    highest: ClassVar[float] = 1.0
    unit: ClassVar[str] = ""
    needs: ClassVar[frozenset[Need]] = frozenset({"map", "reference"})
    cost: ClassVar[str] = "nothing beside the map"

    def measure(self, subject: Subject) -> Measurement:
        """Compare the two maps window by window."""
        assert subject.reference is not None
        return plain(*structural_similarity(subject.plane, subject.reference.plane))


_SIDE = 11
_WINDOW = np.exp(-(((np.arange(_SIDE) - _SIDE // 2) / 1.5) ** 2) / 2)
_WINDOW /= _WINDOW.sum()


def structural_similarity(a: Array, b: Array) -> tuple[float, str]:
    """Return the structural similarity of two maps, or NaN and why."""
    if same(a, b):
        return 1.0, ""
    reason = why_incomparable(a, b)
    if min(a.shape, default=0) < _SIDE:
        reason = reason or f"the map is smaller than the window, {_SIDE} places a side"
    if reason:
        return np.nan, reason
    x, y = (np.clip(values / clip_limit(values, 99), 0, 1) for values in (a, b))
    mean_x, mean_y = _smoothed(x), _smoothed(y)
    variances = _smoothed(x * x) - mean_x**2 + _smoothed(y * y) - mean_y**2
    covariance = _smoothed(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    found = (2 * mean_x * mean_y + c1) * (2 * covariance + c2) / ((mean_x**2 + mean_y**2 + c1) * (variances + c2))
    return float(found.mean()), ""


def _smoothed(values: Array) -> Array:
    """Return the mean under the window, at the places it fits around."""
    for axis in range(values.ndim):
        line = np.moveaxis(values, axis, 0)
        fits = len(line) - _SIDE + 1
        values = np.moveaxis(sum(weight * line[i : i + fits] for i, weight in enumerate(_WINDOW)), 0, axis)
    return values
