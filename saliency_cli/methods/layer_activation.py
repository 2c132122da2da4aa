"""What a layer gives out: its activation summed over channels, or activation times gradient.

Definition
    φ = Σ over channels of F, over a layer's places, resized bilinearly (half-pixel centres) to the input.
    `activation` F = A, the layer's output at the sample;
    `gradient-times-activation` F = A ⊙ ∂s/∂A.
    F itself, every channel, is kept beside the map. Layers are named, found and averaged as of grad-cam.

When it misleads
    The activation does not look at the target: every class has the same map. Channels of both signs cancel.
    Activation times gradient is local: what a saturated unit holds is not seen. Both are as coarse as the layer.

Source
    Erhan, Bengio, Courville, Vincent 2009, Visualizing Higher-Layer Features of a Deep Network (activations).
    Ancona et al. 2017, Towards better understanding of gradient-based attribution methods, arXiv:1711.06104
    (gradient times input, here of a layer).

Differs from
    hirescam, which is the sum of gradient times activation with a choice of relu; Captum, which has no map on
    the input.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from saliency_cli.differentiable import Attributing, Explanation, Reduce, Sample
from saliency_cli.layering import AUTO, Join, Layer, look, natives, onto_inputs

__all__ = ["LayerActivation"]

PRESETS = {
    "layer-gradient-times-activation": (
        "Activation times gradient of every unit of a layer.",
        {"form": "gradient-times-activation"},
    ),
}

Form = Literal["activation", "gradient-times-activation"]


@dataclass(frozen=True)
class LayerActivation:
    """φ = a layer's output, or its output times the target's gradient."""

    layer: Layer = AUTO
    form: Annotated[Form, Meta(description="the output itself, or times its gradient")] = "activation"
    join: Join = "mean"

    reduce: ClassVar[Reduce] = "mean"
    signed: ClassVar[bool] = True

    @property
    def unit(self) -> str:
        """The activation's unit, or the target's."""
        return "activation" if self.form == "activation" else "target"

    def attribute(self, sample: Sample) -> Attributing:
        """Ask once, for the layers' outputs, and their gradients if they count."""
        looked = yield from look(sample, self.layer, gradient=self.form != "activation")
        units = {path: array * looked.gradients.get(path, 1) for path, array in looked.activations.items()}
        values = onto_inputs(
            sample, {path: array.sum(-1) for path, array in units.items()}, looked.depends, self.join
        )
        return Explanation(values, layers=natives(units))
