"""What a `.keras` archive holds, looked at before anything is unpacked: names, kinds and sizes of its members."""

import io
import re
import stat
import tempfile
import zipfile
from typing import IO

from saliency_cli.errors import ModelError
from saliency_cli.models.limits import JSON_BYTES

MEMBERS = 2_000
RATIO = 100
RATIO_FLOOR = 8 << 20
ASSET_BYTES = 1 << 30
WEIGHTS = "model.weights.h5"

_KNOWN = re.compile(r"config\.json|metadata\.json|model\.weights\.h5|assets/.*", re.DOTALL)
_NEEDED = ("config.json", "metadata.json", WEIGHTS)
_KINDS = (0, stat.S_IFREG, stat.S_IFDIR)
_ENCRYPTED = 0x1


def check_members(archive: zipfile.ZipFile, path: str, max_bytes: int) -> None:
    """Raise `ModelError` for a member that is no part of a Keras model, or that unpacks to too much."""
    members = archive.infolist()
    if len(members) > MEMBERS:
        raise _refused(path, f"it has {len(members):,} members, more than {MEMBERS:,}", "refused-size")
    seen: set[str] = set()
    for member in members:
        _check_name(member, path, seen)
        _check_kind(member, path)
        _check_size(member, path)
    _check_total(members, path, max_bytes)
    if missing := [name for name in _NEEDED if name not in seen]:
        raise ModelError(
            f"'{path}' is not a whole Keras model: {missing[0]} is missing from the archive",
            hint="save it again with model.save('model.keras')",
            reason="damaged",
        )


def read_member(archive: zipfile.ZipFile, name: str, path: str, limit: int = JSON_BYTES) -> bytes:
    """Read a member whole, stopping at a limit whatever size the archive declares."""
    with archive.open(name) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise _refused(path, f"'{name}' is larger than {limit >> 20} MiB", "refused-size")
    return data


def open_weights(archive: zipfile.ZipFile, source: IO[bytes]) -> "IO[bytes] | Window":
    """Return the weights as a file that can be searched.

    A stored member, which is what Keras writes, is read where it lies; a compressed one is unpacked
    into a file without a name, which vanishes with this process.
    """
    member = archive.getinfo(WEIGHTS)
    if member.compress_type == zipfile.ZIP_STORED:
        with archive.open(member):  # compares the member's own header with the directory
            pass
        source.seek(member.header_offset + 26)
        lengths = source.read(4)
        start = member.header_offset + 30 + int.from_bytes(lengths[:2], "little")
        return Window(source, start + int.from_bytes(lengths[2:], "little"), member.file_size)
    unpacked = tempfile.TemporaryFile()  # noqa: SIM115 - closed by its caller, with HDF5's file
    with archive.open(member) as packed:
        while block := packed.read(1 << 20):
            unpacked.write(block)
    unpacked.seek(0)
    return unpacked


class Window(io.RawIOBase):
    """A part of an open file, as a file of its own."""

    def __init__(self, source: IO[bytes], start: int, length: int) -> None:
        self._source, self._start, self._length, self._at = source, start, length, 0

    def readable(self) -> bool:  # noqa: D102 - of io.RawIOBase
        return True

    def seekable(self) -> bool:  # noqa: D102
        return True

    def tell(self) -> int:  # noqa: D102
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:  # noqa: D102
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # noqa: D102
        wanted = max(0, min(len(buffer), self._length - self._at))
        self._source.seek(self._start + self._at)
        data = self._source.read(wanted)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _check_name(member: zipfile.ZipInfo, path: str, seen: set[str]) -> None:
    name = member.orig_filename
    shown = name[:80].encode("unicode_escape").decode()
    parts = name.split("/")
    leaves = name.startswith("/") or ".." in parts or "\\" in name or "\0" in name or ":" in parts[0]
    if leaves:
        raise _refused(path, f"the member '{shown}' names a place outside the model", "refused-file")
    if not _KNOWN.fullmatch(name):
        raise _refused(path, f"the member '{shown}' is no part of a Keras model", "refused-file")
    if name.casefold() in seen:
        raise _refused(path, f"there are two members called '{shown}'", "refused-file")
    seen.add(name.casefold())


def _check_kind(member: zipfile.ZipInfo, path: str) -> None:
    if stat.S_IFMT(member.external_attr >> 16) not in _KINDS:
        raise _refused(path, f"the member '{member.filename[:80]}' is a link or a device", "refused-link")
    if member.flag_bits & _ENCRYPTED:
        raise _refused(path, f"the member '{member.filename[:80]}' is encrypted", "refused-file")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _refused(path, f"the member '{member.filename[:80]}' is packed in an unusual way", "refused-file")
    if member.compress_type == zipfile.ZIP_STORED and member.compress_size != member.file_size:
        raise _refused(path, f"the member '{member.filename[:80]}' declares two sizes", "refused-file")


def _check_size(member: zipfile.ZipInfo, path: str) -> None:
    if member.file_size > RATIO_FLOOR and member.file_size > RATIO * member.compress_size:
        times = member.file_size // max(1, member.compress_size)
        raise _refused(path, f"'{member.filename[:80]}' unpacks to {times:,} times its size", "refused-size")


def _check_total(members: list[zipfile.ZipInfo], path: str, max_bytes: int) -> None:
    total = sum(member.file_size for member in members)
    assets = sum(member.file_size for member in members if member.filename.startswith("assets/"))
    if total > max_bytes or assets > ASSET_BYTES:
        raise _refused(path, f"it unpacks to {total:,} bytes", "refused-size")


def _refused(path: str, why: str, reason: str) -> ModelError:
    return ModelError(
        f"'{path}' is refused: {why}", hint="save the model again with model.save('model.keras')", reason=reason
    )
