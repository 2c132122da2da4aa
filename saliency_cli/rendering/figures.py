"""Matplotlib figures drawn to pixels, without pyplot and one at a time."""

import textwrap
import warnings
from collections.abc import Callable
from functools import cache
from threading import Lock
from typing import Any

import numpy as np

from saliency_cli.differentiable import Array

DOTS_PER_INCH = 110
LINE_INCHES = 0.22

# Matplotlib's settings, fonts and text caches are shared by the whole process.
_lock = Lock()

_SETTINGS = {
    "font.size": 9.0,
    "text.usetex": False,
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.titlesize": 9.0,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "path.simplify": True,
}


_EAST_ASIAN = (
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Hiragino Sans",
    "Yu Gothic",
    "Microsoft YaHei",
    "Malgun Gothic",
    "WenQuanYi Micro Hei",
)


def drawn(build: Callable[[Any], None], width: float, height: float, title: str = "", note: str = "") -> Array:
    """Return the pixels of a figure, uint8 `(height, width, 3)`.

    `build` draws into the empty figure of `width` × `height` inches. The title is wrapped above it and
    the note below, and the figure grows by their lines, so neither is cut off. Text is never read as
    mathematics: a feature may be called `price_$`. Safe to call from several threads.
    """
    with _lock:
        import matplotlib as mpl
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        with mpl.rc_context({**_SETTINGS, "font.family": _families()}), warnings.catch_warnings():
            # A letter the font lacks is drawn as a box; that is no reason to print a warning each time.
            warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
            figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained")
            canvas = FigureCanvasAgg(figure)
            lines = 0
            if title:
                lines += _heading(figure, title)
            if note:
                wrapped = _wrapped(figure, note)
                lines += wrapped.count("\n") + 1
                figure.supxlabel(wrapped, x=0.01, ha="left", fontsize=8, color="#555555")
            figure.set_size_inches(width, height + lines * LINE_INCHES)
            build(figure)
            canvas.draw()
            return np.array(np.asarray(canvas.buffer_rgba())[:, :, :3])


def number_text(value: float) -> str:
    """Return a number with three digits and a real minus sign, as matplotlib writes its own."""
    return f"{value:.3g}".replace("-", "−")


@cache
def _families() -> tuple[str, ...]:
    """Return the font every matplotlib has, then the installed ones with Chinese, Japanese or Korean letters."""
    from matplotlib.font_manager import get_font_names

    installed = set(get_font_names())
    return ("DejaVu Sans", *(name for name in _EAST_ASIAN if name in installed))


def _heading(figure: Any, title: str) -> int:
    wrapped = _wrapped(figure, title)
    figure.suptitle(wrapped, x=0.01, ha="left", fontsize=10)
    return wrapped.count("\n") + 1


def _wrapped(figure: Any, text: str) -> str:
    """Return `text` broken into lines that fit the figure's width, as measured in the title's font."""
    from matplotlib.text import Text

    room = figure.bbox.width * 0.96
    measured = Text(0, 0, text, fontsize=10, figure=figure)
    letters = len(text)
    while (extent := measured.get_window_extent().width) > room and letters > 1:
        letters = max(1, min(letters - 1, int(letters * max(room / extent, 0.5))))
        measured.set_text(textwrap.fill(text, letters))
    return str(measured.get_text())
