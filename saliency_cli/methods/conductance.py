"""Conductance: how much of the target's change from a baseline flows through a layer's units.

Definition
    φ = Σ over channels of F, over a layer's places, resized bilinearly (half-pixel centres) to the input. With x_k,
    k = 0…n, evenly spaced on the straight line from the baseline x′ to the input, A_k the layer's output there and
    G_k = ∂s/∂A there:
    `conductance` F = Σ_k ½ (G_k + G_{k+1}) ⊙ (A_{k+1} − A_k), the integral of ∂s/∂A · dA along the line;
    `influence` F = Σ_k w_k G_k, the mean gradient on the line (trapezoid).
    Completeness gap of conductance = ΣF − (s(x) − s(x′)), which goes to 0 with n where all that reaches the target
    passes through the layer, and is part of the answer where it doesn't. F itself is kept beside the map.

When it misleads
    It is relative to the baseline, as integrated gradients are. Channels of both signs cancel in the map, which is
    as coarse as the layer. Internal influence says how strongly a unit acts, not how active it is.

Source
    Dhamdhere, Sundararajan, Yan 2018, How Important Is a Neuron?, arXiv:1805.12233; its form as an integral over
    the layer: Shrikumar, Su, Kundaje 2018, arXiv:1807.09946. Internal influence: Leino et al. 2018,
    Influence-Directed Explanations, arXiv:1802.03788.

Differs from
    Captum, whose conductance has the gradient at one end of each step alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from msgspec import Meta

from saliency_cli.completeness import completeness
from saliency_cli.differentiable import Array, Arrays, Ask, Attributing, Explanation, Reduce, Sample, Trace
from saliency_cli.features import Absent
from saliency_cli.layering import AUTO, Layer, natives, onto_inputs
from saliency_cli.methods.layer_integrated_gradients import one_path

__all__ = ["Conductance"]

PRESETS = {
    "internal-influence": (
        "Internal influence: the mean gradient with respect to a layer, from a baseline to the input.",
        {"form": "influence"},
    ),
}

_CHUNK = 16  # points whose outputs and gradients are held at once


@dataclass(frozen=True)
class Conductance:
    """φ = ∫ ∂s/∂A · dA along the straight line of the input from x′ to x."""

    layer: Layer = AUTO
    points: Annotated[int, Meta(ge=1, le=100_000, description="steps from the baseline to the input")] = 50
    baseline: Absent = "black"
    form: Annotated[Literal["conductance", "influence"], Meta(description="what flows, or how strongly it acts")] = (
        "conductance"
    )

    reduce: ClassVar[Reduce] = "sum"
    signed: ClassVar[bool] = True

    @property
    def unit(self) -> str:
        """The target's, or for influence the gradient's."""
        return "target" if self.form == "conductance" else "target per unit of activation"

    def attribute(self, sample: Sample) -> Attributing:
        """Ask for outputs and gradients along the line, some points at a time."""
        path, absent, n = one_path(self.layer), sample.baseline(self.baseline), self.points
        way = {name: sample.inputs[name] - absent[name] for name in sample.floating}

        def point(i: int, out: Arrays) -> None:
            for name in sample.floating:
                np.multiply(way[name], i / n, out=out[name], casting="same_kind")
                np.add(out[name], absent[name], out=out[name])

        values: list[float] = []
        depends: Mapping[str, tuple[str, ...]] = {}
        before: tuple[Array, Array] | None = None
        units: Array = np.zeros(())
        for start in range(0, n + 1, _CHUNK):
            count = min(_CHUNK, n + 1 - start)

            def shifted(i: int, out: Arrays, start: int = start) -> None:
                point(start + i, out)

            answer = yield Ask(count, shifted, np.ones(count), each=True, trace=Trace(layer=(path,)))
            depends = answer.depends
            values.extend(map(float, answer.values))
            for here in zip(answer.each_activation[path], answer.each[path], strict=True):
                activation, gradient = (np.asarray(array, np.float64) for array in here)
                if before is not None:
                    step = activation - before[0] if self.form == "conductance" else 1 / n
                    units = units + (gradient + before[1]) / 2 * step
                before = activation, gradient
        details: dict[str, float] = {}
        flags: tuple[str, ...] = ()
        if self.form == "conductance":
            details, flags = completeness({path: units}, values[-1] - values[0])
        if not any(np.any(array) for array in way.values()):
            flags = ("baseline-is-input",)
        found = onto_inputs(sample, {path: units.sum(-1)}, depends)
        return Explanation(found, details, flags, natives({path: units}))
