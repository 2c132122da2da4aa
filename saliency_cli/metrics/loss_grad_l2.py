"""Euclidean norm of the loss's gradient: how fast the right class is lost.

Definition
    ‖∂L/∂x‖₂ over every differentiated input, L = −log p_y, y the true class where it is known and the one
    on top else. p is the head's softmax or sigmoid, its logarithm taken from the logits; of a sigmoid over
    several classes L is the true class's own term, −log σ(z_y).

When it misleads
    It falls towards zero as the model gets surer of itself (∂L/∂z = p − y), so an overconfident model looks
    calm: see flip-radius-linf beside it. Without labels the class on top stands for the true one, which
    hides every wrong prediction.

Source
    Arpit et al. 2017, A Closer Look at Memorization in Deep Networks, arXiv:1706.05394, section 3.

Differs from
    ART's `loss_sensitivity`, the same norm averaged over a data set: here it is one sample's.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from saliency_cli.differentiable import Ask, Trace
from saliency_cli.subject import Better, Measured, Measurement, Need, Subject, flatten

__all__ = ["LossGradL2"]


@dataclass(frozen=True)
class LossGradL2:
    """ℓ2 norm of the gradient of −log p of the true class."""

    better: ClassVar[Better] = "lower"
    lowest: ClassVar[float] = 0.0
    highest: ClassVar[float] = float("inf")
    unit: ClassVar[str] = "loss per unit of input"
    needs: ClassVar[frozenset[Need]] = frozenset({"classes", "probabilities"})
    cost: ClassVar[str] = "1 gradient"

    def measure(self, subject: Subject) -> Measurement:
        """Ask for the gradient of −log p at the sample."""
        sample, loss = subject.sample, -subject.one(subject.truth)
        trace = Trace(space="log-probability")
        answer = yield Ask(1, lambda _, out: sample.write(out), np.ones(1), trace=trace, about=loss)
        return Measured(float(np.linalg.norm(flatten(answer.gradients, sample.floating))))
