"""The map alone, as 8-bit indices into a colour map."""

import numpy as np

from saliency_cli.differentiable import Array
from saliency_cli.rendering.placement import onto_original
from saliency_cli.rendering.planes import Planes, fold, geometry_of
from saliency_cli.rendering.view import View

SHORTEST = 128
LONGEST = 2048
TILES_PER_ROW = 8
STRIP_ROW = 32
STRIP_WIDTH = 512


def index_map(view: View) -> Array:
    """Return the colour indices of the folded, clipped and normalised map, uint8 `(height, width)`.

    Signed maps have 0 at index 128 (values just below at 127), the others at 0. With an original
    picture the map is brought onto it, pixel by pixel, and what the model never saw is 0. Without one a small
    map is enlarged by a whole factor until its shorter side has 128 pixels; the rows of signals and
    tables become strips. With `reduce="none"` the channels' maps lie side by side, eight to a row, on
    one common scale.

    Raises:
        ValueError: a value is not finite, or the shapes don't fit together (`planes.fold`).
    """
    return index_planes(view, fold(view))


def index_planes(view: View, planes: Planes) -> Array:
    """Return `index_map(view)` from its maps folded before."""
    unit = planes.unit()
    if view.layout != "picture":
        return _enlarged(_indices(unit[0]), *_strip_factors(view, unit.shape[1:]))
    geometry = geometry_of(view)
    if geometry is None:
        factor = picture_factor(unit.shape[1], unit.shape[2])
        return tiled([_enlarged(_indices(one), factor, factor) for one in unit], 128 * planes.signed)
    zero = 0.5 if planes.signed else 0.0
    maps = [_indices(onto_original(one - zero, geometry) + np.float32(zero)) for one in unit]
    return tiled(maps, 128 * planes.signed)


def tiled(pictures: list[Array], fill: int = 0) -> Array:
    """Lay equally large pictures side by side, eight to a row, the last row filled up."""
    if len(pictures) == 1:
        return pictures[0]
    columns = min(len(pictures), TILES_PER_ROW)
    missing = -len(pictures) % columns
    pictures = [*pictures, *[np.full_like(pictures[0], fill)] * missing]
    rows = [np.hstack(pictures[start : start + columns]) for start in range(0, len(pictures), columns)]
    return np.vstack(rows)


def tiled_size(view: View) -> tuple[int, int]:
    """Return height and width of `index_map(view)` of a picture with an original, without drawing it.

    Raises:
        ValueError: the view has no original.
    """
    if view.original is None:
        raise ValueError("a view without an original")
    height, width = view.original.shape[:2]
    split = view.channels is not None and view.style.reduce == "none"
    tiles = view.values.shape[view.channels] if split and view.channels is not None else 1
    return height * -(-tiles // TILES_PER_ROW), width * min(tiles, TILES_PER_ROW)


def picture_factor(height: int, width: int) -> int:
    """Return the whole factor that enlarges a picture to 128 pixels or more, its longer side to 2048 at most."""
    return max(1, min(-(-SHORTEST // min(height, width)), LONGEST // max(height, width)))


def _indices(unit: Array) -> Array:
    # 255·u + ½, cut off, puts the half of a signed zero exactly at 128 and keeps ±v equally far from it.
    return (unit * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def _enlarged(indices: Array, down: int, across: int) -> Array:
    return indices.repeat(down, axis=0).repeat(across, axis=1)


def _strip_factors(view: View, shape: tuple[int, ...]) -> tuple[int, int]:
    rows, columns = shape
    if view.layout == "array" and rows > 1:
        factor = picture_factor(rows, columns)
        return factor, factor
    return max(1, STRIP_ROW * 2 // rows), max(1, STRIP_WIDTH // columns)
