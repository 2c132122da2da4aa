"""Relative change of the target per relative change of the input.

Definition
    ‖x‖₂ ‖g‖₂ / (|s| + ε), over every differentiated input, g = ∂s/∂x and s the target's value at the sample:
    the relative condition number of s at x. Without units: 3 says that moving the input by 1 % moves the
    target by up to 3 %.

When it misleads
    Both zeros matter: where the input's lies (a picture scaled to −1…1 is not one scaled to 0…1), and where
    the target's does (a constant added to every logit changes it). Near s = 0 it explodes.

Source
    Trefethen, Bau 1997, Numerical Linear Algebra, lecture 12, doi:10.1137/1.9780898719574.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta

from saliency_cli.subject import Better, Measured, Measurement, Need, Subject, flatten

__all__ = ["Elasticity"]


@dataclass(frozen=True)
class Elasticity:
    """‖x‖₂ ‖g‖₂ / (|s| + ε)."""

    epsilon: Annotated[float, Meta(ge=0, le=1, description="what is added to |s|, against division by zero")] = 1e-8

    better: ClassVar[Better] = "lower"
    lowest: ClassVar[float] = 0.0
    highest: ClassVar[float] = float("inf")
    unit: ClassVar[str] = ""
    needs: ClassVar[frozenset[Need]] = frozenset()
    cost: ClassVar[str] = "1 gradient, shared with the map"

    def measure(self, subject: Subject) -> Measurement:
        """Ask for value and gradient at the sample, which are known already."""
        sample = subject.sample
        answer = yield sample.itself()
        divisor = abs(float(answer.values[0])) + self.epsilon
        if not divisor:
            return Measured(np.nan, "the target is zero")
        size = np.linalg.norm(flatten(sample.inputs, sample.floating))
        slope = np.linalg.norm(flatten(answer.gradients, sample.floating))
        return Measured(float(size * slope) / divisor)
