"""The weights of a TensorFlow.js model as arrays: its files read, its tensors cut out and un-quantised.

NumPy only. A quantised number is `value · scale + min`, computed in float64; half precision is widened, as
TensorFlow.js does. A tensor of texts is, for each, its length (uint32) and its bytes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from saliency_cli.differentiable import Array
from saliency_cli.models.tfjs.manifest import Entry, broken, read_groups

_STORED = {
    "float32": "<f4", "float16": "<f2", "int32": "<i4", "uint8": "u1", "uint16": "<u2", "bool": "u1",
    "complex64": "<c8",
}  # fmt: skip
_BECOMES = {"float32": "f4", "float16": "f4", "int32": "i4", "uint8": "u1", "bool": "?", "complex64": "c8"}


def read_weights(folder: Path, manifest: Any, digest: Any = None, *, texts: bool = False) -> dict[str, Array]:
    """Return the weights of a layers- or graph-model by name, an optimizer's own left out.

    `digest` (of `hashlib`) is fed the files' bytes as they are read, so that what is hashed is what is loaded.
    `texts`: tensors of texts may be among them. Raises `ModelError` as `read_groups` does.
    """
    weights: dict[str, Array] = {}
    for group in read_groups(folder, manifest, texts=texts):
        content = memoryview(b"".join(file.read_bytes() for file in group.files))
        if digest is not None:
            digest.update(content)
        weights |= _cut(group.entries, content)
    return weights


def _cut(entries: Sequence[Entry], content: memoryview) -> dict[str, Array]:
    """Cut a group's run of bytes into its tensors. Raises `ModelError` unless they take all of it."""
    found, position = {}, 0
    for entry in entries:
        if entry.dtype == "string":
            weight, position = _texts(entry, content, position)
        else:
            part = content[position : position + entry.size]
            if len(part) != entry.size:
                raise broken("its weight files changed while they were read")
            weight, position = _numbers(entry, part), position + entry.size
        if entry.kept:
            found[entry.name] = weight
    if position != len(content):
        raise broken(f"{len(content) - position:,} bytes of its weight files belong to no weight")
    return found


def _numbers(entry: Entry, content: memoryview) -> Array:
    # A copy: the run of bytes is let go, and its tensors need not be aligned in it.
    values: Any = np.frombuffer(content, _STORED[entry.stored]).reshape(entry.shape)
    if entry.stored != entry.dtype and entry.stored != "float16":
        values = values.astype(np.float64) * entry.scale + entry.minimum
        if entry.dtype == "int32":
            values = np.floor(values + 0.5)
    return np.array(values, _BECOMES[entry.dtype])


def _texts(entry: Entry, content: memoryview, position: int) -> tuple[Array, int]:
    found = []
    for _ in range(entry.count):
        start = position + 4
        position = start + int.from_bytes(content[position:start], "little")
        if position > len(content):
            raise broken(f"its weight files end inside the weight '{entry.name}'")
        found.append(bytes(content[start:position]))
    return np.array(found, object).reshape(entry.shape), position
