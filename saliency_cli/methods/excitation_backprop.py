"""Excitation backprop: the chance that an input wins, passed on from each unit to who excites it.

Definition
    φ = P at the input, where P starts as 1 at the target (as its class weights) and every layer hands it back to its
    inputs in proportion to c⁺/z⁺, the positive contributions c = x w over their sum, without biases: the z⁺ rule
    of relevance propagation (`saliency methods lrp-epsilon`) that starts at 1 instead of the target's value.
    The gap Σφ − 1 is recorded. A target of several classes starts with their weights.

When it misleads
    All that excites a unit counts and nothing that inhibits it, so maps of two classes are much alike. Activations
    are taken for excitement, as with ReLUs; negative inputs count where negative weights make them excite. What
    reaches a unit that nothing excites is lost: see the gap.

Source
    Zhang, Lin, Brandt, Shen, Sclaroff 2016, Top-down Neural Attention by Excitation Backprop, arXiv:1608.00507,
    section 3.2; contrastive maps are no part of it.

Differs from
    zennit's composite of that name, whose z⁺ has biases and which starts at the target's value.
"""

from dataclasses import dataclass
from typing import ClassVar

from saliency_cli.differentiable import Attributing, Reduce, Sample, Trace
from saliency_cli.methods.lrp_epsilon import relevance

__all__ = ["ExcitationBackprop"]


@dataclass(frozen=True)
class ExcitationBackprop:
    """φ = the chance to win, from the target down."""

    reduce: ClassVar[Reduce] = "sum"
    unit: ClassVar[str] = "target's share"
    signed: ClassVar[bool] = True

    traces: ClassVar[tuple[Trace]] = (Trace(rule="lrp:dense=zplus,convolution=zplus,biases=false,start=one"),)

    def attribute(self, sample: Sample) -> Attributing:
        """Ask once, by the rule."""
        return (yield from relevance(sample, self.traces[0], whole=1.0))
