"""Euclidean norm of the target's gradient.

Definition
    ‖g‖₂ = (Σ gᵢ²)^½ over every differentiated input, g = ∂s/∂x at the unperturbed sample: the largest
    first-order change of the target per unit of ℓ2 distance in the model's input units.

When it misleads
    It grows with the scale of the logits and of the input, so it compares versions of one model, not
    different architectures: bound it relative to a baseline.

Source
    Novak et al. 2018, Sensitivity and Generalization in Neural Networks, arXiv:1802.08760, section 3.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from saliency_cli.subject import Better, Measured, Measurement, Need, Subject, flatten

__all__ = ["GradL2"]


@dataclass(frozen=True)
class GradL2:
    """ℓ2 norm of the input gradient."""

    better: ClassVar[Better] = "lower"
    lowest: ClassVar[float] = 0.0
    highest: ClassVar[float] = float("inf")
    unit: ClassVar[str] = "target per unit of input"
    needs: ClassVar[frozenset[Need]] = frozenset()
    cost: ClassVar[str] = "1 gradient, shared with the map"

    def measure(self, subject: Subject) -> Measurement:
        """Ask for the gradient at the sample, which is known already."""
        answer = yield subject.sample.itself()
        return Measured(float(np.linalg.norm(flatten(answer.gradients, subject.sample.floating))))
