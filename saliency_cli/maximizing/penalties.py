"""What is taken off a target so that its input stays plain: differences of neighbours, distance from a start.

Both are means over the values `u` in 0…1, so a weight means the same at every size; both give their gradient too.
"""

from collections.abc import Sequence

import numpy as np

from saliency_cli.differentiable import Array

# A difference of neighbours this large, a step of 8 bits, is where the square turns into the absolute value.
_SMOOTH = 1 / 255


def total_variation(u: Array, places: Sequence[int]) -> tuple[float, Array]:
    """Return the mean over places and channels of `√(Σ_a d_a² + ε²) − ε`, and its gradient.

    `d_a` is the difference to the next value along the axis `a` of `places`, 0 at the end; ε = 1/255 (Rudin, Osher,
    Fatemi 1992, Nonlinear total variation, smoothed at zero).
    """
    differences = [np.diff(u, axis=axis, append=np.take(u, [-1], axis)) for axis in places]
    length = np.sqrt(sum((np.square(d) for d in differences), start=np.full(u.shape, _SMOOTH**2)))
    gradient = np.zeros(u.shape)
    for axis, difference in zip(places, differences, strict=True):
        pull = difference / length
        gradient -= pull
        # The last difference is 0, so nothing is carried from the end to the beginning.
        gradient += np.roll(pull, 1, axis)
    return float(np.mean(length - _SMOOTH)), gradient / max(u.size, 1)


def squared_distance(u: Array, start: Array | float) -> tuple[float, Array]:
    """Return the mean of `(u − start)²` and its gradient."""
    away = u - start
    return float(np.mean(np.square(away))), 2 * away / max(u.size, 1)
