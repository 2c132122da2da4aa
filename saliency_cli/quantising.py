"""Values brought onto what a file can hold, whole numbers or float32, without leaving a ball or a range."""

import numpy as np

from saliency_cli.differentiable import Array

_TRIES = 24  # to find the factor that a displacement is rounded with
_FULL = 0.998  # of the squared length is near enough to all of it
_LARGEST = 2.0**20  # of those factors: where every value is at an end of its range, none is too large


def between(values: Array, low: Array, high: Array, *, whole: bool) -> Array:
    """Return the nearest values that a file can hold, none of them below `low` or above `high`, float64."""
    if whole:
        # A whole bound may have become 7.999…: such a step is meant to be allowed.
        return np.asarray(np.clip(np.rint(values), np.ceil(low - 1e-9), np.floor(high + 1e-9)), np.float64)
    return np.clip(values.astype(np.float32), _float32_from(low), _float32_up_to(high)).astype(np.float64)


def within(start: Array, by: Array, ends: tuple[float, float], *, whole: bool) -> Array:
    """Return `start + by` as a file can hold it, float64: in the range of `ends`, and no farther off than ‖by‖₂.

    Whole numbers: `by` is multiplied before it is rounded, by the largest factor that allows. Of all displacements
    by whole steps that are no longer it is the one along which a linear function whose gradient g points along `by`
    grows most: the k-th step of a value is worth |gᵢ|/(2k − 1) for what it adds to the squared length, and to take
    every step worth more than some bound is to round a multiple of g. (Values that tie move together or not at all.)
    """
    if not whole:
        return _single_within(start, by, ends)
    origin, direction = start.astype(np.float32), by.astype(np.float32)
    most = float(np.square(by).sum()) * (1 + 1e-12)

    steps, change = np.empty_like(direction), np.empty(direction.size)

    def round_by(factor: float) -> None:
        np.multiply(direction, np.float32(factor), out=steps)
        np.rint(np.add(steps, origin, out=steps), out=steps)
        np.clip(steps, np.float32(np.ceil(ends[0])), np.float32(np.floor(ends[1])), out=steps)

    def size(factor: float) -> float:
        round_by(factor)
        np.subtract(steps.ravel(), origin.ravel(), out=change)
        return float(np.einsum("i,i", change, change))  # `@` would start threads beside those of the model

    low, high, least, largest = 0.0, 1.0, 0.0, size(1.0)
    while high < _LARGEST and largest <= most:
        low, least = high, largest
        high *= 2
        largest = size(high)
    for _ in range(_TRIES):
        if least >= _FULL * most:
            break
        # Sizes grow with the factor, nearly evenly between two that are close.
        share = (most - least) / max(largest - least, 1e-30)
        middle = low + (high - low) * min(max(share, 0.1), 0.9)
        found = size(middle)
        if found <= most:
            low, least = middle, found
        else:
            high, largest = middle, found
    round_by(low)
    return steps.astype(np.float64)


def _single_within(start: Array, by: Array, ends: tuple[float, float]) -> Array:
    low, high = _float32_from(np.asarray(ends[0])), _float32_up_to(np.asarray(ends[1]))
    most, shorter = float(np.square(by).sum()), 0.0
    while shorter < 1:
        values = np.clip((start + (1 - shorter) * by).astype(np.float32), low, high).astype(np.float64)
        if float(np.square(values - start).sum()) <= most:
            return values
        # A step of float32 may be longer than all of `by`: what is taken off it grows quickly.
        shorter = 4 * shorter or 2.0**-22
    return start


def _float32_from(low: Array) -> Array:
    """Return the least float32 that is no less."""
    found = low.astype(np.float32)
    return np.asarray(np.where(found < low, np.nextafter(found, np.float32(np.inf)), found))


def _float32_up_to(high: Array) -> Array:
    """Return the greatest float32 that is no more."""
    found = high.astype(np.float32)
    return np.asarray(np.where(found > high, np.nextafter(found, np.float32(-np.inf)), found))
