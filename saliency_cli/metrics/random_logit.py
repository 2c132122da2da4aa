"""Likeness of the map to that for another class.

Definition
    The likeness (`pearson` unless told) of the folded |map| with that which the same method gives about another
    class, drawn by the run's seed and the sample from those that the target has no part of. A method that doesn't
    look at the class has 1.

When it misleads
    Classes that look alike have maps alike, with reason. With two classes of a softmax each is the other's
    opposite in all but name. Signs are folded away, so opposite maps count as the same.

Source
    Sixt, Granz, Landgraf 2020, When Explanations Lie: Why Many Modified BP Attributions Fail, arXiv:1912.09818.

Differs from
    Sixt et al., Xplique and Quantus, which compare by SSIM: `similarity=ssim`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from msgspec import Meta

from saliency_cli.differentiable import Array
from saliency_cli.metrics.pearson import correlation
from saliency_cli.metrics.spearman import rank_correlation
from saliency_cli.metrics.ssim import structural_similarity
from saliency_cli.subject import Better, Measured, Measurement, Need, Subject, why_blank

__all__ = ["RandomLogit"]

Likeness = Literal["pearson", "spearman", "ssim"]
LIKENESS: dict[str, Callable[[Array, Array], tuple[float, str]]] = {
    "pearson": correlation,
    "spearman": rank_correlation,
    "ssim": structural_similarity,
}


@dataclass(frozen=True)
class RandomLogit:
    """Likeness to the map for another class."""

    similarity: Annotated[Likeness, Meta(description="how two maps are compared")] = "pearson"

    better: ClassVar[Better] = "lower"
    lowest: ClassVar[float] = -1.0
    highest: ClassVar[float] = 1.0
    unit: ClassVar[str] = ""
    needs: ClassVar[frozenset[Need]] = frozenset({"map", "classes"})
    cost: ClassVar[str] = "1 map"

    def measure(self, subject: Subject) -> Measurement:
        """Run the method about another class."""
        z, others = subject.logits, np.flatnonzero(subject.weights == 0)
        if not subject.weights.size:
            return Measured(np.nan, "the target is a loss, which is about no class")
        if not others.size:
            return Measured(np.nan, "the target is about every class")
        if z.size == 2 and z[0] == -z[1]:
            return Measured(np.nan, "both classes are one unit with two signs: their maps are the same by definition")
        if blank := why_blank(subject.plane):
            return Measured(np.nan, blank)
        index = int(others[subject.sample.generator("random-logit", 0).integers(others.size)])
        explanation = yield from subject.about(subject.one(index))
        value, reason = LIKENESS[self.similarity](subject.plane, subject.fold(explanation.values))
        return Measured(value, reason)
