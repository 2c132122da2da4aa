"""The run folder's journal: `items.jsonl`, one line an input, appended as finished, and its lock.

A line is written after the input's files, flushed to the disk, and holds everything `--resume` needs to
know that the input is done. A torn last line is what a killed run leaves; it is dropped.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import msgspec

from saliency_cli.errors import OutputError, UsageError
from saliency_cli.records import ItemRecord, RunRecord
from saliency_cli.runs.destination import cannot_write, write_whole

_ENCODER = msgspec.json.Encoder()
_ITEM = msgspec.json.Decoder(ItemRecord)


@dataclass(eq=False)
class Journal:
    """An open run folder: what was done before, and the file that new lines go to."""

    root: Path
    done: dict[str, ItemRecord] = field(default_factory=dict)
    _lock: Any = None
    _file: IO[bytes] | None = None

    @classmethod
    def open(cls, root: Path, settings: Mapping[str, Any], *, resume: bool, overwrite: bool) -> "Journal":
        """Lock a run folder and prepare its journal.

        Raises:
            OutputError: the folder holds something already, is locked by another run, or can't be written.
            UsageError: `resume` with other settings than the run before.
        """
        import filelock

        before = _read_run(root)
        if not resume and not overwrite and root.is_dir() and any(entry.name != ".lock" for entry in root.iterdir()):
            what = "a finished run" if before else "files"
            raise OutputError(
                f"'{root}' holds {what} already",
                hint="--resume to go on with it, --overwrite to replace it, or another -o",
                reason="exists",
            )
        if resume and before is not None:
            _require_same(before, settings, root)
        try:
            root.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(root / ".lock")
            lock.acquire(timeout=0)
        except filelock.Timeout:
            raise OutputError(
                f"another run is writing to '{root}'", hint="wait for it, or choose another -o", reason="locked"
            ) from None
        except OSError as error:
            raise cannot_write(root, error) from error
        journal = cls(root, _lock=lock)
        try:
            if resume:
                journal._take_over()
            else:
                _clear(root)
            journal._file = (root / "items.jsonl").open("ab", buffering=0)
        except OSError as error:
            lock.release()
            raise cannot_write(root / "items.jsonl", error) from error
        return journal

    def _take_over(self) -> None:
        """Keep the finished lines of the run before; what failed or was torn is done again."""
        for record in read_items(self.root):
            files = [file for kept in _files(record) for file in kept.values()]
            if record.status == "ok" and all((self.root / file).is_file() for file in files):
                self.done[record.id] = record
            else:
                self.done.pop(record.id, None)
        lines = b"".join(_ENCODER.encode(record) + b"\n" for record in self.done.values())
        write_whole(self.root / "items.jsonl", lines)
        for leftover in self.root.rglob(".saliency-*"):
            leftover.unlink()

    def append(self, record: ItemRecord) -> None:
        """Append one line and flush it to the disk. Raises `OutputError` where that fails."""
        assert self._file is not None
        try:
            self._file.write(_ENCODER.encode(record) + b"\n")
            os.fsync(self._file.fileno())
        except OSError as error:
            raise cannot_write(self.root / "items.jsonl", error) from error

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()
        self._lock.release()


def read_items(root: Path) -> Iterator[ItemRecord]:
    """Yield the whole lines of a run folder's journal, one at a time."""
    path = root / "items.jsonl"
    if not path.is_file():
        return
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            try:
                yield _ITEM.decode(line)
            except msgspec.DecodeError:
                # Half a line under a whole one: a disk that was full. What it spoke of is done again.
                continue


def write_run(root: Path, record: RunRecord) -> None:
    """Write `run.json`, whole."""
    write_whole(root / "run.json", msgspec.json.format(_ENCODER.encode(record), indent=2) + b"\n")


def _read_run(root: Path) -> RunRecord | None:
    try:
        return msgspec.json.decode((root / "run.json").read_bytes(), type=RunRecord)
    except (OSError, msgspec.DecodeError):
        return None


def _require_same(before: RunRecord, settings: Mapping[str, Any], root: Path) -> None:
    plain = msgspec.json.decode(_ENCODER.encode(dict(settings)))
    different = [key for key in plain if before.settings.get(key) != plain[key]]
    if different:
        shown = "; ".join(f"{key} was {before.settings.get(key)}, now {plain[key]}" for key in different[:4])
        raise UsageError(
            f"--resume: the run in '{root}' was made with other settings: {shown}",
            hint="give the same ones, or --overwrite to begin anew",
            reason="other-settings",
        )


def _files(record: ItemRecord) -> Iterator[Mapping[str, str]]:
    yield record.files
    for found in record.maps:
        yield found.files
        yield from (entry.files for entry in found.inputs.values())


def _clear(root: Path) -> None:
    """Remove what an earlier run wrote, and nothing else."""
    import shutil

    if not (root / "run.json").exists() and not (root / "items.jsonl").exists():
        return
    for name in ("items.jsonl", "run.json", "metrics.json"):
        (root / name).unlink(missing_ok=True)
    shutil.rmtree(root / "maps", ignore_errors=True)
