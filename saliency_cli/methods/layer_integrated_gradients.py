"""Layer integrated gradients: the target's change from a baseline, shared out among units.

Definition
    φ = Σ over channels of F, over a layer's places, resized bilinearly (half-pixel centres) to the input, with
    F = (A − A′) ⊙ Σ_k w_k ∂s/∂A at A′ + α_k (A − A′): A is the layer's output at the sample, A′ at the
    baseline x′, and α, w the quadrature of integrated-gradients. Between A′ and A the layer is written, and
    the part of the model behind it differentiated; what reaches the target around the layer is as at the sample.
    Completeness gap = ΣF − (s(A) − s(A′)). F itself, every channel, is kept beside the map.

When it misleads
    A straight line between two outputs of a layer leads over outputs that no input gives. Where part of the input
    goes around the layer, s(A′) is not the target at the baseline. Channels of both signs cancel in the map, which
    is as coarse as the layer.

Source
    Sundararajan, Taly, Yan 2017, Axiomatic Attribution for Deep Networks, arXiv:1703.01365, applied to a layer as in
    Captum's LayerIntegratedGradients.

Differs from
    conductance, whose line is drawn in the input.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta

from saliency_cli.completeness import completeness
from saliency_cli.differentiable import Arrays, Ask, Attributing, Explanation, Reduce, Sample, Trace
from saliency_cli.errors import UsageError
from saliency_cli.features import Absent
from saliency_cli.layering import AUTO, Layer, natives, onto_inputs, paths_of
from saliency_cli.methods.integrated_gradients import Rule, quadrature

__all__ = ["LayerIntegratedGradients"]


@dataclass(frozen=True)
class LayerIntegratedGradients:
    """φ = (A − A′) ⊙ ∫ ∂s/∂A along the straight line from A′ to A."""

    layer: Layer = AUTO
    points: Annotated[int, Meta(ge=2, le=100_000, description="points of the quadrature")] = 50
    rule: Annotated[Rule, Meta(description="quadrature: where the points lie and what they weigh")] = "gauss-legendre"
    baseline: Absent = "black"

    reduce: ClassVar[Reduce] = "sum"
    unit: ClassVar[str] = "target"
    signed: ClassVar[bool] = True

    def attribute(self, sample: Sample) -> Attributing:
        """Ask for the layer's output at both ends, then for gradients at the points between."""
        path = one_path(self.layer)
        absent = sample.baseline(self.baseline)

        def end(i: int, out: Arrays) -> None:
            for name in sample.floating:
                np.copyto(out[name], absent[name] if i else sample.inputs[name])

        ends = yield Ask(2, end, np.ones(2), each=True, trace=Trace(layer=(path,), gradient=False))
        there, absence = (np.asarray(array, np.float64) for array in ends.each_activation[path])
        way = there - absence
        alphas, weights = quadrature(self.rule, self.points)
        alphas, weights = np.append(alphas, [0.0, 1.0]), np.append(weights, [0.0, 0.0])

        def point(k: int, out: Arrays) -> None:
            out[path][...] = absence + alphas[k] * way

        trace = Trace(layer=(path,), cut=True)
        answer = yield Ask(len(alphas), point, weights, trace=trace, shapes={path: way.shape})
        units = {path: way * answer.gradients[path]}
        details, flags = completeness(units, float(answer.values[-1] - answer.values[-2]))
        values = onto_inputs(sample, {path: units[path].sum(-1)}, ends.depends)
        return Explanation(values, details, flags if np.any(way) else ("baseline-is-input",), natives(units))


def one_path(layer: str) -> str:
    """Return the one layer an option names. Raises `UsageError` for several."""
    paths = paths_of(layer)
    if len(paths) > 1:
        raise UsageError(f"one layer at a time is asked, and {layer} are {len(paths)}", hint=f"--layer {paths[0]}")
    return paths[0]
