"""Gradients cut down to a length or a range, as a training loop does before a step.

With c the limit: `norm` gives each array g on its own g·min(1, c/‖g‖₂), `value` clips every value to [−c, c], and
`global-norm` gives every array g·min(1, c/N), N the norm of all arrays together, so that their direction stays.

Source: Pascanu, Mikolov & Bengio 2013, On the difficulty of training recurrent neural networks, arXiv:1211.5063.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from saliency_cli.differentiable import Array, Arrays
from saliency_cli.errors import UsageError

Kind = Literal["norm", "value", "global-norm"]


class Clipped(NamedTuple):
    """Clipped arrays, of the dtypes they had, and the L2 norm of each by name as it was and as it is."""

    arrays: Mapping[str, Array]
    before: Mapping[str, float]
    after: Mapping[str, float]


@dataclass(frozen=True)
class Clip:
    """One way of clipping. `limit` is above 0, in the units of the arrays."""

    kind: Kind
    limit: float

    def apply(self, arrays: Arrays) -> Clipped:
        """Return the arrays clipped. What is within the limit stays as it is, to the bit."""
        before = {name: norm(array) for name, array in arrays.items()}
        if self.kind == "value":
            clipped = {name: np.clip(array, -self.limit, self.limit) for name, array in arrays.items()}
        else:
            whole = together(before)
            lengths = before if self.kind == "norm" else dict.fromkeys(before, whole)
            clipped = {name: _shortened(array, self.limit, lengths[name]) for name, array in arrays.items()}
        return Clipped(clipped, before, {name: norm(array) for name, array in clipped.items()})

    def describe(self) -> dict[str, float]:
        """Return the way and its limit, for a record."""
        return {self.kind: self.limit}


def clip_of(by_norm: float | None, by_value: float | None, by_global_norm: float | None) -> Clip | None:
    """Return the one way of clipping that was asked for, None for none.

    Raises `UsageError` for several, or a limit that isn't a number above 0.
    """
    asked: dict[Kind, float | None] = {"norm": by_norm, "value": by_value, "global-norm": by_global_norm}
    given = [(kind, limit) for kind, limit in asked.items() if limit is not None]
    if len(given) > 1:
        raise UsageError(
            f"{' and '.join(f'--clip-{kind}' for kind, _ in given)} exclude each other",
            hint="clip in one way",
            reason="bad-option",
        )
    for kind, limit in given:
        if not 0 < limit < float("inf"):
            raise UsageError(f"--clip-{kind} is {limit:g}; it is a number above 0", reason="bad-option")
        return Clip(kind, limit)
    return None


def norm(array: Array) -> float:
    """Return ‖g‖₂, in float64."""
    flat = np.asarray(array, np.float64).reshape(-1)
    return float(np.sqrt(flat @ flat))


def together(norms: Mapping[str, float]) -> float:
    """Return the norm of several arrays together by the norm of each."""
    return float(np.sqrt(sum(length * length for length in norms.values())))


def _shortened(array: Array, limit: float, length: float) -> Array:
    if length <= limit:
        return array
    return (np.asarray(array, np.float64) * (limit / length)).astype(array.dtype)
