"""Output formats: one file each; a writer turns a `View` into bytes and knows nothing of files."""

from collections.abc import Sequence
from typing import ClassVar, Literal, Protocol

from saliency_cli.rendering.view import View


class Writer(Protocol):
    """An output format: a frozen dataclass.

    `scope` says what one file holds: one `input` of one attribution (one view), one whole
    `attribution` (a view per input), or one whole `item` (every view of the sample).
    """

    scope: ClassVar[Literal["input", "attribution", "item"]]

    def suffix(self, view: View) -> str:
        """Return the file's suffix with its dot."""
        ...

    def encode(self, views: Sequence[View]) -> bytes:
        """Return the file's bytes; the same views give the same bytes on one installation."""
        ...
