"""The picture under an overlay."""

import numpy as np

from saliency_cli.differentiable import Array
from saliency_cli.rendering.heatmap import picture_factor
from saliency_cli.rendering.view import View


def backdrop(view: View) -> Array | None:
    """Return the picture a map is drawn on, uint8 `(height, width, 3)`, or None where there is none.

    It is the original, or else the raw sample: taken as it is where its values look like bytes, as shares of
    white in [0, 1], otherwise from its least value to its greatest; three channels are red, green and
    blue, any other number is averaged to grey.
    """
    if view.original is not None:
        return view.original
    if view.raw is None:
        return None
    raw = view.raw if view.channels is None else np.moveaxis(view.raw, view.channels, -1)
    if raw.ndim == 3:
        raw = raw if raw.shape[2] == 3 else raw.mean(axis=2)
    # A missing pixel is a hole in the backdrop; the map over it has been checked on its own.
    levels = _levels(np.nan_to_num(raw.astype(np.float32), posinf=0.0, neginf=0.0))
    colours = levels if levels.ndim == 3 else np.repeat(levels[:, :, None], 3, axis=2)
    factor = picture_factor(*colours.shape[:2])
    return colours.repeat(factor, axis=0).repeat(factor, axis=1)


def _levels(raw: Array) -> Array:
    lowest, highest = float(raw.min()), float(raw.max())
    if lowest >= 0 and highest <= 1:
        scaled = raw * 255
    elif lowest >= 0 and highest <= 255:
        scaled = raw
    else:
        scaled = (raw - lowest) * (255 / (highest - lowest or 1.0))
    return np.asarray(np.rint(scaled), np.uint8)
