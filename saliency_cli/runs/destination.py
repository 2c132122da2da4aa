"""Where a run's files go, and under what names: a folder, the current folder, one file, or stdout."""

import contextlib
import errno
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

from saliency_cli.engines.node import node
from saliency_cli.errors import InputError, OutputError, UsageError, nearest
from saliency_cli.registry import Registry
from saliency_cli.runs.naming import Stems, fitted, labels_by_part
from saliency_cli.runs.places import exists, is_folder, same
from saliency_cli.runs.remote import is_remote, shown
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.writers import Writer

WRITERS: Registry[Writer] = Registry("saliency_cli.writers", "format")

_DRAWN = ("heatmap", "overlay", "panel")
_PICTURES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
_FILES = {".npy": "npy", ".npz": "npz", ".json": "json"}
# Nobody who writes these means a folder.
_OTHERS = (".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".svg", ".pdf", ".html", ".csv", ".txt", ".jsonl")
_DEFAULT = {"folder": ("heatmap", "overlay"), "here": ("overlay",), "stdout": ("overlay",)}

Kind = Literal["folder", "here", "file", "stdout"]


@dataclass(frozen=True)
class Destination:
    """`kind` of output, its `root` (a folder, a file, or the current folder), and the formats written.

    `qualified` says which parts a name needs to be unique: method, target, input. `distinct` holds the
    plain forms of targets and inputs that would look alike otherwise.
    """

    kind: Kind
    root: Path
    formats: tuple[str, ...]
    qualified: frozenset[str] = frozenset()
    picture_format: str | None = None
    stems: Stems = field(default_factory=Stems)
    distinct: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def name(self, identity: str, format_name: str, suffix: str, parts: Mapping[str, str]) -> str:
        """Return a file's path, relative to the run folder where there is one.

        `parts` names the method, target and input, as far as they apply.
        """
        if self.kind in ("file", "stdout"):
            return self.root.as_posix()
        wanted = [
            labels_by_part(self.distinct.get(key, {}), parts[key])
            for key in ("method", "target", "input")
            if key in parts and key in self.qualified
        ]
        picture = format_name in _DRAWN
        if self.kind == "folder":
            stem = ".".join([*wanted, format_name] if picture or not wanted else wanted)
            stem = "item" if format_name == "json" else stem
            return f"{_folder(identity)}/{stem}{suffix}"
        kinds = [format_name] if picture and len([f for f in self.formats if f in _DRAWN]) > 1 else []
        return fitted(self.stems.of(identity), "." + ".".join([*wanted, "saliency", *kinds]) + suffix)

    def folder(self, identity: str) -> Path:
        """Return where an input's files lie in a run folder."""
        return self.root / _folder(identity)

    def reserve(self, identity: str) -> None:
        """Give an input its name among the current folder's, before others come that would like it too."""
        if self.kind == "here":
            self.stems.of(identity)

    def path(self, name: str) -> Path:
        """Return where a named file lies."""
        return self.root / name if self.kind == "folder" else Path(name)


def _folder(identity: str) -> str:
    return "/".join(["maps", *(fitted(part) for part in identity.split("/") if part)])


def _unasked(kind: str, request: ComputeRequest) -> tuple[str, ...]:
    """Return what is written where nobody says: pictures, unless the run is about numbers."""
    return () if request.metrics else _DEFAULT[kind]


def plan(request: ComputeRequest, identities: Sequence[str] | None, *, samples: int | None) -> Destination:
    """Decide where a run's files go. `identities` and `samples` are None while they aren't known.

    Raises `UsageError` for formats or a name that don't fit what is asked.
    """
    formats = tuple(dict.fromkeys(_known(request.formats)))
    out = request.out
    if out is None:
        return Destination("here", Path(), formats or _unasked("here", request), stems=Stems(identities or ()))
    if out == "-":
        _single_map(request, samples, "-o -")
        if len(formats) > 1 or (formats and formats[0] not in _DRAWN):
            raise UsageError("-o - writes one PNG to stdout", hint="--format heatmap, overlay or panel")
        return Destination("stdout", Path("-"), formats or _DEFAULT["stdout"], picture_format="PNG")
    if is_remote(out):
        raise UsageError(
            f"-o {shown(out)}: a run is written into a folder of this machine, and that is an address",
            hint="-o DIR, and copy it there afterwards",
            reason="bad-output",
        )
    suffix = Path(out).suffix.lower()
    named_folder = out.endswith(("/", os.sep)) or is_folder(out)
    if suffix in _OTHERS and not named_folder:
        raise UsageError(
            f"-o {out}: no format ends in {suffix}",
            hint=f"files end in {', '.join((*_PICTURES, *_FILES))}; -o {out}/ for a folder of that name",
            reason="bad-output",
        )
    if named_folder or suffix not in (*_PICTURES, *_FILES):
        return Destination("folder", Path(out), formats or _unasked("folder", request))
    _single_map(request, samples, f"-o {out}")
    return _file(out, suffix, formats)


def _file(out: str, suffix: str, formats: tuple[str, ...]) -> Destination:
    """Return the destination of one file, whose suffix and format must agree."""
    if len(formats) > 1:
        raise UsageError(
            f"-o {out} is one file, and {len(formats)} formats were asked for",
            hint=f"-o {Path(out).stem}/ for a folder",
        )
    asked = formats[0] if formats else _FILES.get(suffix, "overlay")
    if suffix in _FILES and asked != _FILES[suffix]:
        raise UsageError(f"-o {out} ends in {suffix}, and --format is {asked}", hint="name the file accordingly")
    if suffix in _PICTURES and asked not in _DRAWN:
        raise UsageError(f"-o {out} is a picture, and --format is {asked}", hint="name the file accordingly")
    if suffix in _PICTURES and asked != "overlay" and suffix != ".png":
        raise UsageError(f"a {asked} is a PNG, and -o {out} ends in {suffix}", hint=f"-o {Path(out).stem}.png")
    return Destination("file", Path(out), (asked,), picture_format=_PICTURES.get(suffix))


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
                f"no format is called '{name}'",
                hint=nearest(name, names) or f"there are: {', '.join(names)}, all",
                reason="unknown-format",
            )


