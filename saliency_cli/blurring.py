"""Gaussian blur of any array along any axes, edges reflected: the baseline `blur`, and the path of Blur IG."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Blurs:
    """All the blurs of one array: its spectrum is taken once, so each further σ costs one inverse transform.

    The kernel is a Gaussian sampled at whole numbers, cut at 4σ, of sum 1. An edge is reflected with its
    outermost value repeated (d c b a | a b c d | d c b a), as often as the kernel reaches.
    """

    def __init__(self, values: NDArray[np.floating], axes: Sequence[int]) -> None:
        self._axes = tuple(axes)
        self._shape = values.shape
        mirrored = np.asarray(values, np.float64)
        # An array beside its mirror image is periodic as it stands, so no padding depends on σ.
        for axis in self._axes:
            mirrored = np.concatenate([mirrored, np.flip(mirrored, axis)], axis)
        self._values = np.asarray(values, np.float64)
        self._spectrum = np.fft.rfftn(mirrored, axes=self._axes) if self._axes else mirrored

    def __call__(self, sigma: float) -> Array:
        """Return the array blurred with σ in values (pixels, steps), float64."""
        if not self._axes or sigma <= 0:
            return self._values.copy()
        spectrum = self._spectrum
        for axis in self._axes:
            along = [-1 if other == axis else 1 for other in range(spectrum.ndim)]
            response = _response(self._shape[axis], sigma)[: spectrum.shape[axis]]
            spectrum = spectrum * response.reshape(along)
        whole = [2 * self._shape[axis] for axis in self._axes]
        blurred = np.fft.irfftn(spectrum, whole, axes=self._axes)
        return np.ascontiguousarray(blurred[tuple(slice(size) for size in self._shape)])


def blur(values: NDArray[np.floating], axes: Sequence[int], sigma: float) -> Array:
    """Return one blur of an array, float64."""
    return Blurs(values, axes)(sigma)


def _response(n: int, sigma: float) -> Array:
    """Return what the kernel makes of each frequency of a mirrored axis of `n` values: real, `(2n,)`."""
    radius = int(np.ceil(4 * sigma))
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    folded = np.bincount(offsets % (2 * n), weights=kernel / kernel.sum(), minlength=2 * n)
    return np.asarray(np.fft.fft(folded).real)
