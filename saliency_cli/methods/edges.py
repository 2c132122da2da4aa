"""Edges: how steep the input is at every place, whatever the model, for other maps to beat.

Definition
    φ = √(Σ_a D_a²) in each channel, with D_a the derivative along the axis of places a: half the difference
    of the two neighbours, smoothed by (1, 2, 1)/4 along every other axis of places (Sobel's operator, over 8
    for a picture), edges repeated. A table, whose columns have no neighbours, is 0 beside another input,
    and refused alone. It is in units of the model's input.

When it misleads
    It is a control, no attribution: many methods look like it. A map close to it may have found edges and
    not what the model uses.

Source
    Adebayo, Gilmer, Muelly, Goodfellow, Hardt, Kim 2018, Sanity Checks for Saliency Maps, arXiv:1810.03292,
    section 5. Sobel, Feldman 1968, A 3×3 Isotropic Gradient Operator for Image Processing.

Differs from
    The Sobel baseline of Quantus and SobelCAM, which turn the picture grey first.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from saliency_cli.differentiable import Array, Attributing, Explanation, Reduce, Sample
from saliency_cli.errors import InputError
from saliency_cli.layout import is_table, places

__all__ = ["Edges"]


@dataclass(frozen=True)
class Edges:
    """φ = the length of Sobel's gradient of the input."""

    reduce: ClassVar[Reduce] = "l2"
    unit: ClassVar[str] = "input per place (a control)"
    signed: ClassVar[bool] = False

    def attribute(self, sample: Sample) -> Attributing:
        """Ask nothing."""
        yield from ()
        if all(is_table(sample, name) for name in sample.floating):
            raise InputError(
                "edges: the columns of a table have no neighbours, so there are no edges",
                hint="-m random is a control for tables",
                reason="no-places",
            )
        values = {}
        for name in sample.floating:
            axes = () if is_table(sample, name) else places(sample, name)
            steep = np.zeros(sample.inputs[name].shape)
            for axis in axes:
                before, after = _neighbours(sample.inputs[name].astype(np.float64), axis)
                slope = (after - before) / 2
                for other in axes:
                    if other != axis:
                        slope = slope / 2 + sum(_neighbours(slope, other)) / 4
                steep += slope**2
            values[name] = np.asarray(np.sqrt(steep), np.float32)
        return Explanation(values)


def _neighbours(values: Array, axis: int) -> tuple[Array, Array]:
    """Return every value's neighbours before and after it along an axis, an edge being its own."""
    places = np.arange(values.shape[axis])
    return values.take(np.maximum(places - 1, 0), axis), values.take(np.minimum(places + 1, places[-1]), axis)
