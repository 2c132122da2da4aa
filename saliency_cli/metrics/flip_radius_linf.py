"""How far the nearest other class is, to first order: a margin in units of the input.

Definition
    (z_y − z_j) / Σᵢ rᵢ |∂(z_y − z_j)/∂xᵢ|, z the logits, y the true class where it is known and the one on
    top else, j the highest of the others, rᵢ the width of the i-th value's valid range. It is the share of
    the range by which every value must move, each in its worst direction, until a linear model confuses the
    two; 0.01 is 2.55 grey levels of 255. Negative where the sample is wrong already: how far it is from being
    right. Of an output without softmax or sigmoid the output's own values are taken.

When it misleads
    It is exact for a linear model only. A network with vanishing gradients (quantised, saturated inside)
    looks far from every other class and is not: fgsm-flip-eps and pgd-flip-rate try it out.

Source
    Hein, Andriushchenko 2017, Formal Guarantees on the Robustness of a Classifier, arXiv:1705.08475,
    section 2; Moosavi-Dezfooli et al. 2016, DeepFool, arXiv:1511.04599, section 3.

Differs from
    DeepFool and CLEVER, which take the smallest over every other class at one gradient each: here it is the
    class that comes second, so of many classes another may be nearer. Inputs without a known range are held.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from saliency_cli.differentiable import Ask, Trace
from saliency_cli.subject import Better, Measured, Measurement, Need, Subject

__all__ = ["FlipRadiusLinf"]


@dataclass(frozen=True)
class FlipRadiusLinf:
    """First-order ℓ∞ distance to the class that comes second, as a share of the input's range."""

    better: ClassVar[Better] = "higher"
    lowest: ClassVar[float] = float("-inf")
    highest: ClassVar[float] = float("inf")
    unit: ClassVar[str] = "share of the input's range"
    needs: ClassVar[frozenset[Need]] = frozenset({"classes", "limits"})
    cost: ClassVar[str] = "1 gradient"

    def measure(self, subject: Subject) -> Measurement:
        """Ask for the gradient of the margin at the sample."""
        sample, truth = subject.sample, subject.truth
        if subject.logits.size < 2:
            return Measured(np.nan, "there is no other class")
        logits = np.asarray(subject.logits, np.float64)
        others = np.where(np.arange(logits.size) == truth, -np.inf, logits)
        rival = int(others.argmax())
        about = subject.one(truth) - subject.one(rival)
        trace = Trace(space=subject.logit_space)
        answer = yield Ask(1, lambda _, out: sample.write(out), np.ones(1), trace=trace, about=about)
        slope = sum(float((span * np.abs(answer.gradients[name])).sum()) for name, span in subject.spans().items())
        if not slope > 0:
            return Measured(np.nan, "the margin between the classes has no gradient")
        return Measured(float(logits[truth] - logits[rival]) / slope)
