"""Signals: the raw curves over bands of their attribution, and the attribution itself below."""

from typing import Any

import numpy as np

from saliency_cli.differentiable import Array
from saliency_cli.rendering.colormaps import colormap
from saliency_cli.rendering.figures import drawn
from saliency_cli.rendering.planes import Planes, fold
from saliency_cli.rendering.view import View

MOST_CHANNELS = 8
POINTS = 2000


def curves(view: View) -> Array:
    """Draw a signal and its attribution over one time axis, uint8 `(height, width, 3)`.

    One curve per channel of `raw` (the first eight; a note says how many are left out), each over
    coloured bands of its attribution, and at the bottom the attribution as a filled line, in its unit. Long
    signals are drawn as their least and greatest values in each of 1000 stretches, so that no peak is lost.

    Raises:
        ValueError: a value is not finite.
    """
    planes = fold(view)
    raw = _raw_rows(view)
    shown = raw[:MOST_CHANNELS]
    left_out = len(raw) - len(shown)
    note = f"{left_out} of {len(raw)} channels left out" if left_out else ""

    def build(figure: Any) -> None:
        ratios = [*[1.0] * len(shown), 1.0]
        axes = figure.subplots(len(ratios), 1, sharex=True, squeeze=False, height_ratios=ratios)[:, 0]
        for channel, (axis, row) in enumerate(zip(axes, shown, strict=False)):
            _curve(axis, row, view, planes, channel)
            axis.set_ylabel(_channel_name(view, channel, len(raw)))
        _attribution(axes[-1], view, planes)
        axes[-1].set_xlim(-0.5, planes.maps.shape[2] - 0.5)

    return drawn(build, 8.5, 1.3 * len(shown) + 1.9, view.caption, note)


def _raw_rows(view: View) -> Array:
    if view.raw is None:
        return np.zeros((0, 0))
    if view.channels is None:
        return view.raw.reshape(-1, view.raw.shape[-1])
    return np.moveaxis(view.raw, view.channels, 0)


def _channel_name(view: View, channel: int, channels: int) -> str:
    if len(view.names) == channels:
        return view.names[channel] if len(view.names[channel]) <= 24 else view.names[channel][:23] + "…"
    return f"channel {channel}" if channels > 1 else view.input_name or "signal"


def _curve(axis: Any, row: Array, view: View, planes: Planes, channel: int) -> None:
    bands = planes.unit()[0]
    band = _strongest(bands[min(channel, len(bands) - 1)], 0.5 if planes.signed else 0.0)
    table = colormap(view.style.colormap, signed=planes.signed) / 255
    x, y = _envelope(row)
    finite = y[np.isfinite(y)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    margin = 0.08 * (high - low) or 0.5
    colours = table[(band * 255).round().astype(np.uint8)]
    # Bands are mixed with white so that the curve stays readable on the darkest of them.
    strength = np.abs(band - 0.5) * 2 if planes.signed else band
    shown = 1 - (1 - colours) * 0.75 * np.sqrt(strength)[:, None]
    extent = (-0.5, len(row) - 0.5, low - margin, high + margin)
    axis.imshow(shown[None], aspect="auto", extent=extent, interpolation="nearest", zorder=0)
    axis.plot(x, y, color="#222222", linewidth=0.9, marker="o" if len(row) == 1 else None)
    axis.set_ylim(low - margin, high + margin)


def _attribution(axis: Any, view: View, planes: Planes) -> None:
    rows = planes.maps[0]
    table = colormap(view.style.colormap, signed=planes.signed) / 255
    for channel, row in enumerate(rows[:MOST_CHANNELS]):
        x, y = _envelope(row)
        if len(rows) > 1:
            axis.plot(x, y, linewidth=0.9, label=_channel_name(view, channel, len(rows)))
        else:
            # Clipped, not cut by `where`, which leaves a place between two of the other sign a hair wide.
            step = {"step": "mid", "linewidth": 0.8}
            axis.fill_between(x, np.maximum(y, 0), color=table[226 if planes.signed else 150], **step)
            if planes.signed:
                axis.fill_between(x, np.minimum(y, 0), color=table[29], **step)
    if len(rows) > 1:
        axis.legend(fontsize=7, ncols=4, frameon=False, loc="upper right")
    axis.axhline(0, color="#888888", linewidth=0.6)
    axis.set_ylabel(view.labelled("\n"))
    axis.set_xlabel("position")


def _envelope(row: Array) -> tuple[Array, Array]:
    """Return places and values of a curve, of a long one the extremes of each of 1000 stretches."""
    if len(row) <= POINTS:
        return np.arange(len(row)), row
    edges = np.linspace(0, len(row), POINTS // 2 + 1).astype(int)[:-1]
    extremes = np.stack([np.minimum.reduceat(row, edges), np.maximum.reduceat(row, edges)], axis=1)
    return np.repeat(edges, 2), extremes.reshape(-1)


def _strongest(band: Array, zero: float) -> Array:
    """Return at most 2000 places of a band, of each stretch the value farthest from zero."""
    if len(band) <= POINTS:
        return band
    edges = np.linspace(0, len(band), POINTS + 1).astype(int)[:-1]
    low, high = np.minimum.reduceat(band, edges), np.maximum.reduceat(band, edges)
    return np.where(zero - low > high - zero, low, high)
