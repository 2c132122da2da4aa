"""An attribution folded to the two-dimensional maps that can be drawn."""

from dataclasses import dataclass

import numpy as np

from saliency_cli.arrays import clip_limit, is_signed, reduce_channels, unit_range
from saliency_cli.differentiable import Array
from saliency_cli.geometry import Geometry
from saliency_cli.rendering.placement import placed_part
from saliency_cli.rendering.view import View


@dataclass(frozen=True, eq=False)
class Planes:
    """Maps of one attribution on one common scale.

    `maps` is `(n, rows, columns)`: one, or with `reduce="none"` one per channel; a picture's without the
    padding around it. `limit` is the |value| that gets the strongest colour, 0 for an all-zero map;
    `clipped` says that larger ones exist. `note` says how axes were folded where that isn't obvious.
    """

    maps: Array
    signed: bool
    limit: float
    clipped: bool
    note: str = ""

    def unit(self) -> Array:
        """Return the maps in [0, 1], zero at 0.5 when signed, else at 0."""
        inside = np.clip(self.maps, -self.limit, self.limit)
        return unit_range(inside, 100, self.signed)


def fold(view: View) -> Planes:
    """Fold a view's values to maps: a picture by its channels, a signal to a row per channel, a table to one row.

    Of any other array the last two axes are kept, after averaging |v| over those before them.

    Raises:
        ValueError: a value is not finite, a picture has no two axes beside its channels, or the map is
            not of the geometry's size.
    """
    if not np.isfinite(view.values).all():
        raise ValueError("the attribution has values that are not finite")
    how = view.style.reduce
    signed = view.signed if view.channels is None else is_signed(how, view.signed)
    note = ""
    if view.layout == "picture":
        maps = _picture_maps(view)
        if (geometry := geometry_of(view)) is not None:
            maps = placed_part(maps, geometry)
    elif view.layout == "table":
        maps = view.values.reshape(1, 1, -1)
    elif view.layout == "signal" and view.values.ndim <= 2:
        maps = series(view)[None]
    else:
        maps, note = _array_map(view)
        signed = signed and not note
    if not signed and view.signed:
        maps = np.abs(maps)
    limit = clip_limit(maps, view.style.clip_percentile)
    return Planes(maps, signed, limit, bool(np.abs(maps).max(initial=0) > limit), note)


def series(view: View) -> Array:
    """Return a signal's attribution `(rows, time)`: a row per channel, or one row of them folded."""
    if view.channels is None:
        return view.values.reshape(-1, view.values.shape[-1] if view.values.ndim else 1)
    values = np.moveaxis(view.values, view.channels, 0)
    return values if view.style.reduce == "none" else reduce_channels(values, 0, view.style.reduce)[None]


def geometry_of(view: View) -> Geometry | None:
    """Return where the original picture went, taken as stretched where nothing is said; None without one."""
    if view.original is None or view.geometry is not None:
        return view.geometry if view.original is not None else None
    shape = [size for axis, size in enumerate(view.values.shape) if axis != view.channels]
    return Geometry.plan(view.original.shape[:2], (shape[0], shape[1]), "stretch")


def _picture_maps(view: View) -> Array:
    if view.values.ndim - (view.channels is not None) != 2:
        raise ValueError(f"a picture of shape {view.values.shape} with channel axis {view.channels}")
    if view.channels is None:
        return view.values[None] if view.signed else np.abs(view.values)[None]
    values = np.moveaxis(view.values, view.channels, 0)
    return values if view.style.reduce == "none" else reduce_channels(values, 0, view.style.reduce)[None]


def _array_map(view: View) -> tuple[Array, str]:
    values = view.values
    if view.channels is not None and view.style.reduce != "none":
        values = reduce_channels(values, view.channels, view.style.reduce)
    if values.ndim <= 2:
        return np.atleast_2d(values)[None], ""
    folded = np.abs(values).mean(axis=tuple(range(values.ndim - 2)), dtype=np.float64)
    last = values.ndim - 3
    axes = f"axes 0–{last}" if last else "axis 0"
    return folded[None], f"mean |v| over {axes} of {'×'.join(map(str, values.shape))}"
