"""Share of the map's values that are finite: anything below 1 is broken.

Definition
    Σᵢ 1[φᵢ is neither NaN nor infinite] / n over every value of the map, of all differentiated inputs.

When it misleads
    It says that the arithmetic held, nothing else. A run ends with an error for a map that is not finite, so
    with one the value is 1; maps from elsewhere may have less.

Source
    No paper: IEEE 754-2019, doi:10.1109/IEEESTD.2019.8766229, section 6.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from saliency_cli.subject import Better, Measurement, Need, Subject, plain

__all__ = ["Finite"]


@dataclass(frozen=True)
class Finite:
    """Share of finite values."""

    better: ClassVar[Better] = "higher"
    lowest: ClassVar[float] = 0.0
    highest: ClassVar[float] = 1.0
    unit: ClassVar[str] = "share of values"
    needs: ClassVar[frozenset[Need]] = frozenset({"map"})
    cost: ClassVar[str] = "nothing beside the map"

    def measure(self, subject: Subject) -> Measurement:
        """Count the finite values."""
        return plain(np.isfinite(subject.flat()).mean())
