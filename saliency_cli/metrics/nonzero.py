"""Whether the map has any value but zero.

Definition
    1 if Σᵢ |φᵢ| > 0 over every value of the map, of all differentiated inputs, else 0.

When it misleads
    A dead network, a saturated probability and an input that plays no part all give 0; a map of rounding errors
    gives 1. The run's flags tell the causes apart.

Source
    No paper. Why gradients vanish: Sundararajan, Taly, Yan 2017, Axiomatic Attribution for Deep Networks,
    arXiv:1703.01365.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from saliency_cli.subject import Better, Measurement, Need, Subject, plain

__all__ = ["Nonzero"]


@dataclass(frozen=True)
class Nonzero:
    """1 for a map with any value but zero, else 0."""

    better: ClassVar[Better] = "higher"
    lowest: ClassVar[float] = 0.0
    highest: ClassVar[float] = 1.0
    unit: ClassVar[str] = ""
    needs: ClassVar[frozenset[Need]] = frozenset({"map"})
    cost: ClassVar[str] = "nothing beside the map"

    def measure(self, subject: Subject) -> Measurement:
        """Look for a value."""
        return plain(bool(np.any(np.abs(subject.flat()) > 0)))
