"""Where a run's files go, and under what names: a folder, the current folder, one file, or stdout."""

import contextlib
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from saliency_cli.errors import OutputError, UsageError, nearest
from saliency_cli.registry import Registry
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.writers import Writer

WRITERS: Registry[Writer] = Registry("saliency_cli.writers", "format")

_DRAWN = ("heatmap", "overlay", "panel")
_PICTURES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
_FILES = {".npy": "npy", ".npz": "npz", ".json": "json"}
_DEFAULT = {"folder": ("heatmap", "overlay"), "here": ("overlay",), "stdout": ("overlay",)}

Kind = Literal["folder", "here", "file", "stdout"]


@dataclass(frozen=True)
class Destination:
    """`kind` of output, its `root` (a folder, a file, or the current folder), and the formats written.

    `qualified` says which parts a name needs to be unique: method, target, input.
    """

    kind: Kind
    root: Path
    formats: tuple[str, ...]
    qualified: frozenset[str] = frozenset()
    picture_format: str | None = None
    shared_stems: Mapping[str, int] = field(default_factory=dict)

    def name(self, identity: str, format_name: str, suffix: str, parts: Mapping[str, str]) -> str:
        """Return a file's path, relative to the run folder where there is one.

        `parts` names the method, target and input, as far as they apply.
        """
        if self.kind in ("file", "stdout"):
            return self.root.as_posix()
        wanted = [
            plain(parts[key]) for key in ("method", "target", "input") if key in parts and key in self.qualified
        ]
        picture = format_name in _DRAWN
        if self.kind == "folder":
            stem = ".".join([*wanted, format_name] if picture or not wanted else wanted)
            stem = "item" if format_name == "json" else stem
            return f"maps/{identity}/{stem}{suffix}"
        path = Path(identity)
        stem = path.stem if self.shared_stems.get(path.stem, 1) == 1 else identity.replace("/", "_")
        row = re.search(r"#\d+$", identity)
        if row and stem == path.stem:
            stem = f"{Path(identity[: row.start()]).stem}{row[0]}"
        kinds = (
            [format_name]
            if picture and len([f for f in self.formats if f in ("heatmap", "overlay", "panel")]) > 1
            else []
        )
        return ".".join([stem, *wanted, "saliency", *kinds]) + suffix

    def path(self, name: str) -> Path:
        """Return where a named file lies."""
        return self.root / name if self.kind == "folder" else Path(name)


def plain(text: str) -> str:
    """Return a text as a part of a file name: letters, digits and a few signs, injective enough to read."""
    return re.sub(r"[^\w+=,@-]+", "_", text.strip()).strip("_")[:80] or "_"


def plan(request: ComputeRequest, identities: Sequence[str] | None, *, samples: int | None) -> Destination:
    """Decide where a run's files go. `identities` and `samples` are None while they aren't known.

    Raises `UsageError` for formats or a name that don't fit what is asked.
    """
    formats = tuple(dict.fromkeys(_known(request.formats)))
    out = request.out
    if out is None:
        stems = Counter(Path(identity).stem for identity in dict.fromkeys(identities or ()))
        return Destination("here", Path(), formats or _DEFAULT["here"], shared_stems=stems)
    if out == "-":
        _single_map(request, samples, "-o -")
        if len(formats) > 1 or (formats and formats[0] not in _DRAWN):
            raise UsageError("-o - writes one PNG to stdout", hint="--format heatmap, overlay or panel")
        return Destination("stdout", Path("-"), formats or _DEFAULT["stdout"], picture_format="PNG")
    suffix = Path(out).suffix.lower()
    if out.endswith(("/", os.sep)) or Path(out).is_dir() or suffix not in (*_PICTURES, *_FILES):
        return Destination("folder", Path(out), formats or _DEFAULT["folder"])
    if len(formats) > 1:
        raise UsageError(
            f"-o {out} is one file, and {len(formats)} formats were asked for",
            hint=f"-o {Path(out).stem}/ for a folder",
        )
    _single_map(request, samples, f"-o {out}")
    if suffix in _FILES:
        if formats and formats[0] != _FILES[suffix]:
            raise UsageError(
                f"-o {out} ends in {suffix}, and --format is {formats[0]}", hint="name the file accordingly"
            )
        return Destination("file", Path(out), (_FILES[suffix],))
    if formats and formats[0] not in _DRAWN:
        raise UsageError(f"-o {out} is a picture, and --format is {formats[0]}", hint="name the file accordingly")
    return Destination("file", Path(out), formats or ("overlay",), picture_format=_PICTURES[suffix])


def _single_map(request: ComputeRequest, samples: int | None, what: str) -> None:
    """A single file holds the map of one input, one method and one target."""
    several = [f"{len(request.methods)} methods"] if len(request.methods) > 1 else []
    several += [f"target {request.target}"] if re.fullmatch(r"all|top:(?!1$)\d+", request.target.strip()) else []
    several += [f"{samples} inputs"] if samples is not None and samples > 1 else []
    several += ["--files-from"] if request.files_from is not None else []
    if several:
        raise UsageError(
            f"{what} holds one map, and there are more: {', '.join(several)}", hint="-o DIR/ for a folder"
        )


def _known(formats: tuple[str, ...]) -> Iterator[str]:
    names = WRITERS.names()
    for name in formats:
        if name == "all":
            yield from names
        elif name in names:
            yield name
        else:
            raise UsageError(
                f"no format is called '{name}'", hint=nearest(name, names) or f"there are: {', '.join(names)}, all"
            )


def require_writable(destination: Destination) -> None:
    """Raise `OutputError` before any work if the place can't be written to."""
    folder = destination.root if destination.kind == "folder" else destination.root.parent
    existing = next((parent for parent in (folder, *folder.absolute().parents) if parent.exists()), Path("/"))
    if destination.kind == "stdout":
        return
    if not existing.is_dir():
        raise OutputError(f"'{existing}' is a file, and a folder is needed there", hint="-o with another name")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise OutputError(
            f"'{existing}' can't be written to", hint="-o DIR somewhere you may write", reason="not-writable"
        )
    if destination.kind == "file" and not folder.exists():
        raise OutputError(f"there is no folder '{folder}'", hint=f"mkdir -p {folder}", reason="no-folder")


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: a temporary name in the same folder, then a rename.

    Raises `OutputError` saying why it could not be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=".saliency-", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            Path(temporary).chmod(0o666 & ~_umask())
            Path(temporary).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> OutputError:
    """Return the error for a file that could not be written, with what to do about it."""
    import errno

    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return OutputError(
        f"'{path}' can't be written: {error.strerror}",
        hint="free some space, then go on with --resume" if full else "-o DIR somewhere you may write",
        reason="disk-full" if full else "not-writable",
    )


def _umask() -> int:
    global _UMASK
    if _UMASK is None:
        # Reading it means setting it; once, before threads write, is enough.
        _UMASK = os.umask(0o022)
        os.umask(_UMASK)
    return _UMASK


_UMASK: int | None = None
