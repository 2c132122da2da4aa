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
from itertools import islice
from pathlib import Path

from saliency_cli.errors import InputError, SaliencyError, UsageError, nearest
from saliency_cli.runs.naming import readable
from saliency_cli.runs.places import exists, is_file, is_folder, same
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


def natural(text: str) -> tuple[list[tuple[int, int, str]], str]:
    """Return a sort key under which `2.png` comes before `10.png`."""
    parts = re.split(r"(\d+)", text)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part.lower()) for part in parts], text


def identify(path: str) -> str:
    """Return an input's id: its path from the current folder, with `/`, never leaving it upwards.

    A path that leads out of the current folder goes by its absolute form. Bytes that are no UTF-8 are
    written out, since an id stands in the JSON and names a folder.
    """
    if path == STDIN:
        return "stdin"
    relative = os.path.relpath(path)
    outside = relative == os.pardir or relative.startswith(os.pardir + os.sep)
    plain = os.path.abspath(path) if outside else relative  # noqa: PTH100 - links stay as written
    identity = Path(readable(plain)).as_posix()
    # Beside a path inside the current folder that gets the same folder, or is of the same bytes written out.
    place = identity.lstrip("/")
    return f"{identity}~" if place != relative and exists(place) and not same(place, path) else identity


def listed(request: ComputeRequest) -> list[Source] | None:
    """Return every source of a run whose inputs are all known beforehand; None when they come line by line."""
    named = [entry for entry in request.named_inputs if entry[0]]
    if request.files_from is not None:
        if named:
            raise UsageError(
                "inputs are given both with --input and with --files-from",
                hint="name them on the lines of --files-from: left=a.png, a tab, right=b.png",
            )
        return None
    if named and request.inputs:
        raise UsageError(
            "inputs are given both by name and without",
            hint="give every input of the model with --input NAME=PATH, or .npz files holding them all",
        )
    if named:
        return _paired(named)
    return list(_distinct(source for given in request.inputs for source in _sources(given)))


def _sources(given: str) -> Iterator[Source]:
    """Yield the sources one argument stands for; an argument without any is one that failed."""
    try:
        paths = _expanded(given)
    except InputError as error:
        yield Source(identify(given), (("", given),), error)
        return
    for path in paths:
        yield Source(identify(path), (("", path),), _missing(path))


def streamed(request: ComputeRequest) -> Iterator[Source]:
    """Yield a source for every line of `--files-from`, as it arrives."""
    for given in request.inputs:
        yield from _sources(given)
    assert request.files_from is not None
    for line in _lines(request.files_from, null=request.null_separated):
        whole = line.count("\t") == 0 or is_file(line)
        parts = tuple(_named(part) for part in ([line] if whole else line.split("\t")))
        missing = next((error for _, path in parts if (error := _missing(path))), None)
        yield Source("+".join(identify(path) for _, path in parts), parts, missing)


def _named(text: str) -> tuple[str, str]:
    """Split `name=path`, unless a file is called so. A `-` among lines is a file's name: stdin is the lines'."""
    name, equals, path = text.partition("=")
    if equals and not is_file(text) and is_file(path):
        return name, path
    return "", f".{os.sep}{STDIN}" if text == STDIN else text


def _lines(file: str, *, null: bool) -> Iterator[str]:
    with os.fdopen(_descriptor(file), "rb", buffering=0) as stream:
        rest, started = b"", False
        # Raw reads return as soon as there is something, so that a line is answered when it arrives.
        while chunk := stream.read(65536):
            if not started:
                chunk, started = chunk.removeprefix(b"\xef\xbb\xbf"), True
            *lines, rest = (rest + chunk).split(b"\0" if null else b"\n")
            yield from _decoded(lines, null=null)
        yield from _decoded([rest], null=null)


def _descriptor(file: str) -> int:
    if file == STDIN:
        if sys.stdin is None:
            raise UsageError("--files-from - reads stdin, which is closed", hint="--files-from FILE")
        return os.dup(sys.stdin.fileno())
    if not is_file(file):
        raise UsageError(f"--files-from: there is no file '{file}'", hint="--files-from FILE, or - for stdin")
    try:
        return os.open(file, os.O_RDONLY)
    except OSError as error:
        raise UsageError(f"--files-from: '{file}' can't be read: {error.strerror}") from None


def _decoded(lines: list[bytes], *, null: bool) -> Iterator[str]:
    """Yield the names of lines that hold one; NUL-separated ones are taken to the byte."""
    for line in lines:
        name = line if null else line.rstrip(b"\r")
        if name if null else name.strip():
            yield os.fsdecode(name)


def _missing(path: str) -> SaliencyError | None:
    if path == STDIN or is_file(path):
        return None
    if is_folder(path):
        return InputError(f"'{path}' is a folder, and a file was expected", reason="not-a-file")
    return InputError(f"there is no file '{path}'", hint=_similar(path), reason="missing-file")


_SIMILAR_AMONG = 1000


def _similar(path: str) -> str:
    parent = Path(path).parent
    # The first thousand: a long list of missing names in a large folder should not take minutes.
    there = [entry.name for entry in islice(parent.iterdir(), _SIMILAR_AMONG)] if is_folder(parent) else []
    return nearest(Path(path).name, there) or f"files of {parent}/ are looked up from the current folder"


def _expanded(given: str) -> list[str]:
    if given == STDIN or is_file(given):
        return [given]
    if is_folder(given):
        return _folder(Path(given))
    if glob.has_magic(given):
        matches = glob.iglob(given, recursive=True)  # noqa: PTH207 - a pattern may start anywhere
        found = sorted((path for path in matches if is_file(path) and not _ours(Path(path))), key=natural)
        if not found:
            raise InputError(
                f"nothing matches '{given}'", hint="is the pattern meant for this folder?", reason="no-inputs"
            )
        return found
    return [given]


def _folder(folder: Path) -> list[str]:
    """Return a folder's pictures in natural order, or where it has none, its arrays and tables.

    Hidden files and folders are left out, and so is what an earlier run wrote there.
    """
    files = [
        str(path)
        for path in folder.rglob("*")
        if path.is_file() and not _hidden(path.relative_to(folder)) and not _ours(path)
    ]
    for suffixes in (picture_suffixes(), known_suffixes()):
        found = [path for path in files if Path(path).suffix.lower() in suffixes]
        if found:
            return sorted(found, key=natural)
    raise InputError(
        f"'{folder}' holds no picture, array or table ({len(files)} other files)",
        hint=f"inputs end in {', '.join(known_suffixes())}",
        reason="no-inputs",
    )


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _ours(path: Path) -> bool:
    """Whether a file is one that saliency wrote: found again, it would be taken for an input."""
    if re.search(r"\.saliency(\.(heatmap|overlay|panel))?$", path.stem):
        return True
    runs = (parent.parent for parent in path.parents if parent.name == "maps")
    return any((run / "run.json").is_file() and (run / "items.jsonl").is_file() for run in runs)


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
        parts = tuple((name, os.path.normpath(path)) for name, path in source.parts)
        same = seen.setdefault(source.id, [])
        if parts in same:
            continue
        same.append(parts)
        yield source if len(same) == 1 else Source(f"{source.id}~{len(same)}", source.parts, source.error)


def read(path: str) -> bytes:
    """Return a file's bytes, or stdin's. Raises `InputError` where it can't be read."""
    if path == STDIN:
        if sys.stdin is None:
            raise InputError("stdin is closed, and a picture was expected there", reason="unreadable")
        return sys.stdin.buffer.read()
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"'{path}' can't be read: {error.strerror}", reason="unreadable") from None
