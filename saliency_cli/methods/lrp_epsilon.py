"""Layer-wise relevance propagation with the ε rule: the value shared out, layer by layer.

Definition
    φ = R at the input, where R starts as the target's value (class scores times their weights) and every layer
    hands it back in proportion to contributions c = x w with sum z = Σc + b (c⁺, z⁺: the positive ones, c⁻, z⁻:
    the negative; b goes with its sign, and keeps its share):
    `epsilon` c / (z + ε·rms(z)·sign z), rms over the layer's outputs; towards gradient times input as ε → 0;
    `gamma` (c + γ c⁺) / (z + γ z⁺) where z ≥ 0, (c + γ c⁻) / (z + γ z⁻) where z < 0;
    `alpha-beta` α c⁺/z⁺ − β c⁻/z⁻, β = α − 1;
    `zplus` c⁺/z⁺;
    `zbox` (x w − l w⁺ − h w⁻) over its sum, for inputs between l (`low`) and h (`high`), without b;
    `wsquare` w² / Σw², and `flat` the same for every input of a unit, both without b.
    `first` is for products that no other product comes before; else `dense` is for matrix products, `convolution`
    for convolutions and for sums (residual additions, averages; their weights are 1). A bias and an inference
    batch norm behind a product are folded into it; activations hand R on as it is; of a maximum the
    winner gets all. A factor or shift of its own (a rescaling, a batch norm before a product) hands R on;
    with `epsilon` a shift keeps its share. What is taken off has its weights turned round, as the first class of a
    sigmoid unit, −z: what lowers z speaks for it. `biases=false` leaves b out of every sum.
    The gap to the target's value, Σφ − s, is recorded: what biases and ε keep, and α without a β part.
    `lrp-epsilon`: epsilon everywhere. The presets are other choices of these rules.

When it misleads
    The value is shared out, not what it depends on: two networks that compute the
    same may have different maps. Pure z⁺ hardly depends on the target. With a small ε, deep networks without
    trained weights give noise. Look at `relative_gap`: biases of a MobileNet take most of the relevance.

Source
    Bach et al. 2015, On Pixel-Wise Explanations, doi:10.1371/journal.pone.0130140. Montavon et al. 2019, Layer-Wise
    Relevance Propagation: An Overview, doi:10.1007/978-3-030-28954-6_10. Composites: Kohlbrenner et al. 2020,
    Towards Best Practice in Explaining Neural Network Decisions with LRP, arXiv:1910.09840.

Differs from
    zennit, iNNvestigate and Captum, whose ε is a fixed number whatever the scale of a layer; zennit's sums and
    averages, which go by epsilon in every composite; iNNvestigate's zplus, which leaves biases out
    (`biases=false`); Captum's batch norms, which are layers of their own. Operations without a rule (attention,
    gates, layer norm) are refused, not passed through.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from msgspec import Meta

from saliency_cli.completeness import completeness
from saliency_cli.differentiable import Array, Arrays, Ask, Attributing, Explanation, Reduce, Sample, Trace, against

__all__ = ["LrpEpsilon"]

PRESETS = {
    "lrp-gamma": ("LRP with the γ rule in every layer.", {"dense": "gamma", "convolution": "gamma"}),
    "lrp-alpha-beta": (
        "LRP with the αβ rule in every layer: what speaks for the target, minus what speaks against.",
        {"dense": "alpha-beta", "convolution": "alpha-beta"},
    ),
    "lrp-zplus": ("LRP with the z⁺ rule in every layer.", {"dense": "zplus", "convolution": "zplus"}),
    "lrp-zbox": (
        "LRP for pictures: ε in dense layers, γ in convolutions, the box rule in the first.",
        {"convolution": "gamma", "first": "zbox"},
    ),
    "lrp-epsilon-plus": ("LRP with ε in dense layers, z⁺ in convolutions.", {"convolution": "zplus"}),
    "lrp-epsilon-plus-flat": (
        "LRP with ε in dense layers, z⁺ in convolutions, flat in the first.",
        {"convolution": "zplus", "first": "flat"},
    ),
    "lrp-epsilon-alpha2-beta1": (
        "LRP with ε in dense layers, αβ (2, 1) in convolutions.",
        {"convolution": "alpha-beta"},
    ),
    "lrp-epsilon-alpha2-beta1-flat": (
        "LRP with ε in dense layers, αβ (2, 1) in convolutions, flat in the first.",
        {"convolution": "alpha-beta", "first": "flat"},
    ),
}  # fmt: skip

Hidden = Literal["epsilon", "gamma", "alpha-beta", "zplus"]
First = Literal["same", "epsilon", "gamma", "alpha-beta", "zplus", "zbox", "wsquare", "flat"]
_EDGES = "of the input's values, for zbox: black, white, zero, min, max, or a file"


@dataclass(frozen=True)
class LrpEpsilon:
    """φ = relevance, shared out layer by layer."""

    dense: Annotated[Hidden, Meta(description="rule of matrix products")] = "epsilon"
    convolution: Annotated[Hidden, Meta(description="rule of convolutions and sums")] = "epsilon"
    first: Annotated[First, Meta(description="rule of the first products; same: as the others")] = "same"
    epsilon: Annotated[float, Meta(ge=0, le=100, description="ε as a share of a layer's root mean square")] = 0.01
    gamma: Annotated[float, Meta(ge=0, le=1000, description="γ: how much more positive contributions count")] = 0.25
    alpha: Annotated[float, Meta(ge=1, le=100, description="α of alpha-beta; β is α − 1")] = 2.0
    biases: Annotated[bool, Meta(description="whether biases keep their share")] = True
    low: Annotated[str, Meta(description=f"lowest {_EDGES}")] = "black"
    high: Annotated[str, Meta(description=f"highest {_EDGES}")] = "white"

    reduce: ClassVar[Reduce] = "sum"
    unit: ClassVar[str] = "target"
    signed: ClassVar[bool] = True

    @property
    def traces(self) -> tuple[Trace]:
        """What it asks by."""
        rule = (
            f"lrp:dense={self.dense},convolution={self.convolution},first={self.first},epsilon={self.epsilon},"
            f"gamma={self.gamma},alpha={self.alpha},biases={str(self.biases).lower()}"
        )
        return (Trace(rule=rule),)

    def attribute(self, sample: Sample) -> Attributing:
        """Ask once, by the rule."""
        box = (self.low, self.high) if self.first == "zbox" else ()
        return (yield from relevance(sample, self.traces[0], box))


def relevance(sample: Sample, trace: Trace, box: tuple[str, ...] = (), *, whole: float | None = None) -> Attributing:
    """Ask for relevance by a trace with a rule.

    `box`: the baselines at the edges of the input's values. `whole`: what was shared out, where not the target.
    """
    edges = [sample.baseline(kind) for kind in box]

    def point(_: int, out: Arrays) -> None:
        sample.write(out)
        for k, edge in enumerate(edges):
            for name in sample.floating:
                np.copyto(out[against(k, name)], edge[name], casting="same_kind")

    answer = yield Ask(1, point, np.ones(1), trace=trace, references=len(edges))
    values = {name: np.asarray(r, np.float32) for name, r in answer.gradients.items()}
    shared = float(answer.values[0]) if whole is None else whole
    details, flags = completeness(values, shared, flag="shares-gap")
    details = {"conservation_gap": details.pop("completeness_gap")} | details
    details |= {name: float(n) for name, n in answer.activations.items() if name.startswith("patched")}
    if edges and not all(_between(sample.inputs[name], edges[0][name], edges[1][name]) for name in sample.floating):
        flags = (*flags, "outside-box")
    return Explanation(values, details, flags)


def _between(x: Array, low: Array, high: Array) -> bool:
    slack = 1e-6 * np.abs(high - low)
    return bool(np.all((x >= np.minimum(low, high) - slack) & (x <= np.maximum(low, high) + slack)))
