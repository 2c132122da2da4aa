"""Many small maps as one grey PNG, so that a pull request shows what has changed.

A tile holds the square root of the map over its own largest value, in 256 steps: a map's many small values
are then told apart as well as its few large ones (a step is 0.4 % of the largest at most, 0.0015 % at least).
"""

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from saliency_cli.differentiable import Array
from saliency_cli.errors import UsageError

COLUMNS = 16
MOST = 20_000  # above this Pillow takes the picture for an attack
_STEPS = 255


@dataclass(frozen=True)
class Tiles:
    """How the tiles lie: row by row, `columns` in each, every one of `height` × `width`."""

    columns: int
    height: int
    width: int


def encode(planes: Sequence[Array]) -> tuple[bytes, Tiles]:
    """Return the PNG of maps that are nowhere negative, and how they lie in it."""
    if len(planes) > MOST:
        raise UsageError(f"a baseline keeps at most {MOST:,} inputs, and there are {len(planes):,}", hint="use fewer")
    flat = [_flat(plane) for plane in planes]
    height, width = (max(plane.shape[axis] for plane in flat) for axis in (0, 1))
    rows = -(-len(flat) // COLUMNS)
    sheet = np.zeros((rows * height, COLUMNS * width), np.uint8)
    for place, plane in enumerate(flat):
        top, left = place // COLUMNS * height, place % COLUMNS * width
        largest = plane.max(initial=0.0)
        if largest > 0:
            steps = np.rint(np.sqrt(plane / largest) * _STEPS)
            sheet[top : top + plane.shape[0], left : left + plane.shape[1]] = steps
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "PNG", optimize=True)
    return buffer.getvalue(), Tiles(COLUMNS, height, width)


def decode(data: bytes, tiles: Tiles, shapes: Sequence[tuple[int, ...]], largest: Sequence[float]) -> list[Array]:
    """Return the maps, float64. Raises `UsageError` where the picture isn't the one that was written."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            sheet = np.asarray(Image.open(io.BytesIO(data)).convert("L"), np.float64)
    except (OSError, ValueError, SyntaxError, Warning, Image.DecompressionBombError) as error:
        raise UsageError(f"the baseline's maps can't be read: {error}", reason="bad-baseline") from None
    found = []
    for place, (shape, most) in enumerate(zip(shapes, largest, strict=True)):
        rows, columns = _flat_shape(shape)
        top, left = place // tiles.columns * tiles.height, place % tiles.columns * tiles.width
        tile = sheet[top : top + rows, left : left + columns]
        if tile.shape != (rows, columns):
            raise UsageError("the baseline's maps are fewer than its inputs", reason="bad-baseline")
        found.append(np.square(tile / _STEPS).reshape(shape) * most)
    return found


def _flat(plane: Array) -> Array:
    return np.asarray(plane, np.float64).reshape(_flat_shape(plane.shape))


def _flat_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the rows and columns a map of any number of axes is drawn in."""
    columns = shape[-1] if shape else 1
    return int(np.prod(shape[:-1], dtype=int)), columns
