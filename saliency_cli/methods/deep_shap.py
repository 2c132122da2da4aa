"""DeepSHAP: DeepLIFT averaged over reference samples instead of one reference.

Definition
    φ = (1/n) Σᵢ mᵢ ⊙ (x − bᵢ), with mᵢ DeepLIFT's multipliers (`saliency methods deeplift`) between the sample x and
    the reference bᵢ, i = 1…n, over all references. References are in the model's own units: an `.npy` of n × the
    input's shape, an `.npz` with such an array for each input, a folder of them, or kinds of baseline separated
    by commas. Completeness gap = Σφ − (s(x) − mean of s(bᵢ)).

When it misleads
    It estimates Shapley values only as far as inputs are independent and the network is near linear between x and
    the references. The answer is relative to the references: what x shares with most of them gets little. As for
    DeepLIFT, where large changes cancel single values mean little: look at the gap.

Source
    Lundberg, Lee 2017, A Unified Approach to Interpreting Model Predictions, arXiv:1705.07874, section 4.2.

Differs from
    shap's DeepExplainer, which hands back plain derivatives through operations that it has no rule for (here they are
    refused), and Captum's DeepLiftShap, which does the same.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta

from saliency_cli.completeness import completeness
from saliency_cli.differentiable import Attributing, Explanation, Reduce, Sample, Trace
from saliency_cli.methods.deeplift import RESCALE, compared, numbers
from saliency_cli.references import references_of, require_references

__all__ = ["DeepShap"]

_CHUNK = 32  # multipliers held at once


@dataclass(frozen=True)
class DeepShap:
    """φ = E[m ⊙ (x − b)] over references b."""

    baselines: Annotated[str, Meta(description="references: an .npy, .npz or folder, or kinds: black,white")] = ""

    reduce: ClassVar[Reduce] = "sum"
    unit: ClassVar[str] = "target"
    signed: ClassVar[bool] = True
    traces: ClassVar[tuple[Trace]] = (RESCALE,)

    def __post_init__(self) -> None:
        require_references(self.baselines)

    def attribute(self, sample: Sample) -> Attributing:
        """Ask for the multipliers against every reference, a chunk at a time."""
        references = references_of(sample, self.baselines)
        totals = {name: np.zeros(sample.inputs[name].shape) for name in sample.floating}
        details: dict[str, float] = {}
        value = absent_value = 0.0
        for start in range(0, references.count, _CHUNK):
            chunk = [references.get(i) for i in range(start, min(start + _CHUNK, references.count))]
            answer = yield compared(sample, chunk)
            for name in sample.floating:
                each = answer.each[name] if len(chunk) > 1 else answer.gradients[name][None]
                for absent, m in zip(chunk, each, strict=True):
                    totals[name] += np.subtract(sample.inputs[name], absent[name], dtype=np.float64) * m
            details = numbers(answer)
            absent_value += details.pop("baseline_value") * len(chunk) / references.count
            value = float(answer.values[0])
        values = {name: np.asarray(total / references.count, np.float32) for name, total in totals.items()}
        gap, flags = completeness(values, value - absent_value, flag="shares-gap")
        details |= gap | {"references": float(references.count), "baseline_value": absent_value}
        return Explanation(values, details, flags)
