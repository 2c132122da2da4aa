"""Grad-CAM: where a layer's channels are active, each weighted by the target's gradient.

Definition
    φ = the map L over a layer's places, resized bilinearly (half-pixel centres) to the input. With A the
    layer's output (places ij, channels k) and G = ∂s/∂A at the sample:
    `grad-cam` L = Σ_k w_k A_k, w_k = the mean of G over places;
    `grad-cam++` the same with w_k = Σ_ij α max(G, 0), α = G² / (2 G² + G³ Σ_ab A_abk), 0 where G is 0;
    `xgrad-cam` the same with w_k = Σ_ij G A / Σ_ij A, 0 where a channel sums to 0;
    `hirescam` L = Σ_k G A;
    `layercam` L = Σ_k max(G, 0) A;
    `elementwise-grad-cam` L = Σ_k max(G A, 0).
    `relu` cuts negative values of L off, before resizing. It is on, as in the papers, but for hirescam, whose
    sum is that of all contributions. The map is not scaled. All channels of the input share one value.
    The layer is named, or found: the last whose output has places, before pooling, flattening or attention
    takes them. Of several layers (joined by +) the maps are averaged; the map of each is kept as it was found.

When it misleads
    It is coarse: 7×7 places enlarged to a picture look smoother than what is known. It takes a place in the
    layer for the same place of the input, although each sees a wide field around it, and layers that pad or
    crop the picture shift it. grad-cam can light up places that the target does not depend on, as its weights
    are means over all places; hirescam and layercam can't. Every form but grad-cam, xgrad-cam and hirescam
    leaves out what speaks against the target. In an early layer the weights of grad-cam mean little.

Source
    Selvaraju et al. 2016, Grad-CAM, arXiv:1610.02391. Chattopadhyay et al. 2017, Grad-CAM++,
    arXiv:1710.11063, equations 10 and 19. Fu et al. 2020, Axiom-based Grad-CAM, arXiv:2008.02312. Draelos, Carin
    2020, HiResCAM, arXiv:2011.08891. Jiang et al. 2021, LayerCAM, doi:10.1109/TIP.2021.3089943. Element-wise:
    pytorch-grad-cam.

Differs from
    Captum (no relu unless asked, no resizing); tf-keras-vis, PAIR and pytorch-grad-cam, which scale each map to
    [0, 1]; tf-keras-vis's corner-aligned enlargement; Xplique's grad-cam++, which has the mean of A for its sum,
    and its bicubic enlargement; tf-explain, which rectifies gradients and activations first. The factor exp(s)
    of grad-cam++, the same for all places, is left out.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from msgspec import Meta

from saliency_cli.differentiable import Array, Attributing, Explanation, Reduce, Sample
from saliency_cli.layering import AUTO, Join, Layer, look, natives, onto_inputs, rectified

__all__ = ["GradCam"]

PRESETS = {
    "grad-cam++": ("Grad-CAM++: Grad-CAM with weights that don't fade over large objects.", {"form": "grad-cam++"}),
    "xgrad-cam": ("XGrad-CAM: Grad-CAM with gradients averaged where the channel is active.", {"form": "xgrad-cam"}),
    "hirescam": (
        "HiResCAM: activation times gradient at each place, summed over channels.",
        {"form": "hirescam", "relu": False},
    ),
    "layercam": ("LayerCAM: activation times positive gradient; also of earlier layers.", {"form": "layercam"}),
    "elementwise-grad-cam": (
        "Activation times gradient at each place, positive products only.",
        {"form": "elementwise-grad-cam"},
    ),
}  # fmt: skip

Form = Literal["grad-cam", "grad-cam++", "xgrad-cam", "hirescam", "layercam", "elementwise-grad-cam"]


@dataclass(frozen=True)
class GradCam:
    """φ = a layer's activations, weighted by their gradients, on the input's places."""

    layer: Layer = AUTO
    relu: Annotated[bool, Meta(description="cut negative values off, at the layer's own resolution")] = True
    form: Annotated[Form, Meta(description="how gradients weigh the activations")] = "grad-cam"
    join: Join = "mean"

    reduce: ClassVar[Reduce] = "mean"
    unit: ClassVar[str] = "target"

    @property
    def signed(self) -> bool:
        """Whether negative values are kept."""
        return not self.relu and self.form != "elementwise-grad-cam"

    def attribute(self, sample: Sample) -> Attributing:
        """Ask once, for the layers' outputs and gradients."""
        looked = yield from look(sample, self.layer)
        raw = {path: self.plane(looked.activations[path], looked.gradients[path]) for path in looked.activations}
        maps, flags = rectified(raw, relu=self.relu)
        values = onto_inputs(sample, maps, looked.depends, self.join)
        return Explanation(values, flags=flags, layers=natives(maps))

    def plane(self, activation: Array, gradient: Array) -> Array:
        """Return L of one layer: `(*places, channels)` twice → `(*places,)`."""
        if self.form == "hirescam":
            return np.asarray((activation * gradient).sum(-1))
        if self.form == "layercam":
            return np.asarray((activation * np.maximum(gradient, 0)).sum(-1))
        if self.form == "elementwise-grad-cam":
            return np.asarray(np.maximum(activation * gradient, 0).sum(-1))
        return np.asarray(activation @ self._weights(activation, gradient))

    def _weights(self, activation: Array, gradient: Array) -> Array:
        places = tuple(range(activation.ndim - 1))
        if self.form == "grad-cam":
            return np.asarray(gradient.mean(places))
        sums = activation.sum(places)
        if self.form == "xgrad-cam":
            return np.asarray((gradient * activation).sum(places) / np.where(sums == 0, np.inf, sums))
        # G² / (2 G² + G³ ΣA) where G is not 0: the same, without squares that vanish in rounding.
        below = 2 + gradient * sums
        alpha = np.divide(1.0, below, out=np.zeros_like(below), where=(gradient != 0) & (below != 0))
        return np.asarray((alpha * np.maximum(gradient, 0)).sum(places))
