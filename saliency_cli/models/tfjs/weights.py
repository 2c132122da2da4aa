"""Weights of a TensorFlow.js model: what its `weightsManifest` says lies where, read from its weight files.

NumPy only. A manifest is a list of groups; the files of a group are one run of bytes, and its tensors
follow each other in that run without gaps, so a tensor may lie across two files. A quantised number is
`value · scale + min`, computed in float64. Files are read from the model's own folder and nowhere else.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from saliency_cli.differentiable import Array
from saliency_cli.errors import ModelError

_STORED = {
    "float32": "<f4",
    "float16": "<f2",
    "int32": "<i4",
    "uint8": "u1",
    "uint16": "<u2",
    "bool": "u1",
    "complex64": "<c8",
}
# What a tensor becomes; half precision is widened, as TensorFlow.js does.
_BECOMES = {"float32": "f4", "float16": "f4", "int32": "i4", "uint8": "u1", "bool": "?", "complex64": "c8"}
_QUANTISED = ("uint8", "uint16", "float16")
_MOST_FILES = 1000
_MOST_NUMBERS = 2**33


@dataclass(frozen=True)
class _Entry:
    """One tensor of a manifest: `stored` is the dtype of its bytes."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    stored: str
    scale: float
    minimum: float
    kept: bool

    @property
    def count(self) -> int:
        return math.prod(self.shape)

    @property
    def size(self) -> int:
        return self.count * np.dtype(_STORED[self.stored]).itemsize


def read_weights(folder: Path, manifest: Any, digest: Any = None) -> dict[str, Array]:
    """Return the weights of a layers- or graph-model by name, an optimizer's own left out.

    `digest` (of `hashlib`) is fed the files' bytes as they are read, so that what is hashed is what is loaded.
    Raises `ModelError` for a file that is missing, too short, too long or outside `folder`, for a name
    that is there twice, and for a type that has no numbers.
    """
    weights: dict[str, Array] = {}
    names: set[str] = set()
    used: set[Path] = set()
    for group in _list(manifest, "weightsManifest"):
        entries = [_entry(entry) for entry in _list(_field(group, "weights"), "weights")]
        for entry in entries:
            if entry.name in names:
                raise _broken(f"the weight '{entry.name}' is there twice")
            names.add(entry.name)
        files = [_inside(folder, path) for path in _list(_field(group, "paths"), "paths")]
        content = _joined(files, entries, used)
        if digest is not None:
            digest.update(content)
        position = 0
        for entry in entries:
            if entry.kept:
                weights[entry.name] = _decoded(entry, content[position : position + entry.size])
            position += entry.size
    return weights


def shapes_of(manifest: Any) -> dict[str, tuple[int, ...]]:
    """Return the shapes a manifest declares, by name, without reading a weight file."""
    groups = _list(manifest, "weightsManifest")
    entries = (_entry(entry) for group in groups for entry in _list(_field(group, "weights"), "weights"))
    return {entry.name: entry.shape for entry in entries if entry.kept}


def _entry(entry: Any) -> _Entry:
    name, dtype = str(_field(entry, "name")), str(_field(entry, "dtype"))
    shape = _list(_field(entry, "shape"), f"shape of the weight '{name}'")
    if not all(isinstance(size, int) and not isinstance(size, bool) and size >= 0 for size in shape):
        raise _broken(f"the shape of the weight '{name}' is {shape}")
    if math.prod(shape) > _MOST_NUMBERS:
        raise _broken(f"the weight '{name}' would hold {math.prod(shape):,} numbers")
    quantisation = entry.get("quantization") or {}
    if not isinstance(quantisation, Mapping):
        raise _broken(f"the quantisation of the weight '{name}' can't be read")
    stored = str(_field(quantisation, "dtype")) if quantisation else dtype
    if dtype not in _BECOMES or stored not in _STORED or (quantisation and stored not in _QUANTISED):
        what = dtype if stored == dtype else f"{dtype} stored as {stored}"
        raise ModelError(
            f"the weight '{name}' is of type {what}, which can't be computed with",
            hint="types that can be read: " + ", ".join(_BECOMES),
            reason="unsupported-weights",
        )
    scale, minimum = 1.0, 0.0
    if quantisation and stored != "float16":
        scale, minimum = _number(quantisation, "scale", name), _number(quantisation, "min", name)
    return _Entry(name, tuple(shape), dtype, stored, scale, minimum, entry.get("group") != "optimizer")


