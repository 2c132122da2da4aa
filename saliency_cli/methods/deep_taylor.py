"""Deep Taylor decomposition: relevance expanded, layer by layer, around points where it is zero.

Definition
    φ = R at the input, where R starts as the target's value and every layer hands it back by c⁺/z⁺, the positive
    contributions c = x w over their sum, without biases; the first products by `zbox`
    (x w − l w⁺ − h w⁻ over its sum, for values between l and h) or `wsquare` (w² / Σw², for values without
    bounds). The rules are those of `saliency methods lrp-epsilon`. The gap Σφ − s is recorded.

When it misleads
    The theory is for ReLU networks whose biases are not positive, and a target that is; biases above 0
    are taken for contributions of the inputs. Nothing speaks against a positive target. What reaches a unit to which
    nothing positive contributes is lost, and with layers that have no ReLU (a MobileNet's) that is nearly all: see
    the gap.

Source
    Montavon, Lapuschkin, Binder, Samek, Müller 2017, Explaining nonlinear classification decisions with deep
    Taylor decomposition, arXiv:1512.02479, section 4. Its limits: Sixt, Granz, Landgraf 2020, arXiv:1912.09818.

Differs from
    iNNvestigate, where inputs with bounds are a method of their own, deep_taylor.bounded.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from saliency_cli.differentiable import Attributing, Reduce, Sample, Trace
from saliency_cli.methods.lrp_epsilon import relevance

__all__ = ["DeepTaylor"]


@dataclass(frozen=True)
class DeepTaylor:
    """φ = relevance by z⁺, and by the bounds of the input in the first layer."""

    first: Annotated[Literal["zbox", "wsquare"], Meta(description="rule of the first products")] = "zbox"
    low: Annotated[str, Meta(description="lowest values of the input, for zbox: black, zero, min, or a file")] = (
        "black"
    )
    high: Annotated[str, Meta(description="highest values of the input, for zbox: white, max, or a file")] = "white"

    reduce: ClassVar[Reduce] = "sum"
    unit: ClassVar[str] = "target"
    signed: ClassVar[bool] = True

    @property
    def traces(self) -> tuple[Trace]:
        """What it asks by."""
        return (Trace(rule=f"lrp:dense=zplus,convolution=zplus,first={self.first},biases=false"),)

    def attribute(self, sample: Sample) -> Attributing:
        """Ask once, by the rule."""
        box = (self.low, self.high) if self.first == "zbox" else ()
        return (yield from relevance(sample, self.traces[0], box))