def require_writable(destination: Destination) -> None:
    """Raise `OutputError` before any work if the place can't be written to."""
    if destination.kind == "stdout":
        return
    _umask()  # here, where no other thread runs yet: reading it means setting it
    folder = destination.root if destination.kind == "folder" else destination.root.parent
    existing = next((parent for parent in (folder, *folder.parents) if exists(parent)), Path())
    if not existing.is_dir():
        raise OutputError(f"'{existing}' is a file, and a folder is needed there", hint="-o with another name")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise OutputError(
            f"'{existing}' can't be written to", hint="-o DIR somewhere you may write", reason="not-writable"
        )
    if destination.kind == "file" and not folder.exists():
        raise OutputError(f"there is no folder '{folder}'", hint=f"mkdir -p {folder}", reason="no-folder")


def require_untouched(destination: Destination, paths: Sequence[str]) -> None:
    """Raise `UsageError` if the one file to write is one of the files that are read."""
    root = destination.root
    for path in paths if destination.kind == "file" else ():
        if same(path, root):
            raise UsageError(f"-o {root} would replace '{path}', which is read", hint="another name for -o")


def require_one_map(destination: Destination, inputs: Sequence[str]) -> None:
    """Raise `UsageError` if one file can't hold the maps of a model's several inputs."""
    if destination.kind not in ("file", "stdout") or len(inputs) < 2 or destination.formats[0] in ("npz", "json"):
        return
    raise UsageError(
        f"-o {destination.root} holds one map, and the model has {len(inputs)} inputs: {', '.join(inputs)}",
        hint="-o DIR/ for a folder, or -o FILE.npz for the arrays",
    )


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all. Raises as `replacing` does."""
    with replacing(path) as file:
        file.write(data)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary name in a file's folder, and give it the file's own on leaving without an error.

    Raises `OutputError` saying why it could not be written; `InputError` where it is the name, made of
    the input's, that no disk takes.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=temporary_prefix(node(), os.getpid()), dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
            Path(temporary).chmod(0o666 & ~_umask())
            Path(temporary).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            hint = "-o DIR with a shorter path, or run from nearer to the input"
            raise InputError(f"'{path}' is too long a path", hint=hint, reason="name-too-long") from error
        raise cannot_write(path, error) from error


def temporary_prefix(machine: str, process: int) -> str:
    """Return how the temporary names of a process begin: what it leaves behind can be told from what others write."""
    return f".saliency-{machine}-{process}-"


def cannot_write(path: Path, error: OSError) -> OutputError:
    """Return the error for a file that could not be written, with what to do about it."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return OutputError(
        f"'{path}' can't be written: {error.strerror}",
        hint="free some space, then go on with --resume" if full else "-o DIR somewhere you may write",
        reason="disk-full" if full else "not-writable",
    )


def _umask() -> int:
    global _UMASK
    if _UMASK is None:
        _UMASK = os.umask(0o022)
        os.umask(_UMASK)
    return _UMASK


_UMASK: int | None = None
