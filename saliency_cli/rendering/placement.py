"""A map brought back onto the picture it belongs to."""

import numpy as np
from PIL import Image

from saliency_cli.differentiable import Array
from saliency_cli.geometry import Geometry


def placed_part(values: Array, geometry: Geometry) -> Array:
    """Return the rows and columns (the last two axes) of `values` that the picture became, no padding.

    Raises:
        ValueError: the map is not of the size the geometry speaks of.
    """
    if values.shape[-2:] != geometry.size:
        raise ValueError(f"a map of {values.shape[-2:]} on a geometry of {geometry.size}")
    top, left, bottom, right = geometry.placed
    return values[..., top:bottom, left:right]


def onto_original(part: Array, geometry: Geometry) -> Array:
    """Resize the placed part `(h, w)` of a map bilinearly onto the original picture, float32 `(H, W)`.

    Places of the picture that never entered the model are 0.
    """
    top, left, bottom, right = geometry.source
    image = Image.fromarray(np.ascontiguousarray(part, np.float32))
    resized = np.asarray(image.resize((right - left, bottom - top), Image.Resampling.BILINEAR))
    if resized.shape == geometry.original:
        return resized
    whole = np.zeros(geometry.original, np.float32)
    whole[top:bottom, left:right] = resized
    return whole


def map_to_original(values: Array, geometry: Geometry) -> Array:
    """Bring a map of the model's input size onto the original picture, float32 `(H, W)`.

    The part the picture became is resized bilinearly to the part it came from; elsewhere it is 0.

    Raises:
        ValueError: the map is not of the size the geometry speaks of.
    """
    return onto_original(placed_part(values, geometry), geometry)
