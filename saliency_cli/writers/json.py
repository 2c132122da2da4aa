"""The sample's record in numbers: prediction, target, norms, strongest places, flags, files."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from saliency_cli.rendering.view import View

__all__ = ["Json"]


@dataclass(frozen=True)
class Json:
    """Writes the record that every view of one sample carries."""

    scope: ClassVar[Literal["item"]] = "item"

    def suffix(self, view: View) -> str:  # noqa: ARG002
        """Return `.json`."""
        return ".json"

    def encode(self, views: Sequence[View]) -> bytes:
        """Return the record as indented JSON with a newline at its end; NaN and infinity are null."""
        import msgspec

        return msgspec.json.format(msgspec.json.encode(views[0].record), indent=2) + b"\n"
