"""Planes and pictures as small images of one size."""

import numpy as np
from PIL import Image

from saliency_cli.arrays import clip_limit
from saliency_cli.differentiable import Array
from saliency_cli.rendering.colormaps import colormap

CELL = 128
PERCENTILE = 99.0
_LEAST = 24
HOLE = (170, 170, 170)


def flat(plane: Array) -> Array:
    """Return any plane as two axes: a signal is one row, of more axes the leading ones are averaged."""
    if plane.ndim > 2:
        plane = np.abs(plane).mean(axis=tuple(range(plane.ndim - 2)))
    return np.atleast_2d(np.asarray(plane, np.float64))


def scale(*planes: Array) -> float:
    """Return the |value| that gets the strongest colour in all of them: the 99th percentile, 0 for none."""
    together = np.concatenate([plane.reshape(-1) for plane in planes])
    return clip_limit(together[np.isfinite(together)], PERCENTILE) if np.isfinite(together).any() else 0.0


def coloured(plane: Array, limit: float, *, signed: bool) -> Image.Image:
    """Return a plane in the colours of a map that goes up to `limit`, what is not finite in grey."""
    holes = ~np.isfinite(plane)
    share = np.clip(np.where(holes, 0.0, plane) / (limit or 1.0), -1, 1)
    index = np.rint(127.5 + 127.5 * share if signed else 255 * np.abs(share)).astype(np.uint8)
    colours = colormap(None, signed=signed)[index]
    colours[holes] = HOLE
    return fitted(Image.fromarray(colours))


def fitted(image: Image.Image) -> Image.Image:
    """Return an image as large as fits a cell, its places as squares where it is small."""
    width, height = image.size
    factor = CELL / max(width, height)
    size = max(round(width * factor), _LEAST), max(round(height * factor), _LEAST)
    # Pooled maps have at most 64 places a side: smoothing would invent what was not measured.
    small = max(width, height) <= CELL // 2
    return image.resize(size, Image.Resampling.NEAREST if small else Image.Resampling.BICUBIC)
