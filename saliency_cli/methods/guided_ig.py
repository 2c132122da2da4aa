"""Guided integrated gradients: the change from a baseline, along a path that avoids large gradients.

Definition
    φ = Σ_k (x_k − x_{k−1}) ⊙ ∂s/∂x at x_{k−1}, along a path from the baseline x₀ = x′ to x in `steps` moves. After
    move k an input's L1 distance to x is (1 − k/steps) of the whole. In a move, first every value that is behind
    x′ + (k/steps − `slack`)(x − x′) is brought there; then the values with the smallest |∂s/∂x| are moved
    towards x′ + (k/steps + `slack`)(x − x′), the `fraction` smallest at a time, the last of these groups
    by one common share of its way, until the distance is met. Each input walks its own path, all at once.
    Completeness gap = Σφ − (s(x) − s(x′)).

When it misleads
    The path depends on the model and on the input, so maps of two models or two samples are not measured
    along the same way; it lacks the symmetry and implementation invariance of the straight line. It is
    relative to the baseline. Each move needs the gradient of the one before: it cannot be batched.

Source
    Kapishnikov, Venugopalan, Avci, Wedin, Terry, Bolukbasi 2021, Guided Integrated Gradients: an Adaptive Path
    Method for Removing Noise, arXiv:2106.09788, algorithm 1.

Differs from
    PAIR saliency in nothing known (`slack` is its max_dist); its release 0.2.1 fails with today's NumPy.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta

from saliency_cli.completeness import completeness
from saliency_cli.differentiable import Array, Arrays, Ask, Attributing, Explanation, Reduce, Sample
from saliency_cli.features import Absent

__all__ = ["GuidedIntegratedGradients"]


@dataclass(frozen=True)
class GuidedIntegratedGradients:
    """φ = Σ Δx ⊙ ∂s/∂x along a path of small gradients."""

    steps: Annotated[int, Meta(ge=1, le=100_000, description="moves of the path")] = 200
    fraction: Annotated[float, Meta(gt=0, le=1, description="share of the values moved together")] = 0.25
    slack: Annotated[float, Meta(ge=0, le=1, description="how far a value may be from the straight line")] = 0.02
    baseline: Absent = "black"

    reduce: ClassVar[Reduce] = "sum"
    unit: ClassVar[str] = "target"
    signed: ClassVar[bool] = True

    def attribute(self, sample: Sample) -> Attributing:
        """Ask for one gradient after the other, each where the last one led."""
        unperturbed = yield sample.itself()
        absent = sample.baseline(self.baseline)
        way = {name: np.subtract(sample.inputs[name], absent[name], dtype=np.float64) for name in sample.floating}
        share = {name: np.zeros(array.shape) for name, array in way.items()}
        totals = {name: np.zeros(array.shape) for name, array in way.items()}
        first = 0.0
        for k in range(1, self.steps + 1):

            def point(_: int, out: Arrays) -> None:
                for name in sample.floating:
                    np.copyto(out[name], absent[name] + share[name] * way[name], casting="same_kind")

            answer = yield Ask(1, point, np.ones(1))
            first = float(answer.values[0]) if k == 1 else first
            for name, gradient in answer.gradients.items():
                moved = self._moved(share[name], np.abs(gradient), np.abs(way[name]), k)
                totals[name] += (moved - share[name]) * way[name] * gradient
                share[name] = moved
        values = {name: np.asarray(totals[name], np.float32) for name in answer.gradients}
        details, flags = completeness(values, float(unperturbed.values[0]) - first)
        details["baseline_value"] = first
        same = not any(np.any(array) for array in way.values())
        return Explanation(values, details, ("baseline-is-input",) if same else flags)

    def _moved(self, share: Array, slopes: Array, lengths: Array, k: int) -> Array:
        """Return the share of its way that each value has gone after move k."""
        goal = k / self.steps
        low, high = max(goal - self.slack, 0.0), min(goal + self.slack, 1.0)
        moved = np.maximum(share, low).ravel()
        lengths = lengths.ravel()
        missing = float(np.sum(lengths * (goal - moved)))
        movable = np.flatnonzero((moved < high) & (lengths > 0))
        if missing <= 0 or not movable.size:
            return moved.reshape(share.shape)
        order = movable[np.argsort(slopes.ravel()[movable], kind="stable")]
        # As many at a time as `fraction` of all the values, those that can move first.
        size = int(self.fraction * (moved.size - 1)) + 1
        rooms = lengths[order] * (high - moved[order])
        groups = np.add.reduceat(rooms, np.arange(0, order.size, size))
        reached = np.cumsum(groups)
        last = min(int(np.searchsorted(reached, missing)), len(groups) - 1)
        moved[order[: last * size]] = high
        part = (missing - (reached[last] - groups[last])) / groups[last]
        some = order[last * size : (last + 1) * size]
        moved[some] += np.clip(part, 0, 1) * (high - moved[some])
        return moved.reshape(share.shape)
