"""Input, map and overlay side by side with a colour bar and the caption."""

from typing import Any

import numpy as np
from PIL import Image

from saliency_cli.differentiable import Array
from saliency_cli.rendering.backdrop import backdrop
from saliency_cli.rendering.charts import chart
from saliency_cli.rendering.colorbar import add_colour_bar
from saliency_cli.rendering.colormaps import colormap
from saliency_cli.rendering.figures import DOTS_PER_INCH, drawn
from saliency_cli.rendering.heatmap import index_planes
from saliency_cli.rendering.overlay import overlay_planes
from saliency_cli.rendering.planes import fold
from saliency_cli.rendering.view import View

PANE = 3.6


def panel(view: View) -> Array:
    """Draw all there is to see of one attribution, uint8 `(height, width, 3)`.

    A picture: input, map and overlay (one above the other when wider than 2:1) with a colour bar of the
    real values in their unit, the caption as title. Anything else: its chart.

    Raises:
        ValueError: a value is not finite, or the shapes don't fit together.
    """
    if view.layout != "picture":
        return chart(view)
    planes = fold(view)
    table = colormap(view.style.colormap, signed=planes.signed)
    picture = backdrop(view)
    panes = {"map": table[index_planes(view, planes)]}
    if picture is not None:
        panes = {"input": picture, **panes, "overlay": overlay_planes(view, planes)}
    height, width = panes["map"].shape[:2]
    stacked = width > 2 * height
    pane_width = 2 * PANE if stacked else PANE * min(1.0, width / height)
    pane_height = max(pane_width * height / width, 0.4)
    rows, columns = (len(panes), 1) if stacked else (1, len(panes))

    def build(figure: Any) -> None:
        axes = list(figure.subplots(rows, columns, squeeze=False).flat)
        for axis, (name, pixels) in zip(axes, panes.items(), strict=True):
            # Very long pictures would be hairlines in their true shape.
            aspect = "auto" if max(height, width) > 12 * min(height, width) else "equal"
            axis.imshow(_thumbnail(pixels), aspect=aspect, interpolation="antialiased")
            axis.set_title(name)
            axis.set_axis_off()
        add_colour_bar(figure, axes, view, planes)

    # The colour bar's unit and numbers need room even beside a very low picture.
    tall = max(rows * (pane_height + 0.3), 1.6)
    return drawn(build, columns * max(pane_width, 1.2) + 1.1, tall, view.caption)


def _thumbnail(pixels: Array) -> Array:
    """Return large pictures small enough for their pane, before matplotlib converts them to float."""
    longest = int(2 * PANE * DOTS_PER_INCH)
    if max(pixels.shape[:2]) <= longest:
        return pixels
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((longest, longest), reducing_gap=2.0)
    return np.asarray(image)
