"""Pictures cut into segments by scikit-image, an extra: superpixels, and overlapping regions of many sizes."""

import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from saliency_cli.differentiable import Array
from saliency_cli.errors import UsageError

_SCALES = (50, 100, 150, 250, 500, 1200)
_SIDE = 224  # the scales are for pictures of this size
_GROWN = 5


def superpixels(picture: Array, channels: int | None, count: int) -> Array:
    """Return the number, from 0, of the superpixel each place `(rows, columns)` lies in: about `count`, by SLIC.

    Three channels are taken as red, green and blue in Lab, any others as they are, between their least and
    their greatest value.
    """
    slic = _scikit_image("segmentation").slic
    image = _unit(picture, channels)
    colours = image.shape[-1] == 3
    found = slic(
        image,
        n_segments=count,
        compactness=10.0 if colours else 0.1,
        convert2lab=colours,
        channel_axis=-1,
        start_label=0,
    )
    return np.asarray(np.unique(found, return_inverse=True)[1]).reshape(found.shape)


def regions(picture: Array, channels: int | None) -> list[Array]:
    """Return overlapping regions as flat indices of their places: Felzenszwalb's segments at six scales, grown.

    The picture is brought to 224×224 and its values to [−1, 1], segments have at least 150 pixels there
    (σ 0.8) and are grown by a disc of radius 5.
    """
    segment = _scikit_image("segmentation").felzenszwalb
    dilation, disk = (getattr(_scikit_image("morphology"), name) for name in ("dilation", "disk"))
    image = _unit(picture, channels) * 2 - 1
    rows, columns = image.shape[:2]
    wide = _scikit_image("transform").resize(image, (_SIDE, _SIDE), order=1, mode="edge", anti_aliasing=True)
    down = np.minimum((np.arange(rows) + 0.5) * _SIDE // rows, _SIDE - 1).astype(int)
    across = np.minimum((np.arange(columns) + 0.5) * _SIDE // columns, _SIDE - 1).astype(int)
    found = {}
    for scale in _SCALES:
        labels = segment(wide, scale=scale, sigma=0.8, min_size=150, channel_axis=-1)
        for top, left, inside in _segments(np.pad(labels, _GROWN, constant_values=-1)):
            grown = np.zeros((_SIDE + 2 * _GROWN,) * 2, bool)
            grown[top : top + inside.shape[0], left : left + inside.shape[1]] = dilation(inside, disk(_GROWN))
            places = np.flatnonzero(grown[np.ix_(down + _GROWN, across + _GROWN)])
            found[places.tobytes()] = places
    return [places for places in found.values() if places.size]


def _segments(labels: Array) -> Iterator[tuple[int, int, Array]]:
    """Yield each segment from 0 on as its box, `_GROWN` wider on every side, with where that box begins."""
    count = int(labels.max()) + 1
    ends = []
    places: Array = np.indices(labels.shape)
    for index in places:
        low, high = np.full(count, labels.size), np.zeros(count, np.int64)
        np.minimum.at(low, labels[labels >= 0], index[labels >= 0])
        np.maximum.at(high, labels[labels >= 0], index[labels >= 0])
        ends += [low - _GROWN, high + _GROWN + 1]
    for label, (top, bottom, left, right) in enumerate(zip(*ends, strict=True)):
        yield int(top), int(left), labels[top:bottom, left:right] == label


def _unit(picture: Array, channels: int | None) -> Array:
    """Return the picture channels last, its values from 0 to 1."""
    image = picture[..., None] if channels is None else np.moveaxis(picture, channels, -1)
    low, high = float(image.min()), float(image.max())
    return np.asarray((image.astype(np.float64) - low) / ((high - low) or 1.0))


def _scikit_image(module: str) -> Any:
    try:
        return importlib.import_module(f"skimage.{module}")
    except ImportError:
        raise UsageError(
            "segments of a picture need scikit-image, which is not installed",
            hint="pip install 'saliency-cli[segments]' (superpixels can be done without: -p features=grid)",
            reason="missing-extra",
        ) from None
