"""Cosine between the signed map and its reference, value by value.

Definition
    Φ·Ψ / (‖Φ‖₂ ‖Ψ‖₂) over every value of every differentiated input, channels and signs included: 1 the same
    direction, −1 the opposite one, 0 at right angles.

When it misleads
    Signs mean something only where both targets mean the same: a model with its classes in another order is a
    stranger. Two maps that never have a sign are never below 0.

Source
    No paper defines it for drift; Sixt, Granz, Landgraf 2020, When Explanations Lie, arXiv:1912.09818,
    compare maps so.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from saliency_cli.differentiable import Array
from saliency_cli.subject import Better, Measurement, Need, Subject, flatten, plain

__all__ = ["Cosine"]


@dataclass(frozen=True)
class Cosine:
    """Cosine between two signed maps."""

    better: ClassVar[Better] = "higher"
    lowest: ClassVar[float] = -1.0
    highest: ClassVar[float] = 1.0
    unit: ClassVar[str] = ""
    needs: ClassVar[frozenset[Need]] = frozenset({"map", "reference", "reference-attribution"})
    cost: ClassVar[str] = "nothing beside the map"

    def measure(self, subject: Subject) -> Measurement:
        """Compare the two maps as vectors."""
        pair, reason = both(subject)
        if reason:
            return plain(np.nan, reason)
        a, b = pair
        if np.array_equal(a, b):
            return plain(1.0)
        for values, what in ((a, "the map"), (b, "the other map")):
            if not values.any():
                return plain(np.nan, f"{what} is zero everywhere")
        return plain(np.clip(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)), -1, 1))


def both(subject: Subject) -> tuple[tuple[Array, Array], str]:
    """Return the two signed maps as vectors, or why they can't be compared."""
    assert subject.reference is not None
    mine, other = subject.attribution, subject.reference.attribution
    nothing = np.empty(0), np.empty(0)
    if not other:
        return nothing, "of the other map no signed values were kept"
    shapes = [{name: array.shape for name, array in arrays.items()} for arrays in (mine, other)]
    if shapes[0] != shapes[1]:
        return nothing, "the two maps are of other inputs"
    pair = flatten(mine, subject.sample.floating), flatten(other, subject.sample.floating)
    return pair, "" if all(np.isfinite(values).all() for values in pair) else "a map is not finite"
