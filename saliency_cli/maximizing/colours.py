"""Colours along axes that vary independently in photographs: a step along one of them is a step in one thing.

Red, green and blue of a photograph are nearly the same; brightness, warm against cold, and green against purple are
nearly uncorrelated (Ohta, Kanade, Sakai 1980, Color Information for Region Segmentation). Each axis is scaled by how
much photographs vary along it, so that noise drawn evenly over the axes has the colours of photographs.
"""

import numpy as np

from saliency_cli.differentiable import Array

_AXES = np.array([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 2.0, -1.0]])
# Standard deviations along the axes in photographs of everyday things, over the first one's.
_SPREADS = np.array([1.0, 0.3, 0.12])
MIXING: Array = (_AXES / np.linalg.norm(_AXES, axis=1, keepdims=True)).T * _SPREADS
"""`(3, 3)`: the columns are the axes, in red, green and blue."""
_UNMIXING = np.linalg.inv(MIXING)


def mixed(values: Array, axis: int) -> Array:
    """Return red, green and blue from coordinates along the axes; both lie along `axis`, of length 3."""
    return _along(MIXING, values, axis)


def mixed_adjoint(values: Array, axis: int) -> Array:
    """Return the adjoint of `mixed`: a gradient by colours becomes one by coordinates."""
    return _along(MIXING.T, values, axis)


def unmixed(values: Array, axis: int) -> Array:
    """Return the coordinates of colours: the inverse of `mixed`."""
    return _along(_UNMIXING, values, axis)


def _along(matrix: Array, values: Array, axis: int) -> Array:
    return np.moveaxis(np.tensordot(matrix, values, (1, axis)), 0, axis)
