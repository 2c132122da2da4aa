"""A chart of layers' gradients, from the input down to the output."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from saliency_cli.differentiable import Array
from saliency_cli.rendering.figures import drawn, number_text
from saliency_cli.shortening import told_apart

_MOST_NAMES = 60
_LONGEST_NAME = 48
_COLOURS = {"": "#2166ac", "dead": "#888888", "vanishing": "#b2182b", "exploding": "#b2182b"}


class Mark(NamedTuple):
    """One layer: its value on the axis (None or 0: it has none), and what is said of it."""

    name: str
    value: float | None
    word: str


def layer_norms(marks: Sequence[Mark], axis_label: str, title: str, note: str = "") -> Array:
    """Draw a dot for each layer on a logarithmic axis, uint8 `(height, width, 3)`.

    Layers that something is said of are coloured, with the word beside them; one without a value stands at the left
    edge as a cross. Of many layers every second, third, … is named, and those that something is said of.
    """
    values = np.array([mark.value or np.nan for mark in marks], float)
    known = values[np.isfinite(values)]
    low, high = (known.min(), known.max()) if known.size else (0.1, 1.0)
    edge = low / 3
    step = -(-len(marks) // _MOST_NAMES)
    names = told_apart([" ".join(mark.name.split()) for mark in marks], _LONGEST_NAME)
    named = [i for i, mark in enumerate(marks) if i % step == 0 or mark.word]

    def build(figure: Any) -> None:
        axis = figure.subplots()
        axis.set_xscale("log")
        axis.set_xlim(edge / 1.5, high * 6)
        for i, (mark, value) in enumerate(zip(marks, values, strict=True)):
            there = np.isfinite(value)
            at = value if there else edge
            colour = _COLOURS.get(mark.word, _COLOURS[""])
            axis.plot([at], [i], "o" if there else "x", color=colour, markersize=5)
            if mark.word:
                axis.annotate(mark.word, (at, i), (7, 0), textcoords="offset points", va="center", color=colour)
        if known.size:
            axis.axvline(float(np.median(known)), color="#bbbbbb", linewidth=0.8, zorder=0)
        axis.set_yticks(named, [names[i] for i in named])
        axis.set_ylim(len(marks) - 0.4, -0.6)
        axis.tick_params(axis="y", length=0)
        axis.xaxis.set_major_formatter(lambda value, _: number_text(value))
        axis.grid(axis="y", color="#eeeeee", linewidth=0.6)
        axis.set_axisbelow(True)
        axis.set_xlabel(axis_label)

    rows = max(len(marks) / step, len(named), 1)
    return drawn(build, 8.0, 0.22 * rows + 1.0, title, note)
