"""How much the target's value differs from the reference's.

Definition
    |s − t| with s the target's value here and t the reference's, in the space of the run (logit, probability
    or loss).

When it misleads
    A logit's offset means nothing: two models that agree in every probability may differ in it. Ask for
    `--space probability` to compare across trainings.

Source
    No paper is needed for it; as a measure of drift: Milani Fard et al. 2016, Launch and Iterate: Reducing
    Prediction Churn, Advances in Neural Information Processing Systems 29.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from saliency_cli.subject import Better, Measurement, Need, Subject, plain

__all__ = ["ValueChange"]


@dataclass(frozen=True)
class ValueChange:
    """Change of the target's value."""

    better: ClassVar[Better] = "lower"
    lowest: ClassVar[float] = 0.0
    highest: ClassVar[float] = float("inf")
    unit: ClassVar[str] = "target"
    needs: ClassVar[frozenset[Need]] = frozenset({"reference"})
    cost: ClassVar[str] = "nothing beside the map"

    def measure(self, subject: Subject) -> Measurement:
        """Subtract the values."""
        assert subject.reference is not None
        change = abs(subject.value - subject.reference.value)
        return plain(change, "" if np.isfinite(change) else "the target's value is not known of both")
