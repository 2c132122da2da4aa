"""Reads one model for danger, inside the screening's own process: told by content, hashed, walked.

Imports no TensorFlow and no Keras, and h5py only where there is HDF5 to read: it must be done before
TensorFlow is imported next door.
"""

import hashlib
import json
import os
import stat
import zipfile
from pathlib import Path
from typing import IO, Any

from saliency_cli.errors import ModelError
from saliency_cli.models.graphs import saved_model_reading
from saliency_cli.models.graphs.frozen_graph_reading import begins_like_a_graph
from saliency_cli.models.limits import GRAPH_BYTES
from saliency_cli.models.screening.classes import Rules
from saliency_cli.models.screening.config import Found, check_config, check_sizes
from saliency_cli.models.screening.graphs import check_frozen_graph, check_json, check_saved_model
from saliency_cli.models.screening.zip import (
    WEIGHTS,
    check_members,
    open_weights,
    read_member,
)

FILES = 10_000
_BLOCK = 1 << 20


def read(path: str, rules: Rules, max_bytes: int, arrays: dict[str, int] | None = None) -> dict[str, Any]:
    """Read a model file or directory. Returns what `Screened` holds; raises `ModelError` for what is refused.

    `arrays`, where given, is filled with the size of every HDF5 array, by its path.
    """
    arrays = {} if arrays is None else arrays
    place = Path(path)
    if place.is_dir():
        return _directory(place, path, rules, max_bytes)
    with place.open("rb") as file:
        before = os.fstat(file.fileno())
        _require_size(before.st_size, path, max_bytes)
        sha256 = _hash(file)
        answer = _file(file, before.st_size, path, rules, max_bytes, arrays)
        after = os.fstat(file.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise ModelError(f"'{path}' changed while it was read", hint="wait until it is written", reason="changed")
    return {**answer, "sha256": sha256, "size": before.st_size}


def _file(
    file: IO[bytes], size: int, path: str, rules: Rules, max_bytes: int, arrays: dict[str, int]
) -> dict[str, Any]:
    file.seek(0)
    start = file.read(512)
    file.seek(0)
    if start.startswith(b"PK\x03\x04"):
        return _zip(file, path, rules, max_bytes, arrays)
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        return _hdf5(file, size, path, rules, max_bytes, arrays)
    if start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
        return _answer("json", *check_json(file, Path(path), path, rules))
    if begins_like_a_graph(start) and (found := check_frozen_graph(path, size, rules)) is not None:
        return _answer("frozen-graph", found)
    return _answer("other", Found())


def _answer(kind: str, found: Found, numbers: int | None = None) -> dict[str, Any]:
    return {"format": kind, "findings": found.findings, "lambdas": found.lambdas, "numbers": numbers}


def _zip(file: IO[bytes], path: str, rules: Rules, max_bytes: int, arrays: dict[str, int]) -> dict[str, Any]:
    from saliency_cli.models.screening.hdf5 import check_hdf5

    with zipfile.ZipFile(file) as archive:
        if "config.json" not in archive.namelist():
            return _answer("other", Found())  # another program's archive, which recognition names
        check_members(archive, path, max_bytes)
        metadata = json.loads(read_member(archive, "metadata.json", path))
        config = json.loads(read_member(archive, "config.json", path))
        with open_weights(archive, file) as weights:
            contents = check_hdf5(weights, path, archive.getinfo(WEIGHTS).file_size, max_bytes)
    arrays.update(contents.arrays)
    found = check_config(config, path, _strict(rules, metadata))
    check_sizes(found, contents.numbers, path)
    return _answer("keras-zip", found, contents.numbers)


def _strict(rules: Rules, metadata: Any) -> Rules:
    """Return the rules of a `.keras` file: Keras 3 makes paths of layer names and allows no `/` in them."""
    from dataclasses import replace

    writer = str(metadata.get("keras_version", "")) if isinstance(metadata, dict) else ""
    return replace(rules, slashes=writer.startswith("2."), trained=True)


def _hdf5(
    file: IO[bytes], size: int, path: str, rules: Rules, max_bytes: int, arrays: dict[str, int]
) -> dict[str, Any]:
    from saliency_cli.models.screening.hdf5 import check_hdf5

    contents = check_hdf5(file, path, size, max_bytes)
    arrays.update(contents.arrays)
    if contents.config is None:
        return _answer("hdf5-weights", Found(), contents.numbers)
    found = check_config(json.loads(contents.config), path, rules)
    check_sizes(found, contents.numbers, path)
    return _answer("keras-hdf5", found, contents.numbers)


def _directory(place: Path, path: str, rules: Rules, max_bytes: int) -> dict[str, Any]:
    """Look at a model that is a directory: only plain files, no link that leads out of it."""
    root = place.resolve()
    digest = hashlib.sha256()
    files = _plain_files(root, path)
    total = sum(inner.stat().st_size for inner in files)
    _require_size(total, path, max_bytes)
    for inner in files:
        if inner.name == "saved_model.pb":
            _require_size(inner.stat().st_size, path, GRAPH_BYTES)
        with inner.open("rb") as file:
            digest.update(f"{inner.relative_to(root).as_posix()}\0{_hash(file)}\n".encode(errors="surrogateescape"))
    kind, found, numbers = "directory", Found(), None
    if (root / "config.json").is_file() and (root / WEIGHTS).is_file():
        kind = "keras-directory"
        found, numbers = _keras_directory(root, path, rules, max_bytes)
    elif saved_model_reading.recognise(root):
        kind, found = "saved-model", check_saved_model(root, path, total, rules)
    elif (root / "model.json").is_file():
        with (root / "model.json").open("rb") as file:
            found, numbers = check_json(file, root / "model.json", path, rules)
    return {**_answer(kind, found, numbers), "sha256": digest.hexdigest(), "size": total}


def _keras_directory(root: Path, path: str, rules: Rules, max_bytes: int) -> tuple[Found, int]:
    from saliency_cli.models.screening.hdf5 import check_hdf5

    with (root / "config.json").open("rb") as file:
        found, _ = check_json(file, root / "config.json", path, _strict(rules, None))
    with (root / WEIGHTS).open("rb") as file:
        numbers = check_hdf5(file, path, os.fstat(file.fileno()).st_size, max_bytes).numbers
    check_sizes(found, numbers, path)
    return found, numbers


def _plain_files(root: Path, path: str) -> list[Path]:
    """Return every file below a directory, sorted. Raises `ModelError` for anything that is no plain file."""
    files: list[Path] = []
    seen = 0
    for folder, folders, names in os.walk(root):
        seen += len(folders) + len(names)
        if seen > FILES:
            raise _refused(path, f"it holds more than {FILES:,} files", "refused-size")
        for name in (*folders, *names):
            inner = Path(folder, name)
            shown = inner.relative_to(root).as_posix()[:80].encode("unicode_escape").decode()
            if inner.is_symlink() and not inner.resolve().is_relative_to(root):
                raise _refused(path, f"'{shown}' is a link that leads out of the model", "refused-link")
            mode = inner.stat().st_mode
            if stat.S_ISREG(mode):
                files.append(inner)
            elif not stat.S_ISDIR(mode):
                raise _refused(path, f"'{shown}' is no plain file", "refused-file")
            elif inner.is_symlink():
                raise _refused(path, f"'{shown}' is a link to a folder", "refused-link")
    return sorted(files)


def _hash(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := file.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()


def _require_size(size: int, path: str, max_bytes: int) -> None:
    if size > max_bytes:
        raise _too_large(path, max_bytes)


def _too_large(path: str, limit: int) -> ModelError:
    return _refused(path, f"it is larger than {limit / 2**30:.3g} GiB", "refused-size")


def _refused(path: str, why: str, reason: str) -> ModelError:
    return ModelError(f"'{path}' is refused: {why}", hint="give the model's own files", reason=reason)
