"""Plain NumPy shared by the rooms: channels folded, ranges found, places ranked."""

import numpy as np

from saliency_cli.differentiable import Array, Reduce

_FEW = 8


def reduce_channels(values: Array, axis: int, how: Reduce) -> Array:
    """Fold the channel axis of an attribution.

    `max` is max |v|, `l2` is √Σv² (both unsigned); `sum` and `mean` keep the sign; `none` keeps the
    axis. Returns float64 except for `none`.
    """
    if how == "none":
        return values
    if how == "max":
        return _largest(np.moveaxis(np.abs(values), axis, 0))
    if how == "l2":
        return np.asarray(np.sqrt(np.square(values, dtype=np.float64).sum(axis=axis)))
    folded = values.mean if how == "mean" else values.sum
    return np.asarray(folded(axis=axis, dtype=np.float64))


def _largest(planes: Array) -> Array:
    """Return the elementwise maximum of some planes, float64; of few a plane at a time, NumPy is slow along them."""
    if len(planes) > _FEW:
        return np.asarray(planes.max(axis=0), np.float64)
    found = np.array(planes[0], np.float64)
    for plane in planes[1:]:
        np.maximum(found, plane, out=found)
    return found


def is_signed(how: Reduce, signed: bool) -> bool:
    """Whether a map folded by `how` still has a meaningful sign."""
    return signed and how not in ("max", "l2")


def clip_limit(values: Array, percentile: float) -> float:
    """Return the `percentile`-th percentile of |values|, or their maximum where that is 0."""
    magnitude = np.abs(values)
    return float(np.percentile(magnitude, percentile)) or float(magnitude.max(initial=0.0))


def unit_range(values: Array, percentile: float, signed: bool) -> Array:
    """Map values to [0, 1] for a colour map; an all-zero map becomes all zero (0.5 when signed).

    Signed values map symmetrically about 0.5, so zero is always the middle colour; unsigned values
    are divided by the percentile limit of |v|.
    """
    limit = clip_limit(values, percentile)
    scaled = values / limit if limit > 0 else np.zeros_like(values, dtype=np.float64)
    return np.clip(scaled, -1, 1) / 2 + 0.5 if signed else np.clip(scaled, 0, 1)


def pooled(plane: Array, most: int) -> Array:
    """Return a map pooled by area so that no side is longer than `most`, float64; smaller ones as they are.

    A cell is the mean over the places it covers, those on an edge by their share, so the mean of the whole
    is kept.
    """
    values = np.asarray(plane, np.float64)
    for axis, length in enumerate(values.shape):
        if length > most:
            values = np.moveaxis(np.tensordot(_shares(length, most), values, (1, axis)), 0, axis)
    return values


def _shares(length: int, cells: int) -> Array:
    """Return `(cells, length)`: the share each place has in each cell, rows summing to 1."""
    edges = np.linspace(0, length, cells + 1)
    places = np.arange(length)
    overlap = np.minimum(edges[1:, None], places + 1) - np.maximum(edges[:-1, None], places)
    shares = np.clip(overlap, 0, None)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))
