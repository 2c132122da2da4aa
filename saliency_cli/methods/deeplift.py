"""DeepLIFT: the target's difference from a reference, handed back as differences instead of slopes.

Definition
    φ = m ⊙ (x − x′), with multipliers m by the rescale rule, so that Σφ = s(x) − s(x′). An activation hands m back
    times Δy/Δz, the differences of its output and input between sample x and reference x′ (its slope where
    |Δz| ≤ 10⁻⁴ (|z| + |z′|)); GELU and swish, written with several operations, are one activation. Straight
    lines hand back by their derivative; a product of two by its derivative halfway, a quotient as the product
    with 1/b; softmax as the quotient of an exponential and their sum. Of a maximum a rise goes to the place
    that wins in x, a fall to the place that won in x′. Completeness gap = Σφ − (s(x) − s(x′)).

When it misleads
    The answer is relative to the reference. Where large changes cancel (swish, a black reference) single values
    come out large and of both signs, and rounding is what remains: look at the gap. The numbers depend on
    how the network is written, not only on what it computes: integrated gradients don't.

Source
    Shrikumar, Greenside, Kundaje 2017, Learning Important Features Through Propagating Activation Differences,
    arXiv:1704.02685, section 3.5.1. Lundberg, Lee 2017, arXiv:1705.07874, section 4.2, for `deep-shap`.

Differs from
    Captum and shap, which hand back plain derivatives through layers they don't know; the paper's rule for
    softmax targets, which takes the mean off the logits' weights. The paper's reveal-cancel rule is no part of it.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta

from saliency_cli.completeness import completeness
from saliency_cli.differentiable import Answer, Arrays, Ask, Attributing, Explanation, Reduce, Sample, Trace, against

__all__ = ["Deeplift"]

RESCALE = Trace(rule="deeplift")


@dataclass(frozen=True)
class Deeplift:
    """φ = m ⊙ (x − x′), by the rescale rule."""

    baseline: Annotated[
        str,
        Meta(description="the reference: black, white, zero, mean, min, max, blur, noise, or a file"),
    ] = "black"

    reduce: ClassVar[Reduce] = "sum"
    unit: ClassVar[str] = "target"
    signed: ClassVar[bool] = True
    traces: ClassVar[tuple[Trace]] = (RESCALE,)

    def attribute(self, sample: Sample) -> Attributing:
        """Ask once, for the multipliers between sample and reference."""
        absent = sample.baseline(self.baseline)
        answer = yield compared(sample, [absent])
        values = {
            name: np.asarray((sample.inputs[name] - absent[name]) * m, np.float32)
            for name, m in answer.gradients.items()
        }
        details = numbers(answer)
        gap, flags = completeness(values, float(answer.values[0]) - details["baseline_value"], flag="shares-gap")
        if all(np.array_equal(sample.inputs[name], absent[name]) for name in sample.floating):
            flags = ("baseline-is-input",)
        return Explanation(values, details | gap, flags)


def compared(sample: Sample, references: list[Arrays]) -> Ask:
    """Return the ask for the multipliers between the sample and each of some references."""
    n = len(references)

    def point(i: int, out: Arrays) -> None:
        sample.write(out)
        for name in sample.floating:
            np.copyto(out[against(0, name)], references[i][name], casting="same_kind")

    return Ask(n, point, np.full(n, 1 / n), each=n > 1, trace=RESCALE, references=1)


def numbers(answer: Answer) -> dict[str, float]:
    """Return what the rule told, to record; the mean over references."""
    found = {name: float(number) for name, number in answer.activations.items()}
    return {"baseline_value": found.pop("reference_value_0", 0.0), **found}
