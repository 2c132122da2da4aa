"""Which inputs a run is about: files, folders, globs, lists and stdin become `Source`s, one a file or pair.

Nothing is read here but names. An id is the path as the user would write it from the current folder; it
names the input in the records and in the output tree, so two files never share one.
"""

import glob
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from saliency_cli.errors import InputError, SaliencyError, UsageError
from saliency_cli.runs.reading import known_suffixes, picture_suffixes
from saliency_cli.runs.request import ComputeRequest

STDIN = "-"


@dataclass(frozen=True)
class Source:
    """One input of a run: `parts` maps a model input's name (empty: any) to its path, `-` for stdin.

    `error` is set where the name itself is already wrong (a missing file): it becomes a failed item.
    """

    id: str
    parts: tuple[tuple[str, str], ...]
    error: SaliencyError | None = None


def natural(text: str) -> list[tuple[int, int, str]]:
    """Return a sort key under which `2.png` comes before `10.png`."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part.lower()) for part in re.split(r"(\d+)", text)]


def identify(path: str) -> str:
    """Return an input's id: its path from the current folder, with `/`, never leaving it upwards."""
    if path == STDIN:
        return "stdin"
    relative = os.path.relpath(path)
    plain = relative if not relative.startswith("..") else str(Path(path).resolve()).lstrip("/\\")
    return Path(plain).as_posix().replace(":", "_")


def listed(request: ComputeRequest) -> list[Source] | None:
    """Return every source of a run whose inputs are all known beforehand; None when they come line by line."""
    if request.files_from is not None:
        return None
    named = [entry for entry in request.named_inputs if entry[0]]
    if named and request.inputs:
        raise UsageError(
            "inputs are given both by name and without",
            hint="give every input of the model with --input NAME=PATH, or .npz files holding them all",
        )
    if named:
        return _paired(named)
    paths = [path for given in request.inputs for path in _expanded(given)]
    return list(_distinct(Source(identify(path), (("", path),), _missing(path)) for path in paths))


def streamed(request: ComputeRequest) -> Iterator[Source]:
    """Yield a source for every line of `--files-from`, as it arrives."""
    for given in request.inputs:
        for path in _expanded(given):
            yield Source(identify(path), (("", path),), _missing(path))
    assert request.files_from is not None
    for line in _lines(request.files_from, null=request.null_separated):
        parts = tuple(_named(part) for part in line.split("\t"))
        missing = next((error for _, path in parts if (error := _missing(path))), None)
        yield Source("+".join(identify(path) for _, path in parts), parts, missing)


def _named(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    return (name, path) if equals and not Path(text).exists() and Path(path).exists() else ("", text)


def _lines(file: str, *, null: bool) -> Iterator[str]:
    separator = b"\0" if null else b"\n"
    if file != STDIN and not Path(file).is_file():
        raise UsageError(f"--files-from: there is no file '{file}'", hint="--files-from FILE, or - for stdin")
    descriptor = os.dup(sys.stdin.fileno()) if file == STDIN else os.open(file, os.O_RDONLY)
    with os.fdopen(descriptor, "rb", buffering=0) as stream:
        rest = b""
        # Raw reads return as soon as there is something, so that a line is answered when it arrives.
        while chunk := stream.read(65536):
            *lines, rest = (rest + chunk).split(separator)
            yield from (os.fsdecode(line.rstrip(b"\r")) for line in lines if line.strip())
        if rest.strip():
            yield os.fsdecode(rest.rstrip(b"\r\n"))


def _missing(path: str) -> SaliencyError | None:
    if path == STDIN or Path(path).is_file():
        return None
    return InputError(f"there is no file '{path}'", hint=_similar(path), reason="missing-file")


def _similar(path: str) -> str:
    from saliency_cli.errors import nearest

    parent = Path(path).parent
    there = [entry.name for entry in parent.iterdir()] if parent.is_dir() else []
    return nearest(Path(path).name, there) or f"files of {parent}/ are looked up from the current folder"


def _expanded(given: str) -> list[str]:
    if given == STDIN or Path(given).is_file():
        return [given]
    if Path(given).is_dir():
        return _folder(Path(given))
    if glob.has_magic(given):
        matches = glob.iglob(given, recursive=True)  # noqa: PTH207 - a pattern may start anywhere
        found = sorted((path for path in matches if Path(path).is_file()), key=natural)
        if not found:
            raise InputError(
                f"nothing matches '{given}'", hint="is the pattern meant for this folder?", reason="no-inputs"
            )
        return found
    return [given]


def _folder(folder: Path) -> list[str]:
    """Return a folder's pictures in natural order, or where it has none, its arrays and tables."""
    files = [str(path) for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    for suffixes in (picture_suffixes(), known_suffixes()):
        found = [path for path in files if Path(path).suffix.lower() in suffixes]
        if found:
            return sorted(found, key=natural)
    raise InputError(
        f"'{folder}' holds no picture, array or table ({len(files)} other files)",
        hint=f"inputs end in {', '.join(known_suffixes())}",
        reason="no-inputs",
    )


def _paired(named: list[tuple[str, str]]) -> list[Source]:
    """Pair the files of several inputs by stem where the stems agree, else in order."""
    columns: dict[str, list[str]] = {}
    for name, given in named:
        columns.setdefault(name, []).extend(_expanded(given))
    lengths = {len(paths) for paths in columns.values()}
    if len(lengths) > 1:
        counts = ", ".join(f"{len(paths)} for '{name}'" for name, paths in columns.items())
        raise UsageError(f"the inputs can't be paired: {counts}", hint="give every input the same number of files")
    stems = [{Path(path).stem: path for path in paths} for paths in columns.values()]
    if all(
        stems[0].keys() == other.keys() and len(other) == len(columns[name])
        for name, other in zip(columns, stems, strict=True)
    ):
        rows = [[by_stem[stem] for by_stem in stems] for stem in stems[0]]
    else:
        rows = [list(row) for row in zip(*columns.values(), strict=True)]
    return list(_distinct(_pair(tuple(columns), row) for row in rows))


def _pair(names: tuple[str, ...], paths: list[str]) -> Source:
    missing = next((error for path in paths if (error := _missing(path))), None)
    return Source(identify(paths[0]), tuple(zip(names, paths, strict=True)), missing)


def _distinct(sources: Iterator[Source]) -> Iterator[Source]:
    """Drop a source given twice; tell apart two that would share an id."""
    seen: dict[str, list[tuple[tuple[str, str], ...]]] = {}
    for source in sources:
        same = seen.setdefault(source.id, [])
        if source.parts in same:
            continue
        same.append(source.parts)
        yield source if len(same) == 1 else Source(f"{source.id}~{len(same)}", source.parts, source.error)


def read(path: str) -> bytes:
    """Return a file's bytes, or stdin's. Raises `InputError` where it can't be read."""
    if path == STDIN:
        return sys.stdin.buffer.read()
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"'{path}' can't be read: {error.strerror}", reason="unreadable") from None
