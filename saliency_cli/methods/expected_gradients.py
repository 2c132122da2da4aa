"""Expected gradients: integrated gradients averaged over reference samples instead of one baseline.

Definition
    φ = (1/n) Σᵢ (x − bᵢ) ⊙ ∂s/∂x at bᵢ + tᵢ (x − bᵢ), with bᵢ a reference sample and tᵢ in [0, 1], i = 1…n, an
    estimate of the mean of integrated gradients over the references. `balanced`: every reference is taken
    once, in an order drawn anew, before any is taken again, and exactly one tᵢ lies in each n-th part of
    [0, 1]; `plain`: both are drawn uniformly and independently. A reference is taken whole, for all inputs.
    References are in the model's own units: an `.npy` of n × the input's shape, an `.npz` with such an
    array for each input, a folder of them, or kinds of baseline separated by commas.
    Completeness gap = Σφ − (s(x) − mean of s(bᵢ) over the bᵢ taken).

When it misleads
    The answer is relative to the references: what x shares with most of them gets little. Few draws are
    noisy: look at the gap.

Source
    Erion, Janizek, Sturmfels, Lundberg, Lee 2021, Improving performance of deep learning models with axiomatic
    attribution priors and expected gradients, arXiv:1906.10670, the section on expected gradients.

Differs from
    shap's GradientExplainer, which is `plain` with 200 draws; Captum's GradientShap, with 5, which also
    adds noise to x.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from msgspec import Meta

from saliency_cli.completeness import completeness
from saliency_cli.differentiable import Array, Arrays, Ask, Attributing, Explanation, Reduce, Sample
from saliency_cli.references import References, references_of, require_references

__all__ = ["ExpectedGradients"]

Drawn = Callable[[int], tuple[int, float]]  # a draw → its reference's row, and its t

_CHUNK = 32  # gradients held at once


@dataclass(frozen=True)
class ExpectedGradients:
    """φ = E[(x − b) ⊙ ∂s/∂x at b + t (x − b)]."""

    baselines: Annotated[str, Meta(description="references: an .npy, .npz or folder, or kinds: black,white")] = ""
    draws: Annotated[int, Meta(ge=1, le=1_000_000, description="pairs of a reference and a point on the way")] = 200
    sampling: Annotated[Literal["balanced", "plain"], Meta(description="how references and points are drawn")] = (
        "balanced"
    )

    reduce: ClassVar[Reduce] = "sum"
    unit: ClassVar[str] = "target"
    signed: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_references(self.baselines)

    def attribute(self, sample: Sample) -> Attributing:
        """Ask for gradients on the way from references, a chunk at a time, and for the references' values."""
        unperturbed = yield sample.itself()
        references = references_of(sample, self.baselines)
        totals = {name: np.zeros(sample.inputs[name].shape) for name in sample.floating}
        taken: dict[int, int] = {}
        drawn = self._plain(sample, references) if self.sampling == "plain" else self._balanced(sample, references)
        for start in range(0, self.draws, _CHUNK):
            chunk = []
            for draw in range(start, min(start + _CHUNK, self.draws)):
                row, t = drawn(draw)
                taken[row] = taken.get(row, 0) + 1
                chunk.append((references.get(row), t))

            def point(i: int, out: Arrays, chunk: list[tuple[Arrays, float]] = chunk) -> None:
                absent, t = chunk[i]
                for name in sample.floating:
                    np.subtract(sample.inputs[name], absent[name], out=out[name], casting="same_kind")
                    np.multiply(out[name], t, out=out[name])
                    np.add(out[name], absent[name], out=out[name], casting="same_kind")

            answer = yield Ask(len(chunk), point, np.zeros(len(chunk)), each=True)
            for i, (absent, _) in enumerate(chunk):
                for name in sample.floating:
                    way = np.subtract(sample.inputs[name], absent[name], dtype=np.float64)
                    totals[name] += way * answer.each[name][i]
        values = {name: np.asarray(total / self.draws, np.float32) for name, total in totals.items()}
        rows = list(taken)

        def reference(i: int, out: Arrays) -> None:
            absent = references.get(rows[i])
            for name in sample.floating:
                np.copyto(out[name], absent[name], casting="same_kind")

        # By the trace that gave s(x), with no gradient summed.
        found = yield Ask(len(rows), reference, np.zeros(len(rows)))
        mean = float(np.dot(found.values, [taken[row] for row in rows])) / self.draws
        details, flags = completeness(values, float(unperturbed.values[0]) - mean)
        details |= {"references": float(references.count), "baseline_value": mean}
        return Explanation(values, details, flags)

    def _plain(self, sample: Sample, references: References) -> Drawn:
        def drawn(draw: int) -> tuple[int, float]:
            random = sample.generator("expected-gradients", draw)
            return int(random.integers(references.count)), float(random.random())

        return drawn

    def _balanced(self, sample: Sample, references: References) -> Drawn:
        parts = sample.generator("expected-gradients parts", self.draws).permutation(self.draws)
        order: dict[int, Array] = {}

        def drawn(draw: int) -> tuple[int, float]:
            turn, place = divmod(draw, references.count)
            if turn not in order:
                order.clear()
                order[turn] = sample.generator("expected-gradients order", turn).permutation(references.count)
            within = float(sample.generator("expected-gradients", draw).random())
            return int(order[turn][place]), (int(parts[draw]) + within) / self.draws

        return drawn
