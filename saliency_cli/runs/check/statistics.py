"""Many inputs' values become one, and how far chance alone could have moved it.

An infinity is a value ("nothing was found up to the bound"), so it takes part: a median of it and of a
number is infinite. NaN is no value and makes every aggregate NaN.
"""

from collections.abc import Callable

import numpy as np

from saliency_cli.differentiable import Array
from saliency_cli.runs.check.policy import Aggregate

RESAMPLES = 1000
COVERAGE = 0.95
_AT_ONCE = 4_000_000
_SHARES: dict[Aggregate, float] = {"p05": 0.05, "median": 0.5, "p95": 0.95, "min": 0.0, "max": 1.0}


def aggregated(values: Array, aggregate: Aggregate) -> Array:
    """Return the aggregate along the last axis, float64; `each` has none. Percentiles are interpolated."""
    values = np.asarray(values, np.float64)
    if aggregate == "mean":
        with np.errstate(invalid="ignore"):  # ∞ − ∞ is NaN, and says so
            return np.asarray(values.mean(axis=-1))
    return quantile(values, _SHARES[aggregate])


def quantile(values: Array, share: float) -> Array:
    """Return a quantile along the last axis. NumPy's own gives NaN between two infinities."""
    ordered = np.sort(values, axis=-1)  # NaN comes last
    position = share * (ordered.shape[-1] - 1)
    below = int(np.floor(position))
    part = position - below
    low, high = ordered[..., below], ordered[..., min(below + 1, ordered.shape[-1] - 1)]
    if part == 0:
        found = low
    else:
        with np.errstate(invalid="ignore"):
            found = np.where(low == high, low, low + part * (high - low))
            found = np.where(np.isneginf(low) & (high < np.inf), low, found)
    return np.asarray(np.where(np.isnan(ordered[..., -1]), np.nan, found))


def interval(count: int, statistic: Callable[[Array], Array], seed: int = 0) -> tuple[float, float] | None:
    """Return the bootstrap's 95 % percentile interval of a statistic; None for fewer than two inputs.

    `statistic` gets indices of inputs, `(resamples, count)`, drawn with replacement, and returns a value for
    each row: so that what belongs to one input (its value, its baseline's) stays together.
    """
    if count < 2:
        return None
    generator = np.random.default_rng(seed)
    # Many inputs are resampled a part at a time: a thousand times a hundred thousand indices are 800 MB.
    rows = max(1, _AT_ONCE // count)
    found = np.concatenate(
        [
            statistic(generator.integers(0, count, (min(rows, RESAMPLES - start), count)))
            for start in range(0, RESAMPLES, rows)
        ]
    )
    if np.isnan(found).any():
        return None
    tail = (1 - COVERAGE) / 2
    return float(quantile(found, tail)), float(quantile(found, 1 - tail))
