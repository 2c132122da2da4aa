"""What a TensorFlow.js model's `weightsManifest` says of its weights: shapes, types, and which files hold them.

No NumPy and no bytes read: names, sizes and places are looked at first. A manifest is a list of groups; the
files of a group are one run of bytes, and its tensors follow each other in that run without gaps. Files
lie in the model's own folder and nowhere else.
Source: `tfjs-core/src/io/io_utils.ts` and `io/types.ts` of TensorFlow.js 4.22.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saliency_cli.errors import ModelError
from saliency_cli.models.limits import WEIGHT_BYTES

# Type in the file → bytes a number takes there and, at the most, in memory.
SIZES = {"float32": 4, "float16": 2, "int32": 4, "uint8": 1, "uint16": 2, "bool": 1, "complex64": 8}
KINDS = ("float32", "float16", "int32", "uint8", "bool", "complex64")
_QUANTISED = ("uint8", "uint16", "float16")
_MOST_FILES = 1000
_MOST_NUMBERS = 2**33


@dataclass(frozen=True)
class Entry:
    """One tensor: `stored` is the type of its bytes, `kept` false for an optimizer's own."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    stored: str
    scale: float
    minimum: float
    kept: bool

    @property
    def count(self) -> int:
        """How many numbers (or texts) it holds."""
        return math.prod(self.shape)

    @property
    def size(self) -> int:
        """How many bytes it takes; of texts, at least: each begins with its length."""
        return self.count * SIZES.get(self.stored, 4)


@dataclass(frozen=True)
class Group:
    """Tensors that lie behind each other in the run of bytes of some files."""

    entries: tuple[Entry, ...]
    files: tuple[Path, ...]


def read_groups(folder: Path, manifest: Any, *, texts: bool = False) -> list[Group]:
    """Return a manifest's groups, the sizes of their files compared with what they must hold.

    `texts`: tensors of texts may be among them. Raises `ModelError` for a file that is missing, too short,
    too long or outside `folder`, for a name that is there twice, and for a type that has no numbers.
    """
    groups, used, names = [], set[Path](), set[str]()
    for group in _list(manifest, "weightsManifest"):
        entries = tuple(_entry(entry, texts=texts) for entry in _list(_field(group, "weights"), "weights"))
        for entry in entries:
            if entry.name in names:
                raise broken(f"the weight '{entry.name}' is there twice")
            names.add(entry.name)
        files = tuple(_inside(folder, path) for path in _list(_field(group, "paths"), "paths"))
        for file in files:
            if file in used or len(used) >= _MOST_FILES:
                raise broken(f"the weight file '{file.name}' is named twice, or there are more than {_MOST_FILES}")
            used.add(file)
        _require_sizes(files, entries)
        groups.append(Group(entries, files))
    _require_bounded(groups)
    return groups


def shapes_of(manifest: Any) -> dict[str, tuple[int, ...]]:
    """Return the shapes a manifest declares, by name, without looking at a weight file."""
    return {entry.name: entry.shape for entry in kept_entries(manifest)}


def kept_entries(manifest: Any) -> list[Entry]:
    """Return the tensors of a manifest that are a model's own numbers."""
    groups = _list(manifest, "weightsManifest")
    entries = (_entry(entry, texts=True) for g in groups for entry in _list(_field(g, "weights"), "weights"))
    return [entry for entry in entries if entry.kept and entry.dtype != "string"]


def _entry(entry: Any, *, texts: bool) -> Entry:
    name, dtype = str(_field(entry, "name")), str(_field(entry, "dtype"))
    shape = _list(_field(entry, "shape"), f"shape of the weight '{name}'")
    if not all(isinstance(size, int) and not isinstance(size, bool) and size >= 0 for size in shape):
        raise broken(f"the shape of the weight '{name}' is {shape}")
    if math.prod(shape) > _MOST_NUMBERS:
        raise broken(f"the weight '{name}' would hold {math.prod(shape):,} numbers")
    quantisation = entry.get("quantization") or {}
    if not isinstance(quantisation, Mapping):
        raise broken(f"the quantisation of the weight '{name}' can't be read")
    stored = str(_field(quantisation, "dtype")) if quantisation else dtype
    plain = dtype in KINDS and stored in SIZES and (not quantisation or stored in _QUANTISED)
    if not plain and not (texts and dtype == stored == "string"):
        what = dtype if stored == dtype else f"{dtype} stored as {stored}"
        raise ModelError(
            f"the weight '{name}' is of type {what}, which can't be computed with",
            hint="types that can be read: " + ", ".join(KINDS),
            reason="unsupported-weights",
        )
    scale, minimum = 1.0, 0.0
    if quantisation and stored != "float16":
        scale, minimum = _number(quantisation, "scale", name), _number(quantisation, "min", name)
    return Entry(name, tuple(shape), dtype, stored, scale, minimum, entry.get("group") != "optimizer")


def _number(quantisation: Mapping[str, Any], key: str, name: str) -> float:
    value = _field(quantisation, key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise broken(f"the {key} of the quantised weight '{name}' is {value!r}")
    return float(value)


def _require_sizes(files: Sequence[Path], entries: Sequence[Entry]) -> None:
    """Compare the sizes of a group's files with what it declares, so that a wrong one is never read."""
    sizes = [file.stat().st_size for file in files]
    needed = sum(entry.size for entry in entries)
    if sum(sizes) < needed:
        raise _short(files, sizes, needed)
    if sum(sizes) > needed and not any(entry.dtype == "string" for entry in entries):
        raise broken(f"{sum(sizes) - needed:,} bytes of its weight files belong to no weight")


def _require_bounded(groups: Sequence[Group]) -> None:
    # Quantised numbers take up to eight times their bytes while they are computed.
    total = sum(entry.count * SIZES.get(entry.dtype, 4) for group in groups for entry in group.entries)
    if total > WEIGHT_BYTES:
        raise ModelError(
            f"the model is refused: its weights would take {total:,} bytes, more than {WEIGHT_BYTES >> 30} GiB",
            hint="was it converted from a model of that size?",
            reason="refused-size",
        )


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
        raise broken(f"its weightsManifest lacks '{key}'")
    return entry[key]


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise broken(f"its {what} is no list")
    return value


def broken(what: str) -> ModelError:
    """Return the error of weights that can't be what a converter wrote."""
    return ModelError(
        f"the TensorFlow.js model is broken: {what}",
        hint="was it copied whole? convert the original model again",
        reason="broken-weights",
    )
