"""A matrix as a picture with axes, and pictures below each other."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from saliency_cli.arrays import clip_limit, pooled
from saliency_cli.differentiable import Array
from saliency_cli.rendering.colorbar import add_colour_bar
from saliency_cli.rendering.colormaps import colormap
from saliency_cli.rendering.figures import drawn
from saliency_cli.rendering.planes import Planes
from saliency_cli.rendering.view import Style, View

_LONGEST = 24
_NAMED_ROWS, _NAMED_COLUMNS = 48, 40
_MOST_ROWS, _MOST_COLUMNS = 512, 1024


def matrix(
    values: Array,
    row_names: Sequence[str],
    column_names: Sequence[str],
    axes: tuple[str, str],
    caption: str,
    unit: str,
) -> Array:
    """Draw a matrix, its zero in the middle of the colours, uint8 `(height, width, 3)`.

    One of more than 512 rows or 1,024 columns is drawn as means of |v| over cells, and the caption says so. Rows and
    columns are named where there are few. `axes` says what rows and columns are.
    """
    shown, note = values, ""
    if values.shape[0] > _MOST_ROWS or values.shape[1] > _MOST_COLUMNS:
        cells = min(_MOST_ROWS, values.shape[0]), min(_MOST_COLUMNS, values.shape[1])
        shown = _cells(values, *cells)
        note = f"mean |v| over cells of a matrix of {values.shape[0]} × {values.shape[1]}"
    signed = not note
    limit = clip_limit(shown, 99.5)
    planes = Planes(shown[None], signed, limit, bool(np.abs(shown).max(initial=0) > limit))
    pixels = colormap(None, signed=signed)[(planes.unit()[0] * 255 + 0.5).astype(np.uint8)]
    view = View(shown, "array", signed, Style(), unit=unit)
    width = min(9.0, max(3.5, 0.28 * shown.shape[1]))
    height = min(7.0, max(0.8, 0.24 * shown.shape[0]))
    named = column_names if len(column_names) <= _NAMED_COLUMNS else ()
    below = 0.075 * max((len(_short(name)) for name in named), default=0)

    def build(figure: Any) -> None:
        axis = figure.subplots()
        extent = (-0.5, values.shape[1] - 0.5, values.shape[0] - 0.5, -0.5)
        axis.imshow(pixels, extent=extent, aspect="auto", interpolation="nearest")
        axis.locator_params(integer=True)
        if row_names and len(row_names) <= _NAMED_ROWS:
            axis.set_yticks(range(len(row_names)), [_short(name) for name in row_names])
        if named:
            axis.set_xticks(range(len(named)), [_short(name) for name in named], rotation=60, ha="right")
        axis.tick_params(length=2)
        axis.set_ylabel(axes[0])
        axis.set_xlabel(axes[1])
        add_colour_bar(figure, [axis], view, planes)

    return drawn(build, width + 1.8, height + 0.7 + below, " · ".join(text for text in (caption, note) if text))


def _cells(values: Array, rows: int, columns: int) -> Array:
    """Return means of |v| over cells, read a band of rows at a time: the matrix may lie on the disk."""
    edges = np.linspace(0, values.shape[0], rows + 1).astype(int)
    bands = (np.abs(values[low:high]).mean(axis=0, dtype=np.float64) for low, high in pairwise(edges))
    return np.stack([pooled(band[None], columns)[0] for band in bands])


def stacked(pictures: Sequence[Array]) -> Array:
    """Put pictures of any widths below each other, white beside the narrow ones."""
    width = max(picture.shape[1] for picture in pictures)
    padding = [((0, 0), (0, width - picture.shape[1]), (0, 0)) for picture in pictures]
    return np.concatenate(
        [np.pad(picture, pad, constant_values=255) for picture, pad in zip(pictures, padding, strict=True)]
    )


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
