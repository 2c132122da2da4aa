"""Weights of a TensorFlow.js graph-model: what a `weightsManifest` says lies where, read from its shards.

The shards of a group are one run of bytes; tensors follow each other in it without gaps. A quantised
weight is `value · scale + min` computed in float64 and then rounded to float32; for `float16` it is
the half-precision value itself. A string tensor is, for each element, its length (uint32) and its bytes.
Source: `tfjs-core/src/io/io_utils.ts` and `io/types.ts` of TensorFlow.js 4.22.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from saliency_cli.differentiable import Array
from saliency_cli.errors import ModelError

_DTYPES = {
    "float32": "<f4", "float16": "<f2", "int32": "<i4", "uint8": "u1", "uint16": "<u2", "bool": "?",
    "complex64": "<c8",
}  # fmt: skip
_QUANTISED = ("uint8", "uint16", "float16")
_MOST_SHARDS = 1000
_MOST_NUMBERS = 2**33


def read_weights(folder: Path, manifest: Any) -> dict[str, Array]:
    """Return every weight of a manifest by name. Raises `ModelError` for anything that doesn't fit exactly."""
    weights: dict[str, Array] = {}
    used: set[str] = set()
    for group in _sequence(manifest, "weightsManifest"):
        content = _shards(folder, _sequence(_field(group, "paths"), "paths"), used)
        position = 0
        for entry in _sequence(_field(group, "weights"), "weights"):
            name = str(_field(entry, "name"))
            if name in weights:
                raise _broken(f"the weight '{name}' is there twice")
            weight, position = _decoded(name, entry, content, position)
            # An optimizer's own weights lie among the model's and are no part of it.
            if entry.get("group") != "optimizer":
                weights[name] = weight
        if position != len(content):
            raise _broken(f"{len(content) - position} bytes of its weight files belong to no weight")
    return weights


def _shards(folder: Path, paths: Sequence[Any], used: set[str]) -> bytes:
    parts = []
    for path in paths:
        file = _inside(folder, path)
        if path in used or len(used) >= _MOST_SHARDS:
            raise _broken(f"the weight file '{path}' is named twice, or there are more than {_MOST_SHARDS}")
        used.add(path)
        try:
            parts.append(file.read_bytes())
        except OSError:
            raise ModelError(
                f"the weight file '{path}' that the model names is missing",
                hint="copy model.json together with all its weight files",
                reason="missing-weights",
            ) from None
    return b"".join(parts)


def _inside(folder: Path, path: Any) -> Path:
    """Return the file a shard's path names, which must be a plain file in the model's own folder."""
    text = path if isinstance(path, str) else ""
    parts = text.removeprefix("./").split("/")
    plain = text and not set(text) & set("\\%\0:") and all(part not in ("", ".", "..") for part in parts)
    file = folder.joinpath(*parts) if plain else folder
    if not plain or not file.resolve().is_relative_to(folder.resolve()) or (file.exists() and not file.is_file()):
        raise ModelError(
            f"the model is refused: its weight file '{path}' is not a path inside its own folder",
            hint="put model.json and its weight files into one folder, and name them by their names alone",
            reason="refused-path",
        )
    return file


def _decoded(name: str, entry: Mapping[str, Any], content: bytes, position: int) -> tuple[Array, int]:
    shape = tuple(_field(entry, "shape"))
    if not all(isinstance(size, int) and not isinstance(size, bool) and size >= 0 for size in shape):
        raise _broken(f"the shape of the weight '{name}' is {shape}")
    count, dtype = math.prod(shape), str(_field(entry, "dtype"))
    if count > _MOST_NUMBERS:
        raise _broken(f"the weight '{name}' would hold {count} numbers")
    if dtype == "string":
        return _strings(name, shape, count, content, position)
    quantisation = entry.get("quantization")
    stored = str(_field(quantisation, "dtype")) if quantisation else dtype
    if stored not in _DTYPES or dtype not in _DTYPES or (quantisation and stored not in _QUANTISED):
        raise _broken(f"the weight '{name}' is of type {dtype} stored as {stored}, which is not known")
    end = position + count * np.dtype(_DTYPES[stored]).itemsize
    if end > len(content):
        raise _broken(f"its weight files end inside the weight '{name}'")
    values = np.frombuffer(content[position:end], _DTYPES[stored]).reshape(shape)
    if quantisation and stored != "float16":
        scale, low = float(_field(quantisation, "scale")), float(_field(quantisation, "min"))
        if not (math.isfinite(scale) and math.isfinite(low)):
            raise _broken(f"the quantisation of the weight '{name}' is not finite")
        real = values.astype(np.float64) * scale + low
        values = np.floor(real + 0.5) if dtype == "int32" else real
    return values.astype(np.dtype(_DTYPES[dtype]).newbyteorder("=")), end


def _strings(name: str, shape: tuple[int, ...], count: int, content: bytes, position: int) -> tuple[Array, int]:
    found = []
    for _ in range(count):
        length = int.from_bytes(content[position : position + 4], "little")
        if position + 4 + length > len(content):
            raise _broken(f"its weight files end inside the weight '{name}'")
        found.append(content[position + 4 : position + 4 + length])
        position += 4 + length
    return np.array(found, object).reshape(shape), position


def _field(entry: Any, key: str) -> Any:
    if not isinstance(entry, Mapping) or key not in entry:
        raise _broken(f"its weightsManifest lacks '{key}'")
    return entry[key]


def _sequence(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise _broken(f"its {what} is no list")
    return value


def _broken(what: str) -> ModelError:
    return ModelError(
        f"the TensorFlow.js model is broken: {what}",
        hint="was it copied whole? convert the original model again",
        reason="broken-weights",
    )
