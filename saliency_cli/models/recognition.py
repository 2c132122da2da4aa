"""What kind of file a model is, told by its content and never by its suffix alone.

Needs no TensorFlow: a zip's JSON members and an HDF5 file's attributes are enough to know the format
and the version of Keras that wrote it.
"""

import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saliency_cli.errors import ModelError
from saliency_cli.models.graphs import frozen_graph_reading, saved_model_reading
from saliency_cli.models.legacy.config import read_legacy
from saliency_cli.models.tfjs import document


@dataclass(frozen=True)
class Recognised:
    """A model file: `format` as a key of `opening.LOADERS`; `writer` what wrote it, as a user calls it."""

    format: str
    writer: str
    compile_config: Any = None


def recognise(path: Path) -> Recognised:
    """Return what a model file is. Raises `ModelError` naming anything that is no Keras 3 model."""
    try:
        if path.is_dir():
            return _directory(path)
        with path.open("rb") as file:
            start = file.read(512)
    except FileNotFoundError:
        raise ModelError(f"there is no file '{path}'", hint=_similar(path), reason="missing-model") from None
    except OSError as error:
        raise ModelError(
            f"'{path}' can't be read: {error.strerror}", hint="check its name and permissions", reason="unreadable"
        ) from None
    if not start:
        raise ModelError(f"'{path}' is empty", hint="was it copied or downloaded whole?", reason="empty-file")
    if start.startswith((b"PK\x03\x04", b"\x89HDF\r\n\x1a\n")):
        legacy = read_legacy(path)
        if legacy is not None:
            return Recognised(legacy.kind, legacy.writer, legacy.training)
        return _zip(path) if start.startswith(b"PK") else _hdf5(path)
    if (found := _tensorflow_js(path)) is not None:
        return found
    foreign = _foreign(path, start)
    # A graph has no signature: whatever parses as one and is nothing else.
    if foreign.reason == "not-a-model" and frozen_graph_reading.recognise(path):
        return Recognised("frozen-graph", "")
    raise foreign


def _tensorflow_js(path: Path) -> Recognised | None:
    kind = document.recognise(path)
    return Recognised(f"tfjs-{kind}", "") if kind else None


_FORMATS = "give a .keras or HDF5 file, a SavedModel folder, a TensorFlow.js model.json, or a frozen graph"


def _similar(path: Path) -> str:
    from saliency_cli.errors import nearest

    there = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    return nearest(path.name, there) or _FORMATS


def _directory(path: Path) -> Recognised:
    if saved_model_reading.recognise(path):
        return Recognised("saved-model", "")
    if (found := _tensorflow_js(path)) is not None:
        return found
    raise ModelError(
        f"'{path}' is a directory, and holds neither a SavedModel nor a TensorFlow.js model",
        hint=next((f"is it '{inner}'?" for inner in _inside(path)), _FORMATS),
        reason="not-a-model",
    )


def _inside(path: Path) -> list[Path]:
    """Return the folders right inside one that hold a model: served SavedModels lie in a folder for each version."""
    return [inner for inner in sorted(path.iterdir())[:100] if saved_model_reading.recognise(inner)]


def _zip(path: Path) -> Recognised:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            if "config.json" not in names or "metadata.json" not in names:
                what = "PyTorch" if any(name.endswith("data.pkl") for name in names) else "another program's"
                raise ModelError(
                    f"'{path}' is a zip archive without a Keras model in it ({what} file?)",
                    hint="a .keras file holds config.json, metadata.json and model.weights.h5",
                    reason="not-a-model",
                )
            metadata = json.loads(archive.read("metadata.json"))
            config = json.loads(archive.read("config.json"))
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise _truncated(path, error) from None
    if not isinstance(metadata, dict) or not isinstance(config, dict):
        raise _truncated(path, "its config.json is not a model's")
    writer = str(metadata.get("keras_version", ""))
    _require_keras_3(path, writer)
    return Recognised("keras-zip", f"Keras {writer}", config.get("compile_config"))


def _hdf5(path: Path) -> Recognised:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            attributes = {key: file.attrs[key] for key in file.attrs}
            inner = dict(file["model_weights"].attrs) if "model_weights" in file else {}
    except (OSError, RuntimeError, KeyError) as error:
        raise _truncated(path, error) from None
    writer = _text(attributes.get("keras_version", inner.get("keras_version", "")))
    if "model_config" not in attributes:
        raise ModelError(
            f"'{path}' holds weights only: no model configuration is in it",
            hint="save the whole model with model.save('model.keras')",
            reason="weights-only",
        )
    _require_keras_3(path, writer)
    training = attributes.get("training_config")
    try:
        compiled = json.loads(_text(training)) if training is not None else None
    except ValueError as error:
        raise _truncated(path, error) from None
    return Recognised("keras-hdf5", f"Keras {writer}", compiled)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _require_keras_3(path: Path, writer: str) -> None:
    if writer.partition(".")[0] != "3":
        raise ModelError(
            f"'{path}' was written by Keras {writer}, which is newer than this version of saliency knows",
            hint="update saliency, or save the model from Keras 3",
            reason="newer-keras",
        )


def _truncated(path: Path, error: Exception | str) -> ModelError:
    return ModelError(
        f"'{path}' is broken or truncated: {error}",
        hint="was it copied or downloaded whole?",
        reason="truncated",
    )


_FIRST = "the model comes first: saliency compute MODEL INPUT…"

_FOREIGN = (
    (b"version https://git-lfs", "a Git LFS pointer, not the model itself", "git lfs pull", "git-lfs"),
    (b"<!DOCTYPE", "an HTML page", "the download gave an error page: download the model again", "html"),
    (b"<html", "an HTML page", "the download gave an error page: download the model again", "html"),
    *(
        (
            bytes([0x80, protocol]),
            "a pickle (PyTorch, scikit-learn or the like)",
            "save a Keras model as .keras",
            "pickle",
        )
        for protocol in range(2, 6)
    ),
    (b"\x93NUMPY", "a NumPy array", _FIRST, "not-a-model"),
    (b"\x89PNG", "a PNG picture", _FIRST, "not-a-model"),
    (b"\xff\xd8\xff", "a JPEG picture", _FIRST, "not-a-model"),
)


def _foreign(path: Path, start: bytes) -> ModelError:
    for magic, what, hint, reason in _FOREIGN:
        if start.lstrip().lower().startswith(magic.lower()):
            return ModelError(f"'{path}' is {what}", hint=hint, reason=reason)
    if start[:1] == b"\x08" and (b"onnx" in start.lower() or path.suffix.lower() == ".onnx"):
        return ModelError(
            f"'{path}' is an ONNX model, which TensorFlow can't differentiate",
            hint="give the Keras or TensorFlow model it was converted from",
            reason="unsupported-format",
        )
    if start[4:8] == b"TFL3":
        return ModelError(
            f"'{path}' is a TensorFlow Lite model, which holds no gradients",
            hint="give the Keras model it was converted from",
            reason="unsupported-format",
        )
    if start.lstrip().startswith(b"{"):
        return ModelError(
            f"'{path}' is JSON: an architecture or a TensorFlow.js model, which this version doesn't open",
            hint="give the .keras file",
            reason="unsupported-format",
        )
    return ModelError(
        f"'{path}' is not a model this version knows: expected .keras, HDF5, TensorFlow.js or a frozen graph",
        hint="save it with model.save('model.keras')",
        reason="not-a-model",
    )
