"""The valid range of an input: from 0…1 to the values a model takes, and gradients the other way."""

from dataclasses import dataclass

import numpy as np

from saliency_cli.differentiable import Array


@dataclass(frozen=True, eq=False)
class Range:
    """`x = low + (high − low) · u` for every value, with `u` in 0…1.

    `low` and `high` are what the least and the greatest valid value of a file become in the model's units, of the
    input's shape. `flipped` is the axis along which the model's colours lie the other way round than a file's;
    `u` lies as in a file.
    """

    low: Array
    high: Array
    flipped: int | None = None

    def inside(self, u: Array) -> Array:
        """Return the model's input, float64."""
        return np.asarray(self.low + np.subtract(self.high, self.low, dtype=np.float64) * self._turned(u))

    def share(self, x: Array) -> Array:
        """Return where an input lies within the range, float64: 0 at `low`, 1 at `high`, cut off beyond."""
        span = np.subtract(self.high, self.low, dtype=np.float64)
        return np.clip(self._turned((np.asarray(x, np.float64) - self.low) / np.where(span == 0, 1, span)), 0, 1)

    def pulled(self, gradient: Array) -> Array:
        """Return the gradient by `u` of what has this gradient by the model's input."""
        return self._turned(np.subtract(self.high, self.low, dtype=np.float64) * gradient)

    def _turned(self, values: Array) -> Array:
        return values if self.flipped is None else np.flip(values, self.flipped)
