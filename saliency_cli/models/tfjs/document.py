"""A TensorFlow.js model's `model.json`, read: which of the two kinds it is, and what stands in it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from saliency_cli.errors import ModelError
from saliency_cli.models.limits import JSON_BYTES


def model_file(path: Path) -> Path:
    """Return the `model.json` meant by a path to it or to the folder it is in."""
    return path / "model.json" if path.is_dir() else path


def recognise(path: Path) -> Literal["layers", "graph"] | None:
    """Return which kind of TensorFlow.js model a `model.json` or its folder is; None for anything else.

    Raises `ModelError` for one that is too large to be read.
    """
    file = model_file(path)
    try:
        if not file.is_file():
            return None
        with file.open("rb") as opened:
            if not opened.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
                return None
        require_readable(file)
        document = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return kind_of(document)


def kind_of(document: Any) -> Literal["layers", "graph"] | None:
    """Return which kind of model a document describes.

    A Keras architecture alone (`model.to_json()`) has no `modelTopology` and is neither.
    """
    topology = document.get("modelTopology") if isinstance(document, Mapping) else None
    if not isinstance(topology, Mapping):
        return None
    if isinstance(topology.get("node"), list):
        return "graph"
    keys = {"model_config", "modelConfig", "class_name", "className"}
    return "layers" if keys & set(topology) else None


def read_document(path: Path) -> tuple[bytes, dict[str, Any]]:
    """Return the bytes of a `model.json` and what they say. Raises `ModelError` if it is no model's."""
    file = model_file(path)
    if not file.exists():
        raise ModelError(f"there is no file '{file}'", hint="give model.json or its folder", reason="missing-model")
    require_readable(file)
    try:
        content = file.read_bytes()
        document = json.loads(content)
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"'{file}' is broken or truncated: {str(error)[:200]}",
            hint="was it copied or downloaded whole?",
            reason="truncated",
        ) from None
    if not isinstance(document, dict) or not isinstance(document.get("modelTopology"), dict):
        raise ModelError(
            f"'{file}' is no TensorFlow.js model: it has no modelTopology",
            hint="an architecture alone has no weights: give the saved model",
            reason="not-a-model",
        )
    if not isinstance(document.get("weightsManifest"), list):
        raise ModelError(
            f"'{file}' names no weights (weightsManifest)",
            hint="save the model again with its weights",
            reason="missing-weights",
        )
    return content, document


def require_readable(file: Path) -> None:
    """Raise `ModelError` for a `model.json` larger than any true one."""
    if file.stat().st_size > JSON_BYTES:
        raise ModelError(
            f"'{file}' is refused: it is larger than {JSON_BYTES >> 20} MiB, and holds no weights",
            hint="convert the original model again",
            reason="refused-size",
        )
