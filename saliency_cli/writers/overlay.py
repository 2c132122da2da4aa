"""The map over the photograph, in the photograph's own format; curves of a signal, bars of a table.

JPEG and WebP stay what they are, every other format becomes PNG, which loses nothing and keeps the
provenance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from saliency_cli.rendering.view import View

__all__ = ["Overlay"]


@dataclass(frozen=True)
class Overlay:
    """Writes one view's overlay."""

    scope: ClassVar[Literal["input"]] = "input"

    def suffix(self, view: View) -> str:
        """Return the suffix of the photograph's format, `.png` where there is no photograph."""
        from saliency_cli.rendering.encoding import SUFFIXES, picture_format
        from saliency_cli.rendering.heatmap import tiled_size

        if view.layout != "picture" or view.original is None:
            return ".png"
        return SUFFIXES[picture_format(view.original_format, tiled_size(view))]

    def encode(self, views: Sequence[View]) -> bytes:
        """Return the picture file of the only view."""
        from saliency_cli.rendering.encoding import encode_picture, picture_format

        (view,) = views
        if view.layout != "picture":
            from saliency_cli.rendering.charts import chart

            return encode_picture(chart(view), "PNG", view.metadata)
        from saliency_cli.rendering.overlay import overlay

        pixels = overlay(view)
        size = (pixels.shape[0], pixels.shape[1])
        kind = "PNG" if view.original is None else picture_format(view.original_format, size)
        return encode_picture(pixels, kind, view.metadata)
