"""The run folder's journal: `items.jsonl`, one line an input, appended as finished, and its lock.

A line is written after the input's files and holds everything `--resume` needs to know that the input is
done. A torn last line is what a killed run leaves; it is dropped. Lines are handed to the system at once
and flushed to the disk once a second: after a power cut the last ones may be missing, or files they name
be empty, and both are done again.
"""

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple

import msgspec

from saliency_cli.errors import OutputError, UsageError
from saliency_cli.records import ItemRecord, RunRecord
from saliency_cli.runs.destination import cannot_write, replacing, write_whole

_ENCODER = msgspec.json.Encoder()
_ITEM = msgspec.json.Decoder(ItemRecord)
_FLUSH_SECONDS = 1.0
_LOCK = ".lock"
_TEMPORARY = ".saliency-"


class Done(NamedTuple):
    """What is kept in memory of a finished item: its files' hashes by input, its truth, its flags."""

    hashes: tuple[tuple[str, str], ...]
    label: str | None
    flags: tuple[str, ...]


@dataclass(eq=False)
class Journal:
    """An open run folder: what was done before, and the file that new lines go to."""

    root: Path
    done: dict[str, Done] = field(default_factory=dict)
    _lock: Any = None
    _file: IO[bytes] | None = None
    _flushed: float = 0.0
    _doubled: bool = False
    # Hashes, because names would be most of what a long run keeps in memory.
    _written: set[int] = field(default_factory=set)

    @classmethod
    def open(cls, root: Path, run: RunRecord, *, resume: bool, overwrite: bool) -> "Journal":
        """Lock a run folder, write its `run.json` and prepare its journal.

        Raises:
            OutputError: the folder holds something already, is locked by another run, or can't be written.
            UsageError: `resume` with other settings than the run before.
        """
        require_free(root, resume=resume, overwrite=overwrite)
        journal = cls(root, _lock=_locked(root))
        try:
            # Again, now that nobody else can be writing: another run may have come and gone in between.
            require_free(root, resume=resume, overwrite=overwrite)
            journal._prepare(run, resume=resume)
        except OSError as error:
            journal._lock.release()
            raise cannot_write(root, error) from error
        except BaseException:
            journal._lock.release()
            raise
        return journal

    def _prepare(self, run: RunRecord, *, resume: bool) -> None:
        before = read_run(self.root)
        if resume and before is not None and _anything_done(self.root):
            _require_same(before, run.settings, self.root)
            self._take_over()
        elif before is not None:
            _clear(self.root)
        for leftover in self.root.rglob(f"{_TEMPORARY}*"):
            leftover.unlink()
        # Before the first line: a folder with a journal always says what run it is of.
        write_run(self.root, run)
        self._file = (self.root / "items.jsonl").open("ab", buffering=0)

    def _take_over(self) -> None:
        """Keep the finished lines of the run before; what failed, was torn or lost its files is done again."""
        for record in read_items(self.root):
            if record.status == "ok" and all(_is_whole(self.root / file) for file in _files(record)):
                self.done[record.id] = _done(record)
            else:
                self.done.pop(record.id, None)
        _rewrite(self.root, set(self.done))

    def append(self, record: ItemRecord) -> None:
        """Append one line. Raises `OutputError` where that fails; the journal then holds whole lines still."""
        assert self._file is not None
        key = hash(record.id)
        self._doubled = self._doubled or record.id in self.done or key in self._written
        self._written.add(key)
        line = _ENCODER.encode(record) + b"\n"
        end = os.fstat(self._file.fileno()).st_size
        try:
            while line:
                line = line[self._file.write(line) :]
            self._flush()
        except OSError as error:
            os.ftruncate(self._file.fileno(), end)
            raise cannot_write(self.root / "items.jsonl", error) from error

    def _flush(self) -> None:
        assert self._file is not None
        # Once a line would be half the time of a small run on a slow disk.
        if time.monotonic() - self._flushed >= _FLUSH_SECONDS:
            os.fsync(self._file.fileno())
            self._flushed = time.monotonic()

    def settle(self) -> None:
        """Keep the last line only of an input that was done again: it changed, or came twice in a list."""
        if self._doubled:
            assert self._file is not None
            self._file.close()
            _rewrite(self.root, None)
            self._file = (self.root / "items.jsonl").open("ab", buffering=0)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()
        self._lock.release()


