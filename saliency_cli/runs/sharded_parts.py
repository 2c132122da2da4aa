"""The parts of a sharded run folder: rows, stacks of maps, and the marker that says a part is whole.

    rows/part-00000.jsonl.gz   the records of some samples, one a line
    maps/part-00000.npy        those of their maps that are kept, float16; the rows tell position and scale
    done/part-00000.json       counts and hashes, written last

Everything is written under a temporary name first. What has no marker is believed by nobody and done again.
"""

import gzip
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from saliency_cli.differentiable import Array
from saliency_cli.records import ItemRecord, StackedRecord
from saliency_cli.runs.stacks import Stack

PART_ROWS = 1000
PART_SECONDS = 60.0
"""A killed run loses what was done since the last part: at most this many rows, and this much time."""

_ROWS, _MAPS, _DONE = "rows", "maps", "done"
_TEMPORARY = ".saliency-"
_LEVEL = 3  # of gzip: a third of the time of 9, and a tenth larger
_ENCODER = msgspec.json.Encoder()
_ITEM = msgspec.json.Decoder(ItemRecord)
Halves = Mapping[tuple[int, str], tuple[Array, float]]
"""Maps on their way to a stack, by the position of the map in the record and the input: float16 array, scale."""


class Marker(msgspec.Struct, kw_only=True):
    """`done/part-….json`: the files of a part; `maps`: each stack's bytes. Paths are relative to the run folder."""

    schema: str = "part-1"
    rows: str
    sha256: str
    ok: int
    error: int
    maps: dict[str, int] = {}


@dataclass(frozen=True)
class StackNames:
    """How stacks are told apart: `inputs` where several are differentiated, `shapes` where they vary."""

    inputs: Mapping[str, str] = field(default_factory=dict)
    shapes: bool = False

    def of(self, part: str, name: str, shape: tuple[int, ...]) -> str:
        """Return the file of the stack that a map of an input goes to."""
        words = [part, *([self.inputs[name]] if self.inputs else ())]
        words += ["x".join(map(str, shape)) or "scalar"] if self.shapes else []
        return f"{_MAPS}/{'.'.join(words)}.npy"


class Part:
    """A part being filled. Raises `OSError` where it can't be written; the part is then absent."""

    def __init__(self, root: Path, name: str, names: StackNames) -> None:
        self.root, self.name, self.names = root, name, names
        self.stacks: dict[str, Stack] = {}
        self.ending = False
        self._lines: list[bytes] = []
        self._errors = 0
        self._began = time.monotonic()

    @property
    def full(self) -> bool:
        """Whether it is time for the next part."""
        rows = len(self._lines)
        return rows >= PART_ROWS or (rows > 0 and time.monotonic() - self._began >= PART_SECONDS)

    def add(self, record: ItemRecord, maps: Halves) -> None:
        """Take in a row, with those of its maps that are kept; the record is told where they are."""
        for (position, name), (halves, scale) in maps.items():
            file = self.names.of(self.name, name, halves.shape)
            if file not in self.stacks:
                (self.root / _MAPS).mkdir(parents=True, exist_ok=True)
                self.stacks[file] = Stack(_hidden(self.root / file), halves.shape)
            index = self.stacks[file].append(halves)
            record.maps[position].inputs[name].stack = StackedRecord(file=file, index=index, scale=scale)
        self._errors += record.status == "error"
        self._lines.append(_ENCODER.encode(record) + b"\n")

    def end(self) -> bool:
        """Write what there is, the marker last. Return whether there is anything: without rows nothing is left.

        Where Ctrl-C broke it off (`ending`), no row may be added, and another call does the rest.
        """
        if not self._lines:
            return False
        moved = {file for file, stack in self.stacks.items() if self.ending and not stack.path.exists()}
        self.ending = True
        packed = gzip.compress(b"".join(self._lines), _LEVEL, mtime=0)
        rows = f"{_ROWS}/{self.name}.jsonl.gz"
        ok = len(self._lines) - self._errors
        marker = Marker(rows=rows, sha256=sha256(packed).hexdigest(), ok=ok, error=self._errors)
        marker.maps = {file: stack.size for file, stack in self.stacks.items()}
        waiting = {file: stack for file, stack in self.stacks.items() if file not in moved}
        for stack in waiting.values():
            stack.end()
        # The old marker goes before the files it speaks of are replaced.
        _marker_of(self.root, self.name).unlink(missing_ok=True)
        for file, stack in waiting.items():
            stack.path.replace(self.root / file)
        _write(self.root / rows, packed)
        for folder in (_ROWS, *([_MAPS] if self.stacks else [])):
            _settle(self.root / folder)
        _write(_marker_of(self.root, self.name), _ENCODER.encode(marker) + b"\n")
        return True

    def drop(self) -> None:
        """Leave nothing of it."""
        for stack in self.stacks.values():
            stack.path.unlink(missing_ok=True)


