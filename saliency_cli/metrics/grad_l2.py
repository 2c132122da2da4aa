"""Euclidean norm of the target's gradient.

Definition
    ‖g‖₂ = (Σ gᵢ²)^½ over every value of every differentiated input, g = ∂s/∂x at the unperturbed sample:
    the largest first-order change of the target per unit of ℓ2 distance in the model's input units.
    `l1`: ‖g‖₁ = Σ |gᵢ|, the same per unit of ℓ∞ distance (every value moves by as much).
    `linf`: ‖g‖∞ = max |gᵢ|, the same per unit of ℓ1 distance (one value alone moves).

When it misleads
    It grows with the scale of the logits and of the input, so it compares versions of one model, not
    different architectures: bound it relative to a baseline. `l1` grows with the number of values, and
    `linf` hangs on a single one: take a high percentile over samples rather than their maximum.

Source
    Novak et al. 2018, Sensitivity and Generalization in Neural Networks, arXiv:1802.08760, section 3.
    ℓ1: Simon-Gabriel et al. 2019, First-order Adversarial Vulnerability and Input Dimension,
    arXiv:1802.01421, section 2.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from msgspec import Meta

from saliency_cli.subject import Better, Measured, Measurement, Need, Subject, flatten

__all__ = ["GradL2"]

PRESETS = {
    "grad-l1": ("Sum of the absolute values of the target's gradient.", {"norm": "l1"}),
    "grad-linf": ("Largest absolute value of the target's gradient.", {"norm": "linf"}),
}  # fmt: skip

_ORDERS = {"l1": 1.0, "l2": 2.0, "linf": np.inf}


@dataclass(frozen=True)
class GradL2:
    """A norm of the input gradient."""

    norm: Annotated[Literal["l1", "l2", "linf"], Meta(description="which norm of the gradient")] = "l2"

    better: ClassVar[Better] = "lower"
    lowest: ClassVar[float] = 0.0
    highest: ClassVar[float] = float("inf")
    unit: ClassVar[str] = "target per unit of input"
    needs: ClassVar[frozenset[Need]] = frozenset()
    cost: ClassVar[str] = "1 gradient, shared with the map"

    def measure(self, subject: Subject) -> Measurement:
        """Ask for the gradient at the sample, which is known already."""
        answer = yield subject.sample.itself()
        gradient = flatten(answer.gradients, subject.sample.floating)
        return Measured(float(np.linalg.norm(gradient, _ORDERS[self.norm])))
