"""One NumPy array (`.npy`), with the dtype and shape it was saved with.

Numbers and booleans of any width and byte order are read; Python objects are refused, because loading
them would run code from the file. The size the header declares is compared with the file before
anything is allocated.
"""

import io
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from saliency_cli.differentiable import Array
from saliency_cli.errors import InputError
from saliency_cli.readers import Document

__all__ = ["Npy"]

MAGIC = b"\x93NUMPY"
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


@dataclass(frozen=True)
class Npy:
    """Reads one array from a `.npy` file."""

    suffixes: ClassVar[tuple[str, ...]] = (".npy",)

    def read(self, data: bytes) -> Document:
        """Decode the array into `arrays[""]`, its dtype as stored.

        Raises:
            InputError: reason `empty-file`, `not-an-array`, `pickled`, `not-numeric`, `empty-array`,
                `truncated` or `damaged`.
        """
        return Document("array", {"": read_array(data)}, format="NPY")


def read_array(data: bytes) -> Array:
    """Return the array of a `.npy` file's bytes, in native byte order.

    Raises:
        InputError: as `Npy.read`.
    """
    if not data:
        raise InputError(
            "a NumPy array was expected, the file is empty (0 bytes)",
            hint="save the array again with numpy.save",
            reason="empty-file",
        )
    if not data.startswith(MAGIC):
        raise InputError(
            f"not a NumPy array: {describe_start(data)}",
            hint="save the array with numpy.save",
            reason="not-an-array",
        )
    stream = io.BytesIO(data)
    shape, fortran, dtype = _header(stream)
    if dtype.hasobject:
        raise InputError(
            "numbers were expected, the array holds pickled Python objects",
            hint="save plain numbers: numpy.save(path, array.astype('float32'))",
            reason="pickled",
        )
    if dtype.kind not in "biuf":
        raise InputError(
            f"numbers were expected, the array's dtype is {dtype}",
            hint="save plain numbers: numpy.save(path, array.astype('float32'))",
            reason="not-numeric",
        )
    described = f"{'×'.join(map(str, shape)) or 'scalar'} {dtype}"
    if math.prod(shape) == 0:
        raise InputError(f"the array holds no numbers: its shape is {described}", reason="empty-array")
    declared, held = math.prod(shape) * dtype.itemsize, len(data) - stream.tell()
    if declared != held:
        raise InputError(
            f"the header declares {described}, {declared:,} bytes; {held:,} follow it",
            hint="copy or save the file again"
            if held < declared
            else "save one array in a file, several with numpy.savez",
            reason="truncated" if held < declared else "damaged",
        )
    values = np.frombuffer(data, dtype, offset=stream.tell()).reshape(shape, order="F" if fortran else "C")
    return np.array(values, dtype.newbyteorder("="), order="C")


def _header(stream: io.BytesIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    try:
        version = np.lib.format.read_magic(stream)
        shape, fortran, dtype = _HEADERS[version](stream)
    except KeyError as error:
        raise InputError(
            f"NumPy's file format 1.0 or 2.0 was expected, this is {version[0]}.{version[1]}",
            hint="save a plain array, without named fields",
            reason="not-numeric",
        ) from error
    except Exception as error:  # a hostile header raises what the tokenizer, the parser or NumPy likes
        cut = "EOF" in str(error)
        raise InputError(
            f"the array's header is {'truncated' if cut else 'damaged'}: {error}",
            hint="copy or save the file again",
            reason="truncated" if cut else "damaged",
        ) from error
    if any(size < 0 for size in shape):
        raise InputError(f"the array's header is damaged: its shape is {shape}", reason="damaged")
    return shape, fortran, dtype


def describe_start(data: bytes) -> str:
    """Return "the file starts with …": its first words where it is text, else its first bytes."""
    try:
        text = data[:64].decode("utf-8", errors="strict" if len(data) <= 64 else "ignore")
    except UnicodeDecodeError:
        text = ""
    line = (text.strip().splitlines() or [""])[0][:24]
    if line.isprintable() and line and len(text.encode()) >= min(len(data), 61):
        return f"the file starts with '{line}' (text)"
    return f"the file starts with the bytes {data[:8].hex(' ')}"
