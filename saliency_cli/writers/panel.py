"""Input, map and overlay side by side with a colour bar and the caption, as a PNG for a report."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from saliency_cli.rendering.view import View

__all__ = ["Panel"]


@dataclass(frozen=True)
class Panel:
    """Writes one view's panel."""

    scope: ClassVar[Literal["input"]] = "input"

    def suffix(self, view: View) -> str:  # noqa: ARG002
        """Return `.png`."""
        return ".png"

    def encode(self, views: Sequence[View]) -> bytes:
        """Return the PNG of the only view."""
        from saliency_cli.rendering.encoding import encode_picture
        from saliency_cli.rendering.panel import panel

        (view,) = views
        return encode_picture(panel(view), "PNG", view.metadata)
