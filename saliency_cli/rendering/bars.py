"""Tables: the attribution of each feature as a horizontal bar, the largest first."""

from typing import Any

import numpy as np

from saliency_cli.differentiable import Array
from saliency_cli.rendering.colormaps import colormap
from saliency_cli.rendering.figures import drawn, number_text
from saliency_cli.rendering.planes import fold
from saliency_cli.rendering.view import View

MOST_BARS = 30
LONGEST_NAME = 44


def bars(view: View) -> Array:
    """Draw the features with the largest |attribution| as bars, uint8 `(height, width, 3)`.

    Each is labelled with its name (or index), its raw value and its attribution. Of more than thirty the largest
    are drawn, and a note says how many are left out and their share of Σ|v|.

    Raises:
        ValueError: a value is not finite.
    """
    signed = fold(view).signed
    values = view.values.reshape(-1) if signed else np.abs(view.values.reshape(-1))
    magnitude = np.abs(values)
    order = np.argsort(-magnitude, kind="stable")
    shown, rest = order[:MOST_BARS], order[MOST_BARS:]
    note = ""
    if rest.size:
        total = float(magnitude.sum(dtype=np.float64))
        share = float(magnitude[rest].sum(dtype=np.float64)) / total if total else 0.0
        note = f"{rest.size} of {order.size} left out, together {share:.1%} of Σ|v|"
    table = colormap(view.style.colormap, signed=signed) / 255
    colours = [table[(29 if values[i] < 0 else 226) if signed else 150] for i in shown]

    def build(figure: Any) -> None:
        axis = figure.subplots()
        drawn_bars = axis.barh(np.arange(shown.size), values[shown], color=colours, height=0.72)
        axis.set_yticks(np.arange(shown.size), [_label(view, int(i)) for i in shown])
        axis.bar_label(
            drawn_bars, [number_text(float(values[i])) for i in shown], padding=3, fontsize=8, color="#444444"
        )
        axis.set_ylim(shown.size - 0.4, -0.6)
        low, high = float(values.min(initial=0.0)), float(values.max(initial=0.0))
        # Room beside the longest bars for their numbers.
        room = 0.18 * (high - low) or 1.0
        axis.set_xlim(low - room * (low < 0), high + room * (high > 0 or low == 0))
        axis.axvline(0, color="#888888", linewidth=0.8)
        axis.tick_params(axis="y", length=0)
        axis.spines["left"].set_visible(False)
        axis.set_xlabel(view.labelled())

    return drawn(build, 8.0, 0.27 * max(shown.size, 1) + 0.9, view.caption, note)


def _label(view: View, flat: int) -> str:
    if len(view.names) == view.values.size:
        name = view.names[flat]
    else:
        place = np.unravel_index(flat, view.values.shape)
        name = ", ".join(str(int(index)) for index in place) or view.input_name or "value"
        name = name if view.values.ndim > 1 else f"[{name}]" if view.values.ndim else name
    # Newlines and tabs in a column's header would tear the label apart.
    name = " ".join(name.split())
    if len(name) > LONGEST_NAME:
        half = LONGEST_NAME // 2
        name = f"{name[: half - 1]}…{name[-half:]}"
    if view.raw is None or view.raw.size != view.values.size:
        return name
    raw = view.raw.reshape(-1)[flat]
    number = isinstance(raw, int | float | np.number)
    return f"{name} = {raw:.4g}" if number else f"{name} = {raw}"
