"""Several named NumPy arrays in one file (`.npz`).

Each array goes to the model input of its name. Arrays are held to the rules of `.npy`: numbers only,
never Python objects. An archive that would unpack to more than 4 GiB is refused.
"""

import io
import zipfile
from dataclasses import dataclass
from typing import ClassVar

from saliency_cli.differentiable import Array
from saliency_cli.errors import InputError
from saliency_cli.readers import Document
from saliency_cli.readers.npy import describe_start, read_array

__all__ = ["Npz"]

LARGEST_BYTES = 4 * 2**30


@dataclass(frozen=True)
class Npz:
    """Reads named arrays from a `.npz` file."""

    suffixes: ClassVar[tuple[str, ...]] = (".npz",)

    def read(self, data: bytes) -> Document:
        """Decode every array into `arrays[its name]`, dtypes as stored.

        Raises:
            InputError: reason `empty-file`, `not-an-array`, `empty-array`, `truncated`, `damaged`,
                `too-large`, or one of `.npy`'s, then naming the array.
        """
        if not data:
            raise InputError(
                "an archive of NumPy arrays was expected, the file is empty (0 bytes)",
                hint="save the arrays again with numpy.savez",
                reason="empty-file",
            )
        if not data.startswith(b"PK"):
            raise InputError(
                f"not an archive of NumPy arrays: {describe_start(data)}",
                hint="save the arrays with numpy.savez",
                reason="not-an-array",
            )
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                arrays = _members(archive)
        except InputError:
            raise
        except Exception as error:  # zipfile raises many kinds on damaged and encrypted archives
            cut = b"PK\x05\x06" not in data[-(2**16) - 22 :]
            raise InputError(
                f"the archive is {'truncated' if cut else 'damaged'}: {error}",
                hint="copy or save the file again",
                reason="truncated" if cut else "damaged",
            ) from error
        return Document("array", arrays, format="NPZ")


def _members(archive: zipfile.ZipFile) -> dict[str, Array]:
    members = archive.infolist()
    strangers = [member.filename for member in members if not member.filename.endswith(".npy")]
    if strangers:
        raise InputError(
            f"an archive of NumPy arrays was expected, this one holds '{strangers[0]}'",
            hint="save the arrays with numpy.savez",
            reason="not-an-array",
        )
    if not members:
        raise InputError("the archive holds no array", hint="numpy.savez(path, name=array)", reason="empty-array")
    unpacked = sum(member.file_size for member in members)
    if unpacked > LARGEST_BYTES:
        raise InputError(
            f"the archive unpacks to {unpacked:,} bytes; at most {LARGEST_BYTES:,} are read",
            hint="save the samples in several files",
            reason="too-large",
        )
    arrays = {}
    for member in members:
        name = member.filename.removesuffix(".npy")
        try:
            arrays[name] = read_array(archive.read(member))
        except InputError as error:
            raise InputError(f"array '{name}': {error.message}", hint=error.hint, reason=error.reason) from error
    return arrays
