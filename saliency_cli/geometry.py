"""Where a picture went when it was resized, so that its map can be brought back onto it."""

from dataclasses import dataclass
from typing import Literal

Resize = Literal["fit", "crop", "stretch"]
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Geometry:
    """A region of the original picture and the region of the model's input it became.

    Sizes are (height, width); boxes are (top, left, bottom, right), half open. `stretch` maps the whole
    picture onto the whole input; `fit` the whole picture onto a centred part of the input, the rest
    padded; `crop` a centred part of the picture onto the whole input.
    """

    original: tuple[int, int]
    source: Box
    size: tuple[int, int]
    placed: Box

    @classmethod
    def plan(cls, original: tuple[int, int], size: tuple[int, int], resize: Resize) -> "Geometry":
        """Return the geometry of resizing a picture of `original` (height, width) to `size`."""
        (h, w), (rows, columns) = original, size
        if resize == "fit":
            scale = min(rows / h, columns / w)
            placed = _centred(max(1, round(h * scale)), max(1, round(w * scale)), rows, columns)
            return cls(original, (0, 0, h, w), size, placed)
        if resize == "crop":
            scale = max(rows / h, columns / w)
            source = _centred(min(h, max(1, round(rows / scale))), min(w, max(1, round(columns / scale))), h, w)
            return cls(original, source, size, (0, 0, rows, columns))
        return cls(original, (0, 0, h, w), size, (0, 0, rows, columns))


def _centred(height: int, width: int, in_height: int, in_width: int) -> Box:
    height, width = min(height, in_height), min(width, in_width)
    top, left = (in_height - height) // 2, (in_width - width) // 2
    return top, left, top + height, left + width
