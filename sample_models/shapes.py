"""Pictures in which one warm object decides the class and nothing else does.

The true answer to "what does the model look at?" is known here: every picture comes with the mask of its
object. The object is warm (red to yellow), lies above everything, and its outline is its class. Lines, dots,
blobs and halves of objects are cold (green to blue), lie anywhere and say nothing. A picture may hold two objects
of different classes, to ask about the one and then the other.

Everything is a function of the seed: `draw(7, "star")` is the same picture today and tomorrow.
"""

from __future__ import annotations

import colorsys
import itertools
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

CLASSES = ("circle", "square", "triangle", "star")
SIZE = 64

_FINE = 4  # drawn this much larger and averaged down, so that edges are smooth
_GAP = 3.0  # pixels between two objects: their masks never touch
_RADII = {"circle": (9.0, 13.0), "square": (10.0, 14.5), "triangle": (11.5, 16.0), "star": (12.0, 16.0)}

Seed = int | np.random.Generator


@dataclass(frozen=True)
class Picture:
    """One drawn picture with its truth.

    Attributes:
        pixels: The picture, uint8, `(size, size, 3)`.
        classes: The class of each object.
        masks: For each object the pixels it covers at least in part, bool, `(size, size)`.
    """

    pixels: np.ndarray
    classes: tuple[str, ...]
    masks: tuple[np.ndarray, ...]

    @property
    def label(self) -> np.ndarray:
        """What a classifier should answer: the classes present share the probability."""
        present = np.array([name in self.classes for name in CLASSES], np.float32)
        return present / max(1.0, present.sum())


def draw(seed: Seed, kind: str, size: int = SIZE) -> Picture:
    """Draw one object of class `kind`.

    Args:
        seed: A number, or a generator to go on with.
        kind: One of `CLASSES`.
        size: Width and height in pixels.

    Returns:
        The picture and the mask of its object.
    """
    return _compose(np.random.default_rng(seed), (kind,), size)


def draw_two(seed: Seed, first: str, second: str, size: int = SIZE) -> Picture:
    """Draw two objects which do not touch; classes and masks come in the order asked for."""
    return _compose(np.random.default_rng(seed), (first, second), size)


def draw_any(seed: Seed, kinds: tuple[str, ...], size: int = SIZE) -> Picture:
    """Draw any few objects, of one class or several, or none: what a model is trained on."""
    return _compose(np.random.default_rng(seed), kinds, size)


def draw_many(seed: Seed, count: int, objects: tuple[int, ...] = (1,), *, repeat: bool = False) -> list[Picture]:
    """Draw pictures of random classes.

    Args:
        seed: A number, or a generator to go on with.
        count: How many.
        objects: How many objects a picture may hold; one of these is drawn for each picture.
        repeat: Whether one class may come twice in a picture.

    Returns:
        The pictures.
    """
    rng = np.random.default_rng(seed)
    pictures = []
    for _ in range(count):
        chosen = rng.choice(CLASSES, rng.choice(objects), replace=repeat)
        pictures.append(_compose(rng, tuple(str(kind) for kind in chosen), SIZE))
    return pictures


def _compose(rng: np.random.Generator, kinds: tuple[str, ...], size: int) -> Picture:
    canvas = _background(rng, size)
    _distract(rng, canvas, size)
    pixels = np.asarray(canvas.resize((size, size), Image.Resampling.BOX), np.float32)
    masks = []
    for kind, (place, radius) in zip(kinds, _places(rng, kinds, size), strict=True):
        cover = _cover(_outline(rng, kind, place, radius), size)
        colour = _colour(rng, hues=(-25, 52), saturation=(0.7, 1.0), value=(0.75, 1.0))
        shade = rng.uniform(0.85, 1.15, (1, 1, 3)) * (1 + 0.12 * _clouds(rng, size, 5)[..., None])
        pixels = pixels + cover[..., None] * (np.array(colour) * shade - pixels)
        masks.append(cover > 0)
    pixels = pixels + rng.normal(0, 5, pixels.shape)
    return Picture(np.clip(np.rint(pixels), 0, 255).astype(np.uint8), kinds, tuple(masks))


def _places(rng: np.random.Generator, kinds: tuple[str, ...], size: int) -> list[tuple[tuple[float, float], float]]:
    scale = size / SIZE
    while True:
        places = []
        for kind in kinds:
            radius = rng.uniform(*_RADII[kind]) * scale
            # The border is preferred: places drawn evenly would cover the middle most, and a model that knows
            # nothing but to look at the middle would seem to look at the object.
            x, y = radius + rng.beta(0.5, 0.5, 2) * (size - 2 * radius)
            places.append(((float(x), float(y)), float(radius)))
        if all(
            math.dist(here, there) > a + b + _GAP * scale
            for (here, a), (there, b) in itertools.combinations(places, 2)
        ):
            return places


