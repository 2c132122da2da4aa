"""Where the files of a study go, and under what names."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from saliency_cli.errors import UsageError
from saliency_cli.runs.destination import Destination
from saliency_cli.runs.naming import Stems, fitted
from saliency_cli.runs.places import is_folder
from saliency_cli.runs.request import ComputeRequest


class _Suffixed(Protocol):
    @property
    def suffix(self) -> str: ...


Written = TypeVar("Written", bound=_Suffixed)


def place(
    request: ComputeRequest, study: str, suffixes: Mapping[str, str], identities: Sequence[str] | None
) -> Destination:
    """Decide where a study's files go: a folder, one file, or the current folder.

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
    kinds = [kind for kind, known in suffixes.items() if known == suffix]
    if not kinds:
        raise UsageError(
            f"-o {out}: {study} writes no file that ends in {suffix}",
            hint=f"files end in {', '.join(dict.fromkeys(suffixes.values()))}; -o {out}/ for a folder of that name",
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
    destination: Destination, study: str, identity: str, kind: str, suffix: str, beside: Mapping[str, object]
) -> str:
    """Return a file's path, relative to the run folder where there is one.

    In the current folder a kind is named only where there are several, `beside` each other.
    """
    if destination.kind == "file":
        return destination.root.as_posix()
    if destination.kind == "folder":
        return f"{destination.folder(identity).relative_to(destination.root).as_posix()}/{kind}{suffix}"
    kinds = f".{kind}" if len(beside) > 1 else ""
    return fitted(destination.stems.of(identity), f".{study}{kinds}{suffix}")
