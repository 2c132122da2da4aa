"""What `maximize` writes: the input that was made, the way there as an animation, and a sheet of several."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageDraw

from saliency_cli.differentiable import Array
from saliency_cli.records import InputSpec
from saliency_cli.rendering.encoding import encode_picture
from saliency_cli.reports.lettering import cut, font
from saliency_cli.runs.feeding import Part
from saliency_cli.runs.study import File
from saliency_cli.studies.maximize_canvases import is_picture
from saliency_cli.studies.maximize_starts import Limits
from saliency_cli.studies.remade import pixels

Animation = Literal["gif", "apng", "webp"]

_MILLISECONDS, _LAST = 120, 1500
_ANIMATED_SIDE = 256
_CELL, _GAP, _LINE = 128, 12, 20


@dataclass(frozen=True, eq=False)
class Frame:
    """The picture after `step` steps, uint8 `(height, width[, 3])`, and the target's value there."""

    step: int
    value: float
    pixels: Array | None


def scaled(u: Array, limits: Limits) -> Array:
    """Return values of 0…1 as those of a file, float64."""
    low, high = limits
    return np.asarray(low + np.subtract(high, low) * u)


def encoded(u: Array, part: Part, spec: InputSpec, limits: Limits, metadata: Mapping[str, Any]) -> File:
    """Return an input as a file: a picture of 8 bits as PNG, anything else as the array it is, in file units."""
    if is_picture(part):
        return File(".png", encode_picture(pixels(scaled(u, limits), spec), "PNG", metadata))
    low, high = limits
    stream = BytesIO()
    # Rounded to float32, an end of the range must not be passed.
    ends = np.asarray(low, np.float32), np.asarray(high, np.float32)
    values = np.clip(np.asarray(scaled(u, limits), np.float32), *ends)
    np.save(stream, values, allow_pickle=False)
    return File(".npy", stream.getvalue())


def animated(frames: Sequence[Array], form: Animation) -> bytes:
    """Return pictures as an animation that stays on the last one for a while and begins again.

    Small pictures are enlarged by a whole factor, pixel by pixel: an animation is for looking at.
    """
    factor = max(1, _ANIMATED_SIDE // max(frames[0].shape[:2]))
    images = [Image.fromarray(np.repeat(np.repeat(frame, factor, 0), factor, 1)) for frame in frames]
    held = [_MILLISECONDS] * (len(images) - 1) + [_LAST]
    stream = BytesIO()
    kind = {"gif": "GIF", "apng": "PNG", "webp": "WEBP"}[form]
    extra: dict[str, Any] = {"lossless": True} if form == "webp" else {}
    images[0].save(stream, kind, save_all=True, append_images=images[1:], duration=held, loop=0, **extra)
    return stream.getvalue()


def sheet(tiles: Sequence[tuple[str, Array]], metadata: Mapping[str, Any]) -> bytes:
    """Return pictures side by side, each with its text below, as a PNG about as wide as high."""
    columns = max(1, int(np.ceil(np.sqrt(len(tiles)))))
    rows = -(-len(tiles) // columns)
    page = Image.new("RGB", (columns * (_CELL + _GAP) + _GAP, rows * (_CELL + _LINE + _GAP) + _GAP), "#ffffff")
    pen = ImageDraw.Draw(page)
    for position, (text, shown) in enumerate(tiles):
        left = _GAP + position % columns * (_CELL + _GAP)
        top = _GAP + position // columns * (_CELL + _LINE + _GAP)
        image = Image.fromarray(shown)
        scale = _CELL / max(image.size)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        smooth = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST
        small = image.convert("RGB").resize(size, smooth)
        page.paste(small, (left + (_CELL - small.width) // 2, top + (_CELL - small.height) // 2))
        pen.text((left, top + _CELL + 2), cut(text, font(12), _CELL), "#1b1b1f", font(12))
    return encode_picture(np.asarray(page), "PNG", metadata)
