"""The colour bar beside a map: which colour is which value."""

from typing import Any

from saliency_cli.rendering.colormaps import colormap
from saliency_cli.rendering.figures import number_text
from saliency_cli.rendering.planes import Planes
from saliency_cli.rendering.view import View


def add_colour_bar(figure: Any, axes: list[Any], view: View, planes: Planes) -> None:
    """Add a colour bar with the unit and the real limits of the values, beside `axes`.

    Its ends are arrows where larger values were clipped. An all-zero map has the one tick 0.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    top = planes.limit or 1.0
    table = ListedColormap(colormap(view.style.colormap, signed=planes.signed) / 255)
    scale = ScalarMappable(Normalize(-top if planes.signed else 0, top), table)
    extend = "neither" if not planes.clipped else "both" if planes.signed else "max"
    bar = figure.colorbar(scale, ax=axes, extend=extend, shrink=0.92, aspect=18, pad=0.02, panchor=False)
    ticks = [-top, -top / 2, 0, top / 2, top] if planes.signed else [0, top / 4, top / 2, 3 * top / 4, top]
    ticks = ticks if planes.limit else [0]
    bar.set_ticks(ticks, labels=[number_text(tick) for tick in ticks])
    bar.outline.set_visible(False)
    plain = view.quantity == "attribution" and view.unit
    bar.set_label(view.unit if plain else view.labelled())
