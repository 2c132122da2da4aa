"""The picture with axes of anything that isn't a photograph."""

from typing import Any

from saliency_cli.differentiable import Array
from saliency_cli.rendering.bars import bars
from saliency_cli.rendering.colorbar import add_colour_bar
from saliency_cli.rendering.colormaps import colormap
from saliency_cli.rendering.curves import curves
from saliency_cli.rendering.figures import drawn
from saliency_cli.rendering.heatmap import index_planes
from saliency_cli.rendering.planes import fold
from saliency_cli.rendering.view import View

WIDEST = 8.0
TALLEST = 6.0


def chart(view: View) -> Array:
    """Draw a signal as curves, a table as bars, any other array as a map with a colour bar.

    An array of more than two axes is averaged (|v|) over the leading ones, one of fewer is drawn as bars;
    the caption says so. Returns uint8 `(height, width, 3)`.

    Raises:
        ValueError: a value is not finite.
    """
    if view.layout == "signal" and view.values.ndim <= 2:
        return curves(view)
    if view.layout == "table" or view.values.ndim <= 1:
        return bars(view)
    return _map(view)


def _map(view: View) -> Array:
    planes = fold(view)
    rows, columns = planes.maps.shape[1:]
    colours = colormap(view.style.colormap, signed=planes.signed)[index_planes(view, planes)]
    scale = min(WIDEST / columns, TALLEST / rows)
    width, height = max(3.5, columns * scale), max(1.5, rows * scale)
    title = " · ".join(text for text in (view.caption, planes.note) if text)

    def build(figure: Any) -> None:
        axis = figure.subplots()
        extent = (-0.5, columns - 0.5, rows - 0.5, -0.5)
        aspect = "auto" if max(rows, columns) > 8 * min(rows, columns) else "equal"
        axis.imshow(colours, extent=extent, aspect=aspect, interpolation="nearest")
        axis.locator_params(integer=True)
        add_colour_bar(figure, [axis], view, planes)

    return drawn(build, width + 1.2, height + 0.5, title)
