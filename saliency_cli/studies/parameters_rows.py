"""Each sample's gradient by the weights, kept until all are there: a row of numbers each, in a file or in memory."""

import tempfile
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from saliency_cli.clipping import Clip, Clipped
from saliency_cli.differentiable import Array
from saliency_cli.runs.destination import cannot_write

if TYPE_CHECKING:
    from saliency_cli.autodiff.model import Weight


class Rows:
    """Rows of a sample each. With a `folder` they are kept in a file there that nobody sees and nobody need remove.

    Raises `OutputError` where that can't be written.
    """

    def __init__(self, weights: "Sequence[Weight]", folder: Path | None) -> None:
        self.weights = tuple(weights)
        self.folder = folder
        self.count = 0
        self._type = np.float64 if any(weight.dtype == "float64" for weight in weights) else np.float32
        self._held: list[Array] = []
        self._file: IO[bytes] | None = None

    def split(self, flat: Array) -> dict[str, Array]:
        """Return the gradients that lie flat one after another, along the last axis, by weight name."""
        sizes = [int(np.prod(weight.shape)) for weight in self.weights]
        parts = np.split(flat, np.cumsum(sizes)[:-1], axis=-1)
        return {w.name: part.reshape(*flat.shape[:-1], *w.shape) for w, part in zip(self.weights, parts, strict=True)}

    def clipped(self, flat: Array, clip: Clip) -> tuple[Array, Clipped]:
        """Return a row with its gradients clipped."""
        found = clip.apply(self.split(flat))
        return np.concatenate([part.reshape(-1) for part in found.arrays.values()]), found

    def append(self, flat: Array) -> int:
        """Keep a row and return its number."""
        row = np.asarray(flat, self._type)
        if self.folder is None:
            self._held.append(row.copy())
        else:
            try:
                if self._file is None:
                    self._file = tempfile.TemporaryFile(dir=self.folder, prefix=".saliency-")  # noqa: SIM115
                    weakref.finalize(self, self._file.close)
                self._file.write(row.data)
            except OSError as error:
                raise cannot_write(self.folder, error) from error
        self.count += 1
        return self.count - 1

    def arrays(self) -> Mapping[str, Array]:
        """Return all rows by weight name, `(rows, *shape)`; those of a file are read where they are looked at."""
        if self._file is None:
            return self.split(np.stack(self._held))
        self._file.flush()
        size = sum(int(np.prod(weight.shape)) for weight in self.weights)
        return self.split(np.memmap(self._file, self._type, "r", shape=(self.count, size)))
