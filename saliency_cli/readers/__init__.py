"""Input formats: one file each; a reader turns bytes into a `Document` and knows nothing of models."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol

from saliency_cli.differentiable import Array


@dataclass(frozen=True, eq=False)
class Document:
    """What one file holds.

    `picture`: `arrays[""]` is float32 `(H, W, C)` in 0…255 (C is 1, 3 or 4), oriented as it is meant to
    be seen; `display` the same as uint8 RGB `(H, W, 3)`; `format` Pillow's name of the file's format.
    `array`: `arrays[""]` (`.npy`) or one entry per name (`.npz`), dtypes as stored. `table`:
    `arrays[""]` is float32 `(rows, columns)` with `columns` named. `notes` are things the user should
    be told ("first of 12 frames").
    """

    kind: Literal["picture", "array", "table"]
    arrays: Mapping[str, Array]
    display: Array | None = None
    format: str = ""
    columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())


class Reader(Protocol):
    """An input format: a frozen dataclass. `suffixes` are lower case, with their dot."""

    suffixes: ClassVar[tuple[str, ...]]

    def read(self, data: bytes) -> Document:
        """Decode a file's bytes. Raises `InputError` saying what was expected and what came."""
        ...
