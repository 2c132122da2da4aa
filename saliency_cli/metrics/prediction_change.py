"""Whether the class on top is another one than in the reference.

Definition
    1 if the class with the highest logit differs from the reference's, else 0; its mean over samples is the
    rate of flips. Ties go to the first class, as everywhere.

When it misleads
    It is context for the other numbers, not a fault: a better model predicts otherwise too. Classes in another
    order are other classes.

Source
    No paper is needed for it; as a measure of drift: Milani Fard et al. 2016, Launch and Iterate: Reducing
    Prediction Churn, Advances in Neural Information Processing Systems 29.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from saliency_cli.subject import Better, Measurement, Need, Subject, plain

__all__ = ["PredictionChange"]


@dataclass(frozen=True)
class PredictionChange:
    """1 where the class on top is another one, else 0."""

    better: ClassVar[Better] = "lower"
    lowest: ClassVar[float] = 0.0
    highest: ClassVar[float] = 1.0
    unit: ClassVar[str] = ""
    needs: ClassVar[frozenset[Need]] = frozenset({"reference", "classes"})
    cost: ClassVar[str] = "nothing beside the map"

    def measure(self, subject: Subject) -> Measurement:
        """Compare the classes on top."""
        assert subject.reference is not None
        here, there = subject.top, subject.reference.top
        if here < 0 or there < 0:
            return plain(np.nan, "the class on top is not known of both")
        return plain(here != there, f"class {there} became {here}" if here != there else "")
