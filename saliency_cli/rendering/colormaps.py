"""Colour maps as 256×3 tables, without matplotlib: strength or signed value to colour."""

import base64
from functools import cache

import numpy as np

from saliency_cli.differentiable import Array
from saliency_cli.errors import UsageError, nearest

SEQUENTIAL = "inferno"
DIVERGING = "blue-red"

# Every eighth entry of matplotlib's tables and the last one, as bytes red, green, blue. Inferno, magma
# and viridis are CC0; interpolated they differ from the originals by at most 2 of 255.
_SAMPLED = {
    "coolwarm": "O0zARFrMTmjYWHXhYoLqbI/xd5r3gqb7jbD+mLn/o8L+rsn8udD5w9X0zNnt1dvl3dzc5djR7NPF8cy49cSs97qf"
    "97CT9qWG9Jh68Itu631i5G5W3V9L1E5Byjs3viQutAQm",
    "inferno": "AAAEBAMSCwckFQs3IQxKLwpbPQllSgxrVxBuZBVucRlufR5tiiJqlydmoyxhsDFbvDdUxz5M0kZE21A75Fox62Yo"
    "8XMd9oAT+Y4J+50H/KwR+7wh+cs19dtM8upp8/aK/P+k",
    "magma": "AAAEAwMSCggiEw00HRFHKRFaNhBrRA92URJ8XRd/ahyBdiGBgyaBkCqBnC5/qjN9tzd5xDx10EFv3Ehp51Jj711e"
    "9Wtc+Xld/Ilh/Zhp/qdy/rZ8/sSI/tOV/eKj/PCy/P2/",
    "viridis": "RAFURw1gSBhqSCN0Ry17RTeBQkCGPkmJO1KLN1uNM2ONL2uOLHKOKXqOJoKOI4mOIZGMH5iLH6CIIqeFKK6AMrZ6"
    "P7xzTsNrXslicM9XhNRLmNg+rdwwwt8j2OIZ7OUb/ecl",
}

# From the strongest negative value to zero, and from zero to the strongest positive one.
_NEGATIVE = ((11, 42, 134), (58, 111, 216), (157, 188, 245), (255, 255, 255))
_POSITIVE = ((255, 255, 255), (248, 179, 156), (214, 69, 58), (125, 10, 30))


def names() -> tuple[str, ...]:
    """Return the names of all colour maps, sorted."""
    return tuple(sorted((*_SAMPLED, DIVERGING, "grays", "jet")))


def colormap(name: str | None, *, signed: bool) -> Array:
    """Return a colour map as a read-only uint8 table `(256, 3)` of red, green and blue.

    `None` chooses `blue-red` for signed maps (zero, the entries 127 and 128, is exactly white) and
    `inferno` for the others. Any map may be asked for: a signed map then has its zero in the middle.

    Raises:
        UsageError: there is no map of that name.
    """
    chosen = name or (DIVERGING if signed else SEQUENTIAL)
    if chosen not in names():
        raise UsageError(
            f"no colour map is called '{chosen}'",
            hint=nearest(chosen, names()) or f"there are: {', '.join(names())}",
            reason="unknown-colormap",
        )
    return _table(chosen)


@cache
def _table(name: str) -> Array:
    if name == DIVERGING:
        table = np.concatenate([_interpolated(np.array(half), 128) for half in (_NEGATIVE, _POSITIVE)])
    elif name == "grays":
        table = np.repeat(np.arange(256.0)[:, None], 3, axis=1)
    elif name == "jet":
        place = np.linspace(0, 4, 256)[:, None]
        table = 255 * np.clip(1.5 - np.abs(place - [3, 2, 1]), 0, 1)
    else:
        anchors = np.frombuffer(base64.b64decode(_SAMPLED[name]), np.uint8).reshape(-1, 3)
        table = _interpolated(anchors, 256, np.append(np.arange(0, 256, 8), 255))
    rounded: Array = np.rint(table).astype(np.uint8)
    rounded.flags.writeable = False
    return rounded


def _interpolated(anchors: Array, size: int, places: Array | None = None) -> Array:
    at = np.linspace(0, size - 1, len(anchors)) if places is None else places
    return np.stack([np.interp(np.arange(size), at, anchors[:, colour]) for colour in range(3)], axis=1)