def _number(quantisation: Mapping[str, Any], key: str, name: str) -> float:
    value = _field(quantisation, key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _broken(f"the {key} of the quantised weight '{name}' is {value!r}")
    return float(value)


def _decoded(entry: _Entry, content: memoryview) -> Array:
    # A copy: the run of bytes is let go, and its tensors need not be aligned in it.
    values: Any = np.frombuffer(content, _STORED[entry.stored]).reshape(entry.shape)
    if entry.stored != entry.dtype and entry.stored != "float16":
        values = values.astype(np.float64) * entry.scale + entry.minimum
        if entry.dtype == "int32":
            values = np.floor(values + 0.5)
    return np.array(values, _BECOMES[entry.dtype])


def _joined(files: Sequence[Path], entries: Sequence[_Entry], used: set[Path]) -> memoryview:
    """Read the files of a group. Their sizes are compared first, so that a wrong one is never read."""
    for file in files:
        if file in used or len(used) >= _MOST_FILES:
            raise _broken(f"the weight file '{file.name}' is named twice, or there are more than {_MOST_FILES}")
        used.add(file)
    sizes = [file.stat().st_size for file in files]
    needed = sum(entry.size for entry in entries)
    if sum(sizes) < needed:
        raise _short(files, sizes, needed)
    if sum(sizes) > needed:
        raise _broken(f"{sum(sizes) - needed:,} bytes of its weight files belong to no weight")
    content = b"".join(file.read_bytes() for file in files)
    if len(content) != needed:
        raise _broken("its weight files changed while they were read")
    return memoryview(content)


def _short(files: Sequence[Path], sizes: Sequence[int], needed: int) -> ModelError:
    # A converter cuts files of one size, the last one shorter: one that differs is the one cut off.
    odd = [file for file, size in zip(files[:-1], sizes, strict=False) if size != max(sizes)]
    suspect = (odd or list(files[-1:]) or [Path("(none)")])[0]
    return ModelError(
        f"the weight file '{suspect.name}' is cut off: its weights take {needed:,} bytes, {sum(sizes):,} are there",
        hint="was it copied or downloaded whole?",
        reason="truncated",
    )


def _inside(folder: Path, path: Any) -> Path:
    """Return the weight file of a path in a manifest: a plain file in the model's own folder."""
    text = path if isinstance(path, str) else ""
    parts = text.removeprefix("./").split("/")
    encoded = any(code in text.lower() for code in ("%2e", "%2f", "%5c", "%00"))
    if not text or encoded or set(text) & set("\\\0:") or any(part in ("", ".", "..") for part in parts):
        raise _outside(path)
    file = folder.joinpath(*parts)
    if not file.exists():
        # Some servers and tools add the suffix or drop it.
        other = file.with_suffix("") if file.suffix == ".bin" else file.with_name(file.name + ".bin")
        if not other.exists():
            raise ModelError(
                f"the weight file '{text}' that the model names is missing",
                hint="copy model.json together with all its weight files",
                reason="missing-weights",
            )
        file = other
    if not file.resolve().is_relative_to(folder.resolve()) or not file.is_file():
        raise _outside(path)
    return file


def _outside(path: Any) -> ModelError:
    return ModelError(
        f"the model is refused: its weight file {str(path)[:200]!r} is not a plain file in its own folder",
        hint="put model.json and its weight files into one folder, and name them by their names alone",
        reason="refused-path",
    )


def _field(entry: Any, key: str) -> Any:
    if not isinstance(entry, Mapping) or key not in entry:
        raise _broken(f"its weightsManifest lacks '{key}'")
    return entry[key]


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise _broken(f"its {what} is no list")
    return value


def _broken(what: str) -> ModelError:
    return ModelError(
        f"the TensorFlow.js model is broken: {what}",
        hint="was it copied whole? convert the original model again",
        reason="broken-weights",
    )
