"""Eigen-CAM: the strongest pattern of a layer's activations over its places, whatever the target.

Definition
    φ = the map L over a layer's places, resized bilinearly (half-pixel centres) to the input. With the layer's
    output as a matrix M of places × channels, M = U S Vᵀ not centred, L = M v₁, v₁ the first right-singular
    vector. `eigen-grad-cam`: M is the layer's output times its gradient G = ∂s/∂A.
    The sign of v₁, which the decomposition leaves open, is chosen so that Σ L has the sign of Σ M.
    `relu` cuts negative values of L off, before resizing. Layers are named, found and averaged as of grad-cam.

When it misleads
    eigen-cam does not look at the target: every class has the same map, which shows what stands out in the
    picture. Both are as coarse as the layer. Only one pattern is shown, however much the others hold: its share
    of the sum of squares is recorded as `explained`.

Source
    Muhammad, Yeasin 2020, Eigen-CAM: Class Activation Map using Principal Components, arXiv:2008.00299.
    eigen-grad-cam: pytorch-grad-cam.

Differs from
    pytorch-grad-cam, which takes the mean of each channel off first, so that its principal component has another
    zero and an open sign.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta

from saliency_cli.differentiable import Array, Attributing, Explanation, Reduce, Sample
from saliency_cli.layering import AUTO, Join, Layer, look, natives, onto_inputs, rectified

__all__ = ["EigenCam"]

PRESETS = {
    "eigen-grad-cam": ("Eigen-Grad-CAM: the strongest pattern of activation times gradient.", {"gradient": True}),
}  # fmt: skip


@dataclass(frozen=True)
class EigenCam:
    """φ = the first principal component of a layer's activations."""

    layer: Layer = AUTO
    relu: Annotated[bool, Meta(description="cut negative values off, at the layer's own resolution")] = True
    gradient: Annotated[bool, Meta(description="of activation times gradient, not of the activation alone")] = False
    join: Join = "mean"

    reduce: ClassVar[Reduce] = "mean"

    @property
    def unit(self) -> str:
        """The activation's unit, or the target's."""
        return "target" if self.gradient else "activation"

    @property
    def signed(self) -> bool:
        """Whether negative values are kept."""
        return not self.relu

    def attribute(self, sample: Sample) -> Attributing:
        """Ask once, for the layers' outputs, and their gradients if they count."""
        looked = yield from look(sample, self.layer, gradient=self.gradient)
        raw, details = {}, {}
        for path, activation in looked.activations.items():
            matrix = activation * looked.gradients[path] if self.gradient else activation
            raw[path], explained = strongest(matrix)
            details["explained" if len(looked.activations) == 1 else f"explained.{path}"] = explained
        maps, flags = rectified(raw, relu=self.relu)
        values = onto_inputs(sample, maps, looked.depends, self.join)
        return Explanation(values, details, flags, natives(maps))


def strongest(array: Array) -> tuple[Array, float]:
    """Return M v₁ of `(*places, channels)`, its sign that of ΣM, and the share of the squares it explains."""
    matrix = array.reshape(-1, array.shape[-1])
    if not np.any(matrix):
        return np.zeros(array.shape[:-1]), 0.0
    left, sizes, _ = np.linalg.svd(matrix, full_matrices=False)
    plane = (left[:, 0] * sizes[0]).reshape(array.shape[:-1])
    explained = float(sizes[0] ** 2 / np.square(sizes).sum())
    return (-plane if plane.sum() * matrix.sum() < 0 else plane), explained
