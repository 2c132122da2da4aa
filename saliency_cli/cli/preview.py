"""A small picture in a terminal: two pixels a cell, as a half block in two colours."""

import os
from typing import Any

_CELLS = 32
_UPPER = "▀"


def preview(pixels: Any, columns: int = _CELLS) -> list[str]:
    """Return the lines of a picture of at most `columns` cells and half as many lines.

    `pixels` is uint8 `(height, width)` or `(height, width, 3)`. In 24-bit colours where COLORTERM tells of them,
    else in the nearest of the 256 that every terminal has.
    """
    from PIL import Image

    image = Image.fromarray(pixels).convert("RGB")
    scale = columns / max(image.size)
    size = max(1, round(image.width * scale)), 2 * max(1, round(image.height * scale / 2))
    shown = image.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST).load()
    assert shown is not None
    lines = []
    for row in range(0, size[1], 2):
        cells = [
            f"\x1b[38;{_colour(shown[column, row])};48;{_colour(shown[column, row + 1])}m{_UPPER}"
            for column in range(size[0])
        ]
        lines.append("".join(cells) + "\x1b[0m")
    return lines


def _colour(pixel: Any) -> str:
    red, green, blue = pixel
    if os.environ.get("COLORTERM") in ("truecolor", "24bit"):
        return f"2;{red};{green};{blue}"
    # The cube of 6×6×6 colours; its steps are 0, 95, 135, 175, 215, 255.
    red, green, blue = (0 if value < 48 else max(1, (value - 35) // 40) for value in pixel)
    return f"5;{16 + 36 * red + 6 * green + blue}"
