"""Rows of a matrix that may be larger than memory, kept as they come."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from saliency_cli.differentiable import Array
from saliency_cli.errors import OutputError
from saliency_cli.runs.destination import cannot_write

IN_MEMORY = 4 << 20
"""How many bytes of one matrix are kept in memory; a larger one goes to the disk."""


class Rows:
    """`(count, width)` rows, appended in order: in memory, or in a file without a name in `folder`.

    Raises:
        OutputError: the disk has no room for them, or can't be written to.
    """

    def __init__(self, count: int, width: int, dtype: Any, folder: Path, what: str) -> None:
        self.shape = count, width
        self.dtype = np.dtype(dtype)
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._held: Array = np.empty((0, width), dtype)
        self._at = 0
        size = count * width * self.dtype.itemsize
        if size <= IN_MEMORY:
            self._held = np.empty(self.shape, dtype)
            return
        _require_room(folder, size, what)
        try:
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by `close`
        except OSError as error:
            raise cannot_write(folder, error) from error

    def append(self, rows: Array) -> None:
        """Take the next rows, `(n, width)`. Raises `OutputError` where they can't be written."""
        if self._file is None:
            self._held[self._at : self._at + len(rows)] = rows
        else:
            # Written, not mapped: a disk that is full is an error then, and no signal.
            try:
                self._file.write(np.ascontiguousarray(rows, self.dtype).data)
            except OSError as error:
                raise cannot_write(self._folder, error) from error
        self._at += len(rows)

    def whole(self) -> Array:
        """Return all rows, those on the disk as a read-only map of it, which stays as long as the array does."""
        assert self._at == self.shape[0]
        if self._file is None:
            return self._held
        try:
            self._file.flush()
        except OSError as error:
            raise cannot_write(self._folder, error) from error
        return np.memmap(self._file, self.dtype, "r", shape=self.shape)

    def close(self) -> None:
        """Let the file go; what `whole` returned stays."""
        if self._file is not None:
            self._file.close()


def _require_room(folder: Path, size: int, what: str) -> None:
    """Raise `OutputError` where a matrix and the file made of it don't fit on the disk."""
    free = shutil.disk_usage(os.fspath(folder)).free
    if 2 * size > free:
        raise OutputError(
            f"{what} takes {size / 2**30:.1f} GiB on the disk, twice that while its file is written, and "
            f"{free / 2**30:.1f} GiB are free in '{folder.resolve()}'",
            hint="--classes or --output-name for a part of it, or -o on another disk",
            reason="disk-full",
        )
