"""The worst inputs on one picture: each with its map, the baseline's map and the difference."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from saliency_cli.differentiable import Array
from saliency_cli.rendering.colormaps import colormap
from saliency_cli.rendering.encoding import encode_picture
from saliency_cli.reports.choosing import MOST
from saliency_cli.reports.lettering import cut, font, wrap
from saliency_cli.reports.numerals import number
from saliency_cli.reports.plaintext import one_line
from saliency_cli.reports.thumbnails import CELL, HOLE, coloured, fitted, flat, scale
from saliency_cli.reports.wording import counted, headline, provenance
from saliency_cli.verdicts import CheckRecord

_MARGIN, _GAP, _TEXT = 24, 16, 340
_LINE = 18
_TOP, _LEGEND = 100, 56
_ROW = CELL + _LINE + _GAP
_MOST_LINES = CELL // _LINE
_PAPER, _INK, _GREY, _HAIR, _EMPTY = "#ffffff", "#1b1b1f", "#5c5c66", "#dcdce2", "#f1f1f4"


@dataclass(frozen=True, eq=False)
class Tile:
    """One row of the sheet: `captions` are the rules it breaks, the rest as in `MeasuredItem`."""

    id: str
    captions: Sequence[str] = ()
    picture: Array | None = None
    plane: Array | None = None
    reference: Array | None = None


def draw(record: CheckRecord, tiles: Sequence[Tile], most: int = MOST) -> bytes:
    """Return a check's worst inputs as a PNG of at most `most` rows."""
    tool = record.run.tool
    software = f"{tool.get('name', 'saliency')} {tool.get('version', '')}".strip()
    heading = f"saliency check: {headline(record)}"
    return sheet(heading, " · ".join(provenance(record)), tiles, most, software=software)


def sheet(
    heading: str, told: str, tiles: Sequence[Tile], most: int = MOST, *, before: str = "baseline map", software: str
) -> bytes:
    """Return a PNG of at most `most` rows. Both maps of a row share one scale, so a weaker map is darker.

    `told` stands small under the heading; `before` is what the other map of each row is called.
    """
    shown = tiles[:most]
    compared = any(tile.reference is not None for tile in shown)
    headings = ["input", "map", *([before, "difference"] if compared else [])]
    left = _MARGIN + _TEXT + _GAP
    # The heading and the legend want their room even where there is nothing beside the maps.
    width = left + 4 * (CELL + _GAP) - _GAP + _MARGIN
    page = Image.new("RGB", (width, _TOP + max(len(shown), 1) * _ROW + _LEGEND), _PAPER)
    pen = ImageDraw.Draw(page)
    room = width - 2 * _MARGIN
    pen.text((_MARGIN, 18), cut(heading, font(18, bold=True), room), _INK, font(18, bold=True))
    pen.text((_MARGIN, 48), cut(told, font(12), room), _GREY, font(12))
    for column, word in enumerate(headings):
        pen.text((left + column * (CELL + _GAP), _TOP - 24), word, _GREY, font(12))
    if not shown:
        pen.text((_MARGIN, _TOP + _GAP), "no input to show", _GREY, font(13))
    for number_, tile in enumerate(shown):
        top = _TOP + number_ * _ROW
        pen.line((_MARGIN, top - 4, width - _MARGIN, top - 4), _HAIR)
        _write(pen, (_MARGIN, top + 4), tile)
        for column, (image, below) in enumerate(_cells(tile, compared=compared)):
            _place(page, pen, (left + column * (CELL + _GAP), top + 4), image, below)
    drawn = [plane for tile in shown for plane in (tile.plane, tile.reference) if plane is not None]
    holes = not all(np.isfinite(plane).all() for plane in drawn)
    _legend(page, pen, page.height - _LEGEND + 12, compared=compared, holes=holes)
    if len(tiles) > most:
        pen.text(
            (_MARGIN, page.height - 26), f"{counted(len(tiles) - most, 'more input')} not shown", _GREY, font(12)
        )
    return encode_picture(np.asarray(page), "PNG", {"software": software})


def _write(pen: ImageDraw.ImageDraw, at: tuple[int, int], tile: Tile) -> None:
    lines = [line for caption in tile.captions for line in wrap(one_line(caption), font(12), _TEXT)]
    if len(lines) > _MOST_LINES:
        lines = [*lines[: _MOST_LINES - 1], f"… {len(lines) - _MOST_LINES + 1} more lines"]
    pen.text(at, cut(one_line(tile.id), font(13, bold=True), _TEXT), _INK, font(13, bold=True))
    for row, line in enumerate(lines, 1):
        pen.text((at[0], at[1] + row * _LINE + 2), line, _INK, font(12))


def _cells(tile: Tile, *, compared: bool) -> list[tuple[Image.Image | None, str]]:
    """Return the images of a row and what is written below each."""
    picture = None if tile.picture is None else fitted(Image.fromarray(tile.picture))
    found: list[tuple[Image.Image | None, str]] = [(picture, "" if picture else "no picture")]
    planes = [None if plane is None else flat(plane) for plane in (tile.plane, tile.reference)]
    limit = scale(*there) if (there := [plane for plane in planes if plane is not None]) else 0.0
    for plane, missing in zip(planes if compared else planes[:1], ("no map", "no baseline"), strict=False):
        if plane is None:
            found.append((None, missing))
        else:
            found.append((coloured(plane, limit, signed=False), f"max {_largest(plane)}"))
    current, before = planes
    if compared and current is not None and before is not None and current.shape == before.shape:
        change = current - before
        found.append((coloured(change, limit, signed=True), f"max |Δ| {_largest(change)}"))
    elif compared:
        found.append((None, "" if before is None or current is None else "another size"))
    return found


def _largest(plane: Array) -> str:
    return number(float(np.abs(plane[np.isfinite(plane)]).max(initial=0.0)))


def _place(
    sheet: Image.Image, pen: ImageDraw.ImageDraw, at: tuple[int, int], image: Image.Image | None, below: str
) -> None:
    left, top = at
    if image is None:
        pen.rectangle((left, top, left + CELL - 1, top + CELL - 1), _EMPTY)
    else:
        sheet.paste(image, (left + (CELL - image.width) // 2, top + (CELL - image.height) // 2))
    pen.text((left, top + CELL + 2), cut(below, font(11), CELL), _GREY, font(11))


def _legend(sheet: Image.Image, pen: ImageDraw.ImageDraw, top: int, *, compared: bool, holes: bool) -> None:
    left = _MARGIN + _TEXT + _GAP + CELL + _GAP
    told: list[tuple[bool | None, str, int]] = [(None, "grey: not finite", left - CELL - _GAP)] if holes else []
    told += [(False, "0 … 99th percentile of the row's maps", left)]
    told += [(True, "less … more", left + 2 * (CELL + _GAP))] if compared else []
    for signed, text, at in told:
        table = np.full((256, 3), HOLE, np.uint8) if signed is None else colormap(None, signed=signed)
        bar = Image.fromarray(np.repeat(table[None, ::2], 8, axis=0))
        sheet.paste(bar, (at, top))
        pen.rectangle((at - 1, top - 1, at + bar.width, top + bar.height), outline=_HAIR)
        pen.text((at, top + 12), text, _GREY, font(10))
