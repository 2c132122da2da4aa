"""Maps of one picture beside each other on one scale, each with its text: drawn by Pillow alone, which is quick."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from saliency_cli.arrays import clip_limit
from saliency_cli.differentiable import Array
from saliency_cli.rendering.colormaps import colormap
from saliency_cli.rendering.figures import number_text
from saliency_cli.rendering.planes import Planes, fold
from saliency_cli.rendering.view import View
from saliency_cli.reports.lettering import cut, font, wrap

_SIDE, _GAP, _LINE = 168, 10, 17
_COLUMNS = 6
_NARROWEST = 76  # of a tile with a title, such as `10: −0.0123`
_BAR, _SCALE = 14, 104
_INK, _GREY = "#1b1b1f", "#555555"


def tiles(views: Sequence[View], titles: Sequence[str], caption: str) -> Array:
    """Draw maps of pictures as tiles on one common scale with a colour bar, uint8 `(height, width, 3)`.

    Maps longer than 168 pixels are pooled by area, shorter ones enlarged by a whole factor.

    Raises:
        ValueError: a value is not finite, or the maps differ in size.
    """
    style = views[0].style
    folded = [fold(view) for view in views]
    maps = np.stack([_at_most(planes.maps[0], _SIDE) for planes in folded])
    limit = clip_limit(maps, style.clip_percentile)
    planes = Planes(maps, folded[0].signed, limit, bool(np.abs(maps).max(initial=0) > limit))
    factor = max(1, _SIDE // max(maps.shape[1:]))
    table = colormap(style.colormap, signed=planes.signed)
    columns = min(_COLUMNS, len(views) if len(views) < _COLUMNS else math.ceil(math.sqrt(len(views) * 1.4)))
    rows = -(-len(views) // columns)
    height, width = (side * factor for side in maps.shape[1:])
    line = _LINE if any(titles) else 0
    cell = max(width, _NARROWEST if line else 0)
    across = columns * (cell + _GAP) + _GAP + _BAR + _SCALE
    unit = wrap(views[0].unit, font(11), across - 2 * _GAP) if views[0].unit else []
    heading = wrap(caption, font(13), across - 2 * _GAP)
    above = _GAP + 18 * len(heading)
    down = above + rows * (height + line + _GAP) + _LINE * len(unit)
    page = Image.new("RGB", (across, down), "white")
    pen = ImageDraw.Draw(page)
    for position, text in enumerate(heading):
        pen.text((_GAP, 6 + 18 * position), text, _INK, font(13))
    for position, (plane, title) in enumerate(zip(planes.unit(), titles, strict=True)):
        left = _GAP + position % columns * (cell + _GAP)
        top = above + position // columns * (height + line + _GAP)
        pen.text((left, top), cut(title, font(12), cell), _INK, font(12))
        pixels = table[(plane * 255 + 0.5).astype(np.uint8)].repeat(factor, axis=0).repeat(factor, axis=1)
        page.paste(Image.fromarray(pixels), (left, top + line))
    _colour_bar(page, planes, table, (across - _SCALE - _BAR, above + line), height)
    for position, text in enumerate(unit):
        left = across - _GAP - font(11).getlength(text)
        pen.text((left, down - _LINE * (len(unit) - position) - 2), text, _GREY, font(11))
    return np.asarray(page)


def _at_most(plane: Array, most: int) -> Array:
    """Return a map pooled by area so that no side is longer than `most`, float32."""
    rows, columns = plane.shape
    scale = most / max(rows, columns)
    image = Image.fromarray(np.ascontiguousarray(plane, np.float32))
    if scale < 1:
        image = image.resize((max(1, round(columns * scale)), max(1, round(rows * scale))), Image.Resampling.BOX)
    return np.asarray(image)


def _colour_bar(page: Image.Image, planes: Planes, table: Array, corner: tuple[int, int], height: int) -> None:
    """Draw which colour is which value; of values beyond the ends `≥` and `≤` say so."""
    left, top = corner
    ramp = table[np.linspace(255, 0, height).astype(np.uint8)][:, None].repeat(_BAR, axis=1)
    page.paste(Image.fromarray(ramp), (left, top))
    pen = ImageDraw.Draw(page)
    more, less = ("≥ ", "≤ ") if planes.clipped else ("", "")
    low = -planes.limit if planes.signed else 0.0
    beyond = less if planes.signed else ""
    marks = [(0.0, f"{more}{number_text(planes.limit)}"), (1.0, f"{beyond}{number_text(low)}")]
    marks += [(0.5, number_text((planes.limit + low) / 2))] if planes.limit else []
    for share, text in marks:
        pen.text((left + _BAR + 6, top + share * (height - 1) - 7), text, _INK, font(11))
