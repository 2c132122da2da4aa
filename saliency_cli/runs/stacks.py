"""Maps of one shape as one `.npy` of float16, each divided by its own largest magnitude.

Gradients of 1e-8 are below float16's range; divided by its maximum a map lies in −1…1, where rounding to float16 is
off by at most 2⁻¹² of that maximum. `stack[i].astype("float32") * scale` gives the map back.
"""

import math
import os
from pathlib import Path

import numpy as np

from saliency_cli.differentiable import Array

_ALIGNED = 64
_DIGITS = 20  # of the number of maps, which is known at the end: the header keeps its length


def halve(values: Array) -> tuple[Array, float]:
    """Return a map divided by its largest magnitude, float16 of the same shape, and that magnitude, float64."""
    scale = float(np.abs(values).max(initial=0.0))
    if scale == 0:
        return np.zeros(values.shape, np.float16), 0.0
    return np.divide(values, scale, dtype=np.float64).astype(np.float16), scale


def header(count: int, shape: tuple[int, ...]) -> bytes:
    """Return the header of a `.npy` of `count` float16 arrays of a shape; its length depends on the shape alone."""

    def text(number: str) -> bytes:
        sizes = ", ".join([number, *map(str, shape)])
        return f"{{'descr': '<f2', 'fortran_order': False, 'shape': ({sizes},), }}".encode()

    start = len(b"\x93NUMPY\x01\x00") + 2
    length = -(-(start + len(text("9" * _DIGITS)) + 1) // _ALIGNED) * _ALIGNED - start
    return b"\x93NUMPY\x01\x00" + length.to_bytes(2, "little") + text(str(count)).ljust(length - 1) + b"\n"


class Stack:
    """A stack that grows in a file, map by map, so that none of them stays in memory.

    `path` is replaced if it exists. It is a `.npy` once `end` was called. Raises `OSError` where it can't be written.
    """

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self.path, self.shape, self.count = path, shape, 0
        path.write_bytes(header(0, shape))

    @property
    def size(self) -> int:
        """How many bytes its file has."""
        return len(header(self.count, self.shape)) + 2 * math.prod(self.shape) * self.count

    def append(self, halves: Array) -> int:
        """Write one map behind the others; return its position."""
        # Opened each time: inputs of many sizes are many stacks, and a process may hold few files open.
        with self.path.open("r+b") as file:
            file.seek(self.size)  # not the file's end: Ctrl-C may have left a map there that nobody counted
            file.write(np.ascontiguousarray(halves, "<f2").tobytes())
        self.count += 1
        return self.count - 1

    def end(self) -> None:
        """Write how many maps there are, through to the disk."""
        with self.path.open("r+b") as file:
            file.truncate(self.size)
            file.write(header(self.count, self.shape))
            file.flush()
            os.fsync(file.fileno())
