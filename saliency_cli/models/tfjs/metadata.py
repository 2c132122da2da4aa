"""What Teachable Machine tells of a model in the `metadata.json` beside it: classes, size, preparing.

Needs no TensorFlow. The image models of Teachable Machine take pictures of 0…255 as x / 127.5 − 1, cut
to a square and resized to `image_size`.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MOST_BYTES = 2**20
_MOST_CLASSES = 100_000


@dataclass(frozen=True)
class Metadata:
    """`class_names` in the order of the outputs; `image_size` of a square picture, None if it isn't said.

    `scale` and `offset`: the model takes `file_value · scale + offset`; None where that isn't known.
    """

    class_names: tuple[str, ...] = ()
    image_size: int | None = None
    scale: float | None = None
    offset: float | None = None


def read_metadata(folder: Path) -> Metadata:
    """Return what `metadata.json` in a model's folder says, empty where there is none or another program's."""
    file = folder / "metadata.json"
    try:
        if not file.is_file() or file.is_symlink() or file.stat().st_size > _MOST_BYTES:
            return Metadata()
        found = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return Metadata()
    if not isinstance(found, dict) or not _is_teachable(found):
        return Metadata()
    labels = found.get("labels")
    labels = labels if isinstance(labels, list) and all(isinstance(label, str) for label in labels) else []
    size = found.get("imageSize")
    names = tuple(label[:200] for label in labels[:_MOST_CLASSES])
    if found.get("packageName") not in (None, "@teachablemachine/image"):
        return Metadata(names)  # poses and sounds are prepared by another model
    plain = isinstance(size, int) and not isinstance(size, bool) and size > 0
    return Metadata(names, size if plain else None, 1 / 127.5, -1.0)


def _is_teachable(found: dict[str, Any]) -> bool:
    return "tmVersion" in found or str(found.get("packageName", "")).startswith("@teachablemachine/")
