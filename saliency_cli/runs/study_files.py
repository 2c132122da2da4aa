"""Where the files of a study go, and under what names."""

import errno
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import IO, Protocol, TypeVar

from saliency_cli.errors import UsageError
from saliency_cli.runs.destination import Destination, cannot_write, replacing, write_whole
from saliency_cli.runs.naming import Stems, fitted
from saliency_cli.runs.places import is_folder
from saliency_cli.runs.request import ComputeRequest


class _Suffixed(Protocol):
    @property
    def suffix(self) -> str: ...


Written = TypeVar("Written", bound=_Suffixed)


def place(
    request: ComputeRequest,
    study: str,
    suffixes: Mapping[str, str],
    identities: Sequence[str] | None,
    totals: Mapping[str, str] = MappingProxyType({}),
) -> Destination:
    """Decide where a study's files go: a folder, one file, or the current folder. `totals`: those of the whole run.

    Raises `UsageError` where `-o` names one file for several inputs, or one of a kind that isn't written.
    """
    out = request.out
    if out is None:
        return Destination("here", Path(), (), stems=Stems(identities or ()))
    if out == "-":
        raise UsageError(f"{study} writes files, and -o - is stdout", hint="-o FILE or -o DIR; --json for numbers")
    suffix = Path(out).suffix.lower()
    if out.endswith(("/", os.sep)) or is_folder(out) or not suffix:
        return Destination("folder", Path(out), ())
    if whole := next((kind for kind, known in totals.items() if known == suffix), None):
        return Destination("file", Path(out), (whole,))
    kinds = [kind for kind, known in suffixes.items() if known == suffix]
    if not kinds:
        known = ", ".join(dict.fromkeys((*suffixes.values(), *totals.values())))
        raise UsageError(
            f"-o {out}: {study} writes no file that ends in {suffix}",
            hint=f"files end in {known}; -o {out}/ for a folder of that name",
            reason="bad-output",
        )
    if identities is None or len(identities) > 1:
        count = "--files-from" if identities is None else f"{len(identities)} inputs"
        raise UsageError(
            f"-o {out} is one file, and {count} were asked for", hint=f"-o {Path(out).stem}/ for a folder"
        )
    return Destination("file", Path(out), (kinds[0],))


def shown(destination: Destination, files: Mapping[str, Written]) -> dict[str, Written]:
    """Return those of a sample's files that are written: all, or the one that `-o FILE` asks for."""
    if destination.kind != "file":
        return dict(files)
    (kind,) = destination.formats
    return {kind: files[kind]} if kind in files else {}


def named(
    destination: Destination, study: str, identity: str, kind: str, suffix: str, beside: Mapping[str, _Suffixed | str]
) -> str:
    """Return a file's path, relative to the run folder where there is one.

    `beside`: every kind of file that the study may write, as files or suffixes. In the current folder a kind is
    named only where another of the same suffix may lie there: `cat.jacobian.npz`, `cat.perturb.after.png`.
    """
    if destination.kind == "file":
        return destination.root.as_posix()
    if destination.kind == "folder":
        return f"{destination.folder(identity).relative_to(destination.root).as_posix()}/{kind}{suffix}"
    suffixes = {other: one if isinstance(one, str) else one.suffix for other, one in beside.items() if other != kind}
    kinds = f".{kind}" if suffix in suffixes.values() else ""
    return fitted(destination.stems.of(identity), f".{study}{kinds}{suffix}")


def folder_of(request: ComputeRequest) -> Path:
    """Return the folder a study's files go to, for large ones that are made there. It exists once a run has begun."""
    out = request.out
    if out is None:
        return Path()
    path = Path(out)
    return path if path.is_dir() else path.parent


def write_file(path: Path, data: bytes | Path | Callable[[IO[bytes]], None]) -> None:
    """Write a file whole or not at all: bytes, what a function writes, or a finished file moved into its place.

    Raises `OutputError` saying why it could not be written.
    """
    if isinstance(data, bytes):
        write_whole(path, data)
        return
    if not isinstance(data, Path):
        with replacing(path) as taken:
            data(taken)
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        data.replace(path)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise cannot_write(path, error) from error
        with replacing(path) as taken, data.open("rb") as source:
            shutil.copyfileobj(source, taken, 1 << 20)
        data.unlink()
