"""What may be read at all: files and directories of this machine, and how large they are."""

import contextlib
import os
import re
import stat
from itertools import islice
from pathlib import Path

from saliency_cli.errors import ModelError

_FILES = 10_000
_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def local_size(path: Path) -> int:
    """Return the size of a file or directory of this machine. Raises `ModelError` for anything else."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        found = None
    if found is None:
        if _REMOTE.match(os.fspath(path)):
            raise ModelError(
                f"'{path}' is an address, and models are never downloaded",
                hint="download it yourself and give the file",
                reason="refused-remote",
            )
        from saliency_cli.models.recognition import recognise

        recognise(path)
        raise ModelError(f"'{path}' can't be read", hint="is it a file you may read?", reason="unreadable")
    if stat.S_ISDIR(found.st_mode):
        return sum(_size(entry) for entry in islice(path.rglob("*"), _FILES))
    if not stat.S_ISREG(found.st_mode):
        raise ModelError(
            f"'{path}' is refused: it is no plain file", hint="save the model in a file", reason="refused-file"
        )
    return found.st_size


def graph_size(path: Path) -> int:
    """Return the size of what is parsed as one message: all of it lies in memory, HDF5 files don't."""
    if path.is_dir():
        return _size(path / "saved_model.pb")
    with contextlib.suppress(OSError), path.open("rb") as file:
        if not file.read(4).startswith((b"PK", b"\x89HDF")):
            return _size(path)
    return 0


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0
