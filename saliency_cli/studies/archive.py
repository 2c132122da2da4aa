"""An uncompressed `.npz` written member by member, of arrays that need not fit into memory."""

from collections.abc import Mapping
from typing import IO
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import numpy as np

from saliency_cli.differentiable import Array

_BLOCK = 4 << 20


def write_npz(stream: IO[bytes], arrays: Mapping[str, Array]) -> None:
    """Write arrays by name, so that `np.load` reads them back. The same arrays give the same bytes."""
    with ZipFile(stream, "w", ZIP_STORED) as archive:
        for name, array in arrays.items():
            # A `ZipInfo` has the date 1980-01-01; np.savez would refuse an array called `file`.
            with archive.open(ZipInfo(f"{name}.npy"), "w", force_zip64=array.nbytes > 1 << 30) as member:
                header = {
                    "descr": np.lib.format.dtype_to_descr(array.dtype),
                    "fortran_order": False,
                    "shape": array.shape,
                }
                np.lib.format.write_array_header_1_0(member, header)
                _write_rows(member, array)


def _write_rows(member: IO[bytes], array: Array) -> None:
    """Write an array's bytes in its own order, a few rows at a time."""
    if not array.ndim or not array.size:
        member.write(array.tobytes())
        return
    step = max(1, _BLOCK // max(1, array[0].nbytes))
    for start in range(0, len(array), step):
        member.write(array[start : start + step].tobytes())
