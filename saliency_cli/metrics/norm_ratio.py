"""How many times larger the map is than its reference.

Definition
    ‖Φ‖₂ / ‖Ψ‖₂ over every value of every differentiated input, Ψ the reference's signed map. For the method
    `gradient` it is the ratio of both models' sensitivity.

When it misleads
    It grows with the scale of the logits, so it compares versions of one model, explained by one method. In a
    trial, harmless changes of a model had 0.9 to 1.1, a network that was never trained 0.007.

Source
    Novak et al. 2018, Sensitivity and Generalization in Neural Networks, arXiv:1802.08760.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from saliency_cli.metrics.cosine import both
from saliency_cli.subject import Better, Measurement, Need, Subject, plain

__all__ = ["NormRatio"]


@dataclass(frozen=True)
class NormRatio:
    """Ratio of two maps' sizes."""

    better: ClassVar[Better] = "neither"
    lowest: ClassVar[float] = 0.0
    highest: ClassVar[float] = float("inf")
    unit: ClassVar[str] = ""
    needs: ClassVar[frozenset[Need]] = frozenset({"map", "reference", "reference-attribution"})
    cost: ClassVar[str] = "nothing beside the map"

    def measure(self, subject: Subject) -> Measurement:
        """Divide the map's size by the other's."""
        (a, b), reason = both(subject)
        size = float(np.linalg.norm(b))
        if reason or not size > 0:
            return plain(np.nan, reason or "the other map is zero everywhere")
        return plain(float(np.linalg.norm(a)) / size)