def _outline(
    rng: np.random.Generator, kind: str, place: tuple[float, float], radius: float
) -> list[tuple[float, float]]:
    """Corners of a regular outline, turned by a random angle."""
    spokes = {"circle": 48, "square": 4, "triangle": 3, "star": 10}[kind]
    turn = rng.uniform(0, 2 * math.pi)
    corners = []
    for spoke in range(spokes):
        reach = radius * (0.42 if kind == "star" and spoke % 2 else 1.0)
        angle = turn + 2 * math.pi * spoke / spokes
        corners.append((place[0] + reach * math.cos(angle), place[1] + reach * math.sin(angle)))
    return corners


def _cover(corners: list[tuple[float, float]], size: int) -> np.ndarray:
    """Share of each pixel that lies inside the outline."""
    fine = Image.new("L", (size * _FINE, size * _FINE))
    ImageDraw.Draw(fine).polygon([(x * _FINE, y * _FINE) for x, y in corners], fill=255)
    return np.asarray(fine.resize((size, size), Image.Resampling.BOX), np.float32) / 255


def _colour(
    rng: np.random.Generator,
    hues: tuple[float, float],
    saturation: tuple[float, float],
    value: tuple[float, float],
) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(
        rng.uniform(*hues) / 360 % 1, rng.uniform(*saturation), rng.uniform(*value)
    )
    return round(255 * red), round(255 * green), round(255 * blue)


def _cold(rng: np.random.Generator) -> tuple[int, int, int]:
    return _colour(rng, hues=(110, 255), saturation=(0.25, 0.8), value=(0.3, 0.95))


def _clouds(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """Smooth noise of about unit height with this many cells a side."""
    coarse = Image.fromarray(rng.normal(size=(cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))


def _background(rng: np.random.Generator, size: int) -> Image.Image:
    """A dull texture of clouds, stripes and grain, as large as the fine canvas."""
    base = np.array(_colour(rng, hues=(0, 360), saturation=(0.0, 0.25), value=(0.3, 0.75)), np.float32)
    y, x = np.mgrid[:size, :size]
    angle, period = rng.uniform(0, math.pi), rng.uniform(4, 16)
    stripes = np.sin(2 * math.pi * (x * math.cos(angle) + y * math.sin(angle)) / period + rng.uniform(0, 2 * math.pi))
    grey = 16 * _clouds(rng, size, 4) + 10 * _clouds(rng, size, 12) + rng.uniform(0, 16) * stripes
    grain = rng.normal(0, rng.uniform(2, 9), (size, size, 3))
    texture = np.clip(base + grey[..., None] + grain, 0, 255).astype(np.uint8)
    return Image.fromarray(texture).resize((size * _FINE, size * _FINE), Image.Resampling.NEAREST)


def _distract(rng: np.random.Generator, canvas: Image.Image, size: int) -> None:
    """Draw what must not matter: lines, dots, blobs and halves of objects, all cold."""
    pen = ImageDraw.Draw(canvas)
    side = size * _FINE
    for _ in range(rng.integers(1, 4)):
        ends = [float(end) for end in rng.uniform(0, side, 4)]
        pen.line(ends, fill=_cold(rng), width=int(rng.integers(1, 3)) * _FINE)
    for _ in range(rng.integers(2, 7)):
        _ellipse(pen, rng.uniform(0, side, 2), rng.uniform(1, 2.2, 1).repeat(2) * _FINE, _cold(rng))
    for _ in range(rng.integers(0, 3)):
        _ellipse(pen, rng.uniform(0, side, 2), rng.uniform(3, 8, 2) * _FINE, _cold(rng))
    for _ in range(rng.integers(0, 3)):
        _half(rng, pen, side)


def _ellipse(pen: ImageDraw.ImageDraw, place: np.ndarray, reach: np.ndarray, colour: tuple[int, int, int]) -> None:
    pen.ellipse([float(v) for v in (*(place - reach), *(place + reach))], fill=colour)


def _half(rng: np.random.Generator, pen: ImageDraw.ImageDraw, side: int) -> None:
    """Half the corners of an object, closed by a straight cut."""
    kind = CLASSES[rng.integers(len(CLASSES))]
    x, y = rng.uniform(0, side, 2)
    corners = _outline(rng, kind, (float(x), float(y)), rng.uniform(*_RADII[kind]) * _FINE)
    pen.polygon(corners[: len(corners) // 2 + 1], fill=_cold(rng))