def require_free(root: Path, *, resume: bool, overwrite: bool) -> None:
    """Raise `OutputError` where a folder holds what a run must not go into.

    A run's own folder needs `resume` or `overwrite`. Beside other people's files only `overwrite` may
    write, and it removes nothing of theirs.
    """
    if not root.is_dir():
        return
    before = read_run(root)
    foreign = any(entry.name != _LOCK and not entry.name.startswith(_TEMPORARY) for entry in root.iterdir())
    if before is not None and not (resume or overwrite):
        done = before.status == "done"
        raise OutputError(
            f"'{root}' holds {'a finished' if done else 'an unfinished'} run already",
            hint="--resume to go on with it, --overwrite to replace it, or another -o",
            reason="exists",
        )
    if before is None and foreign and not overwrite:
        raise OutputError(
            f"'{root}' holds files that are no run's",
            hint="another -o, or --overwrite to write among them (none is removed)",
            reason="exists",
        )
    for name in ("run.json", "items.jsonl", "metrics.json", "maps") if before is None and foreign else ():
        if (root / name).exists():
            raise OutputError(
                f"'{root / name}' was not written by saliency, and would be replaced",
                hint="another -o",
                reason="exists",
            )


def _locked(root: Path) -> Any:
    import filelock

    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(root / _LOCK)
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise OutputError(
            f"another run is writing to '{root}'", hint="wait for it, or choose another -o", reason="locked"
        ) from None
    except OSError as error:
        raise cannot_write(root, error) from error
    return lock


def read_items(root: Path) -> Iterator[ItemRecord]:
    """Yield the whole lines of a run folder's journal, one at a time."""
    for _, record in _lines(root):
        yield record


def _lines(root: Path) -> Iterator[tuple[bytes, ItemRecord]]:
    path = root / "items.jsonl"
    if not path.is_file():
        return
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            try:
                yield line, _ITEM.decode(line)
            except msgspec.DecodeError:
                # Half a line under a whole one: a disk that was full. What it spoke of is done again.
                continue


def _anything_done(root: Path) -> bool:
    return any(record.status == "ok" for record in read_items(root))


def _rewrite(root: Path, kept: set[str] | None) -> None:
    """Write the journal again with the last line of every id, or of every id that is to be kept."""
    last = {record.id: number for number, record in enumerate(read_items(root)) if kept is None or record.id in kept}
    with replacing(root / "items.jsonl") as file:
        for number, (line, record) in enumerate(_lines(root)):
            if last.get(record.id) == number:
                file.write(line)


def write_run(root: Path, record: RunRecord) -> None:
    """Write `run.json`, whole."""
    write_whole(root / "run.json", msgspec.json.format(_ENCODER.encode(record), indent=2) + b"\n")


def read_run(root: Path) -> RunRecord | None:
    """Return a folder's `run.json`, None where there is none, or one that saliency did not write."""
    try:
        found = msgspec.json.decode((root / "run.json").read_bytes(), type=RunRecord)
    except (OSError, msgspec.DecodeError):
        return None
    return found if found.tool.get("name") == "saliency" else None


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


def _done(record: ItemRecord) -> Done:
    hashes = tuple((name, source.sha256) for name, source in record.sources.items())
    label = next((found.target.label for found in record.maps if found.target.loss), None)
    return Done(hashes, label, tuple(record.flags))


def _files(record: ItemRecord) -> Iterator[str]:
    yield from record.files.values()
    for found in record.maps:
        yield from found.files.values()
        for entry in found.inputs.values():
            yield from entry.files.values()


def _is_whole(path: Path) -> bool:
    """Whether a file is there and not empty, which is what a power cut makes of one."""
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def _clear(root: Path) -> None:
    """Remove what an earlier run wrote, and nothing else. `run.json` is last: it says whose the rest is."""
    import shutil

    (root / "items.jsonl").unlink(missing_ok=True)
    if (root / "maps").exists():
        shutil.rmtree(root / "maps")
    (root / "metrics.json").unlink(missing_ok=True)
