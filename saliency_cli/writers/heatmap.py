"""The map alone as a palette PNG: a photograph at its own size, signals and tables as colour strips.

The palette is the colour map, so the pixel values are the 8-bit normalised map.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from saliency_cli.rendering.view import View

__all__ = ["Heatmap"]


@dataclass(frozen=True)
class Heatmap:
    """Writes one view's heat map."""

    scope: ClassVar[Literal["input"]] = "input"

    def suffix(self, view: View) -> str:  # noqa: ARG002
        """Return `.png`."""
        return ".png"

    def encode(self, views: Sequence[View]) -> bytes:
        """Return the palette PNG of the only view."""
        from saliency_cli.rendering.colormaps import colormap
        from saliency_cli.rendering.encoding import encode_indices
        from saliency_cli.rendering.heatmap import index_planes
        from saliency_cli.rendering.planes import fold

        (view,) = views
        planes = fold(view)
        table = colormap(view.style.colormap, signed=planes.signed)
        return encode_indices(index_planes(view, planes), table, view.metadata)