class _Settings(msgspec.Struct):
    settings: dict[str, Any] = {}


def is_sharded(root: Path) -> bool:
    """Whether a run folder is in parts, as its `run.json` says."""
    try:
        found = msgspec.json.decode((root / "run.json").read_bytes(), type=_Settings)
    except (OSError, msgspec.DecodeError):
        return False
    return found.settings.get("layout") == "sharded"


def whole_parts(root: Path) -> list[str]:
    """Return the names of the parts that have a marker under its final name, in the order of their making."""
    return sorted(path.stem for path in (root / _DONE).glob("[!.]*.json")) if (root / _DONE).is_dir() else []


def read_marker(root: Path, name: str) -> Marker | None:
    """Return a part's marker, None where it is absent or can't be read."""
    try:
        return msgspec.json.decode(_marker_of(root, name).read_bytes(), type=Marker)
    except (OSError, msgspec.DecodeError):
        return None


def read_part(root: Path, name: str) -> list[ItemRecord] | None:
    """Return a part's rows, None where its marker and its files don't agree."""
    marker = read_marker(root, name)
    if marker is None or any(_size(root / file) != size for file, size in marker.maps.items()):
        return None
    try:
        packed = (root / marker.rows).read_bytes()
    except OSError:
        return None
    if sha256(packed).hexdigest() != marker.sha256:
        return None
    return [_ITEM.decode(line) for line in gzip.decompress(packed).splitlines()]


def read_rows(root: Path) -> Iterator[ItemRecord]:
    """Yield the rows of every whole part, one part in memory at a time."""
    for name in whole_parts(root):
        yield from read_part(root, name) or ()


def rewrite(
    root: Path,
    name: str,
    names: StackNames,
    keep_row: Callable[[int], bool],
    keep_map: Callable[[ItemRecord], bool],
) -> None:
    """Write a part again with some of its rows, by position, and some of their maps. Raises `OSError`."""
    marker, rows = read_marker(root, name), read_part(root, name)
    assert marker is not None
    assert rows is not None
    part = Part(root, name, names)
    stacks = {file: np.load(root / file, mmap_mode="r") for file in marker.maps}
    try:
        for position, record in enumerate(rows):
            if keep_row(position):
                part.add(record, _taken(record, stacks, keep=keep_map(record)))
        remove = [file for file in marker.maps if file not in part.stacks]
        if not part.end():
            _marker_of(root, name).unlink()
            remove.append(marker.rows)
    except BaseException:
        part.drop()
        raise
    for file in remove:
        (root / file).unlink(missing_ok=True)


def _taken(record: ItemRecord, stacks: Mapping[str, Array], *, keep: bool) -> Halves:
    """Return the maps that a row tells of, and make it tell of none."""
    taken = {}
    for position, found in enumerate(record.maps):
        for name, entry in found.inputs.items():
            if entry.stack is not None and keep:
                taken[position, name] = stacks[entry.stack.file][entry.stack.index], entry.stack.scale
            entry.stack = None
    return taken


def taken_over(root: Path, stem: str) -> Iterator[tuple[str, list[ItemRecord]]]:
    """Yield the whole parts whose names begin with `stem`, and their rows; then remove the files of all others."""
    told: set[str] = set()
    for name in [name for name in whole_parts(root) if name.startswith(stem)]:
        marker, rows = read_marker(root, name), read_part(root, name)
        if marker is None or rows is None:
            _marker_of(root, name).unlink()
            continue
        told |= {marker.rows, *marker.maps}
        if rows:
            yield name, rows
    for folder in (_ROWS, _MAPS):
        for path in (root / folder).glob(f"{stem}*") if (root / folder).is_dir() else ():
            if f"{folder}/{path.name}" not in told:
                path.unlink()


def remove(root: Path, name: str) -> None:
    """Remove a part, its marker first."""
    marker = read_marker(root, name)
    _marker_of(root, name).unlink(missing_ok=True)
    for file in [marker.rows, *marker.maps] if marker is not None else ():
        (root / file).unlink(missing_ok=True)


def _hidden(path: Path) -> Path:
    return path.with_name(f"{_TEMPORARY}{path.name}")


def _marker_of(root: Path, name: str) -> Path:
    return root / _DONE / f"{name}.json"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, through to the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _hidden(path)
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _settle(folder: Path) -> None:
    """Put a folder's names on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
