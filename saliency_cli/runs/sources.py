"""Which inputs a run is about: files, folders, globs, lists and stdin become `Source`s, one a file or pair.

Nothing is read here but names. An id is the path as the user would write it from the current folder; it
names the input in the records and in the output tree, so two files never share one. What lies elsewhere goes by
its address, without credentials.
"""

import glob
import io
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
from saliency_cli.runs.remote import expanded, fetch, is_pattern, is_remote, shown
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
    if is_remote(path):
        return readable(shown(path))
    if path == os.path.normpath(path) and path[:1] != "." and path.isascii() and ":" not in path:
        # As nearly all are: what follows would say the same, and take longer than the rest of the listing.
        if not path.startswith("/"):
            return path
        if not path.startswith(os.getcwd().rstrip("/") + "/") and not exists(path.lstrip("/")):  # noqa: PTH109
            return path
    relative = os.path.relpath(path)
    outside = relative == os.pardir or relative.startswith(os.pardir + os.sep)
    plain = os.path.abspath(path) if outside else relative  # noqa: PTH100 - links stay as written
    identity = Path(readable(plain)).as_posix()
    # Beside a path inside the current folder that gets the same folder, or is of the same bytes written out.
    place = identity.lstrip("/")
    taken = place != relative and exists(place) and not same(place, path)
    return f"{identity}~" if taken or is_remote(place.replace(":/", "://", 1)) else identity


def written(path: str) -> str:
    """Return a path or address as it is told and recorded: with `/`, without credentials."""
    if path == STDIN:
        return path
    if is_remote(path):
        return readable(shown(path))
    return path if path.isascii() and path == os.path.normpath(path) else Path(readable(path)).as_posix()


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
        yield Source(identify(path), (("", path),), _missing(path) if path == given else None)


def streamed(request: ComputeRequest) -> Iterator[Source]:
    """Yield a source for every line of `--files-from`, as it arrives."""
    for given in request.inputs:
        yield from _sources(given)
    assert request.files_from is not None
    alike: dict[str, list[str]] = {}
    for line in _lines(request.files_from, null=request.null_separated):
        whole = line.count("\t") == 0 or is_file(line)
        parts = tuple(_named(part) for part in ([line] if whole else line.split("\t")))
        missing = next((error for _, path in parts if (error := _missing(path))), None)
        identity = "+".join(identify(path) for _, path in parts)
        yield Source(identity + _which(identity, line, alike), parts, missing)


def _which(identity: str, line: str, alike: dict[str, list[str]]) -> str:
    """Return what tells addresses apart that differ in their query alone, which no id holds."""
    if not ("://" in line and "?" in line):
        return ""
    lines = alike.setdefault(identity, [])
    if line not in lines:
        lines.append(line)
    position = lines.index(line)
    return f"~{position + 1}" if position else ""


def _named(text: str) -> tuple[str, str]:
    """Split `name=path`, unless a file is called so. A `-` among lines is a file's name: stdin is the lines'."""
    name, equals, path = text.partition("=")
    if equals and not is_remote(text) and not is_file(text) and (is_file(path) or is_remote(path)):
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
    if path == STDIN or is_remote(path) or is_file(path):
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
    if is_remote(given):
        return _elsewhere(given)
    if given == STDIN or is_file(given):
        return [given]
    if is_folder(given):
        return _folder(Path(given))
    if glob.has_magic(given):
        matches = glob.iglob(given, recursive=True)  # noqa: PTH207 - a pattern may start anywhere
        found = sorted((path for path in matches if is_file(path) and not _ours(Path(path))), key=natural)
        if not found:
            raise _no_match(given)
        return found
    return [given]


def _no_match(pattern: str) -> InputError:
    return InputError(
        f"nothing matches '{pattern}'", hint="is the pattern meant for this folder?", reason="no-inputs"
    )


def _folder(folder: Path) -> list[str]:
    """Return a folder's pictures in natural order, or where it has none, its arrays and tables.

    Hidden files and folders are left out, and so is what an earlier run wrote there.
    """
    files = []
    # Names rather than paths: of a hundred thousand files the making of `Path`s would be most of the time.
    for place, inside, names in os.walk(folder):
        inside[:] = [name for name in inside if not name.startswith(".")]
        if not _in_a_run(Path(place)):
            found = (os.path.join(place, name) for name in names if not name.startswith(".") and not _drawn(name))  # noqa: PTH118
            files += [path for path in found if os.path.isfile(path)]  # noqa: PTH113
    return _readable_of(str(folder), [path.removeprefix("./") for path in files])


def _elsewhere(address: str) -> list[str]:
    """Return what an address stands for: itself, the files of a folder, or those that match a pattern."""
    found = expanded(address)
    if found == [address]:
        return found
    if is_pattern(address):
        if not found:
            raise _no_match(shown(address))
        return sorted(found, key=natural)
    return _readable_of(shown(address), [path for path in found if not _drawn(shown(path))])


def _readable_of(folder: str, files: list[str]) -> list[str]:
    """Return the pictures among a folder's files, or where there is none, the arrays and tables."""
    for suffixes in (picture_suffixes(), known_suffixes()):
        found = [path for path in files if _suffix(shown(path) if is_remote(path) else path) in suffixes]
        if found:
            return sorted(found, key=natural)
    raise InputError(
        f"'{folder}' holds no picture, array or table ({len(files)} other files)",
        hint=f"inputs end in {', '.join(known_suffixes())}",
        reason="no-inputs",
    )


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()  # noqa: PTH122


def _ours(path: Path) -> bool:
    """Whether a file is one that saliency wrote: found again, it would be taken for an input."""
    return _drawn(path.name) or _in_a_run(path.parent)


def _in_a_run(folder: Path) -> bool:
    """Whether a folder is among the maps of a run."""
    runs = (each.parent for each in (folder, *folder.parents) if each.name == "maps")
    return any(
        (run / "run.json").is_file() and any((run / name).exists() for name in ("items.jsonl", "rows", "shards"))
        for run in runs
    )


_DRAWN = re.compile(r"\.saliency(\.(heatmap|overlay|panel))?(\.[^./]*)?$")


def _drawn(name: str) -> bool:
    """Whether a name is one that saliency gives a picture beside its input."""
    return ".saliency" in name and _DRAWN.search(name) is not None


def _paired(named: list[tuple[str, str]]) -> list[Source]:
    """Pair the files of several inputs by stem where the stems agree, else in order."""
    columns: dict[str, list[str]] = {}
    for name, given in named:
        columns.setdefault(name, []).extend(_expanded(given))
    lengths = {len(paths) for paths in columns.values()}
    if len(lengths) > 1:
        counts = ", ".join(f"{len(paths)} for '{name}'" for name, paths in columns.items())
        raise UsageError(f"the inputs can't be paired: {counts}", hint="give every input the same number of files")
    stems = [{Path(written(path)).stem: path for path in paths} for paths in columns.values()]
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
    """Return the bytes of a file, an address or stdin. Raises `InputError` where it can't be read."""
    if is_remote(path):
        return fetch(path)
    if path == STDIN:
        if sys.stdin is None:
            raise InputError("stdin is closed, and a picture was expected there", reason="unreadable")
        return sys.stdin.buffer.read()
    try:
        with io.FileIO(path) as file:
            return file.read()
    except OSError as error:
        raise InputError(f"'{path}' can't be read: {error.strerror}", reason="unreadable") from None
