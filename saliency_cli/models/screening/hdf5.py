"""What an HDF5 file holds, looked at object by object: no links, nothing outside the file, no shape without data.

Runs in the screening's own process only: a damaged file can crash or hang the HDF5 library, and then it is
that process which dies. What is packed in chunks is read once, so that what would crash does so here.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import h5py
from h5py import h5a, h5d, h5f, h5g, h5l, h5o, h5t, h5z

from saliency_cli.errors import ModelError
from saliency_cli.models.limits import swollen

OBJECTS = 100_000
DEPTH = 64
CHUNK_BYTES = 256 << 20
ATTRIBUTE_BYTES = 64 << 20
OPAQUE_BYTES = 16

_FILTERS = {h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32, h5z.FILTER_LZF}
_PLAIN_TYPES = {h5t.INTEGER, h5t.FLOAT, h5t.STRING, h5t.ENUM, h5t.OPAQUE}


@dataclass(frozen=True)
class Contents:
    """How many numbers each array of an HDF5 file holds, and its model configuration's text where there is one."""

    arrays: dict[str, int]
    config: str | None

    @property
    def numbers(self) -> int:
        """How many numbers the file holds."""
        return sum(self.arrays.values())


def check_hdf5(source: Any, path: str, size: int, max_bytes: int) -> Contents:
    """Walk an HDF5 file, open for reading, of `size` bytes. Raises `ModelError` for links, outside data and bombs."""
    arrays: dict[str, int] = {}
    declared = 0
    with h5py.File(source, "r") as file:
        for name, item in _walk(file.id, path):
            _read_attributes(item, name, path)
            if isinstance(item, h5d.DatasetID):
                held = _check_dataset(item, name, path, size)
                declared += held * item.dtype.itemsize
                arrays[name.lstrip("/")] = held
                if declared > max_bytes or swollen(declared, size):
                    raise _refused(path, f"its arrays are declared larger than {declared:,} bytes", "refused-size")
        return Contents(arrays, _config(file))


def _config(file: h5py.File) -> str | None:
    text = file.attrs.get("model_config")
    return text.decode() if isinstance(text, bytes) else None if text is None else str(text)


def _walk(root: h5f.FileID, path: str) -> Iterator[tuple[str, Any]]:
    """Yield each group and dataset once, by hard links only; never follows a link of another kind."""
    start = h5g.open(root, b"/")
    seen = {h5o.get_info(start).addr}
    stack: list[tuple[str, Any, int]] = [("/", start, 0)]
    count = 0
    while stack:
        name, item, depth = stack.pop()
        count += 1
        if count > OBJECTS or depth > DEPTH:
            raise _refused(path, f"it holds more than {OBJECTS:,} objects, or groups too deep", "refused-size")
        yield name, item
        if not isinstance(item, h5g.GroupID):
            continue
        for index in range(item.get_num_objs()):
            child = item.get_objname_by_idx(index)
            shown = f"{name.rstrip('/')}/{child.decode(errors='replace')}"
            if item.links.get_info(child).type != h5l.TYPE_HARD:
                raise _refused(path, f"'{_short(shown)}' is a link to another place", "refused-link")
            opened = h5o.open(item, child)
            address = h5o.get_info(opened).addr
            if isinstance(opened, h5g.GroupID) and address in seen:
                raise _refused(path, f"the group '{_short(shown)}' is there twice, or holds itself", "refused-link")
            seen.add(address)
            stack.append((shown, opened, depth + 1))
            if len(stack) > OBJECTS:
                raise _refused(path, f"it holds more than {OBJECTS:,} objects", "refused-size")


def _read_attributes(item: Any, name: str, path: str) -> None:
    """Read every attribute once: whoever loads the model will, and a damaged one can crash the library."""
    for index in range(h5a.get_num_attrs(item)):
        attribute = h5a.open(item, index=index)
        if math.prod(attribute.shape or ()) * attribute.get_type().get_size() > ATTRIBUTE_BYTES:
            raise _refused(path, f"an attribute of '{_short(name)}' is too large", "refused-size")
    if not isinstance(item, h5t.TypeID):
        opened = h5py.Dataset(item) if isinstance(item, h5d.DatasetID) else h5py.Group(item)
        for key in opened.attrs:
            opened.attrs[key]


def _check_dataset(item: h5d.DatasetID, name: str, path: str, size: int) -> int:
    """Check one dataset and return how many values it declares."""
    shown = _short(name)
    creation = item.get_create_plist()
    if creation.get_layout() == h5d.VIRTUAL or creation.get_external_count():
        raise _refused(path, f"the array '{shown}' lies in another file", "refused-link")
    kind = item.get_type()
    if kind.get_class() not in _PLAIN_TYPES or (isinstance(kind, h5t.TypeStringID) and kind.is_variable_str()):
        raise _refused(path, f"'{shown}' holds objects instead of numbers", "refused-file")
    if kind.get_class() == h5t.OPAQUE and kind.get_size() > OPAQUE_BYTES:
        raise _refused(path, f"'{shown}' holds unknown data instead of numbers", "refused-file")
    filters = {creation.get_filter(index)[0] for index in range(creation.get_nfilters())}
    if filters - _FILTERS:
        raise _refused(path, f"'{shown}' is packed by an unknown filter", "refused-file")
    shape = item.shape or ()
    held = math.prod(shape)
    declared, stored = held * kind.get_size(), item.get_storage_size()
    if swollen(declared, stored):
        raise _refused(path, f"'{shown}' declares {declared:,} bytes and stores {stored:,}", "refused-size")
    _read_once(item, creation, kind.get_size(), held, size, path, shown)
    return held


def _read_once(item: h5d.DatasetID, creation: Any, value: int, held: int, size: int, path: str, shown: str) -> None:
    layout = creation.get_layout()
    if layout == h5d.CONTIGUOUS:
        # HDF5 reads such an array with one plain read: only its place can be wrong.
        start = item.get_offset()
        if start is not None and start + held * value > size:
            raise ModelError(
                f"'{path}' is damaged: the array '{shown}' ends outside the file",
                hint="was it copied or downloaded whole?",
                reason="damaged",
            )
        return
    if layout == h5d.CHUNKED:
        if math.prod(creation.get_chunk()) * value > CHUNK_BYTES:
            raise _refused(path, f"'{shown}' is stored in chunks larger than {CHUNK_BYTES >> 20} MiB", "refused-size")
        dataset = h5py.Dataset(item)
        for part in dataset.iter_chunks() if held else ():
            dataset[part]
    elif held:
        h5py.Dataset(item)[()]


def _short(name: str) -> str:
    return name[-80:].encode("unicode_escape").decode()


def _refused(path: str, why: str, reason: str) -> ModelError:
    return ModelError(f"'{path}' is refused: {why}", hint="save the model again with Keras", reason=reason)
