"""Guided Grad-CAM: the fine lines of guided backpropagation where Grad-CAM's coarse map is.

Definition
    φ = φ_guided ⊙ L, the map of guided backpropagation times Grad-CAM's (of positive values, resized bilinearly to
    the input, not scaled), at the same sample and target.

When it misleads
    Its detail is that of guided backpropagation, which hardly depends on the target; only where it shows is
    Grad-CAM's. Two maps multiplied have neither's meaning: use it to look, not to count.

Source
    Selvaraju et al. 2016, Grad-CAM, arXiv:1610.02391, section 3.2.

Differs from
    Captum, which enlarges to the nearest neighbour; pytorch-grad-cam's script, which scales and centres the product.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from saliency_cli.differentiable import Attributing, Explanation, Reduce, Sample, Trace
from saliency_cli.layering import AUTO, Join, Layer
from saliency_cli.methods.grad_cam import GradCam
from saliency_cli.methods.guided_backprop import GuidedBackprop

__all__ = ["GuidedGradCam"]


@dataclass(frozen=True)
class GuidedGradCam:
    """φ = guided backpropagation times Grad-CAM."""

    layer: Layer = AUTO
    join: Join = "mean"

    reduce: ClassVar[Reduce] = "max"
    unit: ClassVar[str] = "target times target per unit of input"
    signed: ClassVar[bool] = True
    traces: ClassVar[tuple[Trace]] = GuidedBackprop().traces

    def attribute(self, sample: Sample) -> Attributing:
        """Ask for both maps."""
        coarse = yield from GradCam(layer=self.layer, join=self.join).attribute(sample)
        fine = yield from GuidedBackprop().attribute(sample)
        values = {name: np.asarray(fine.values[name] * coarse.values[name], np.float32) for name in coarse.values}
        return Explanation(values, {**coarse.details, **fine.details}, (*coarse.flags, *fine.flags), coarse.layers)
