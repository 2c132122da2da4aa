"""The run folder's journal: `items.jsonl`, one line an input, appended as finished, and its lock.

A line is written after the input's files and holds everything `--resume` needs to know that the input is
done. A torn last line is what a killed run leaves; it is dropped. Lines are handed to the system at once
and flushed to the disk once a second: after a power cut the last ones may be missing, or files they name
be empty, and both are done again.
"""

import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple

import msgspec

from saliency_cli.errors import OutputError
from saliency_cli.records import ItemRecord, RunRecord
from saliency_cli.runs.destination import cannot_write, replacing, temporary_prefix, write_whole
from saliency_cli.runs.sharded_parts import is_sharded, read_rows
from saliency_cli.runs.sharing import FOLDER, Share, difference, different_listing, different_settings, merged
from saliency_cli.runs.summary import Collected, plain_metrics

_ENCODER = msgspec.json.Encoder()
_ITEM = msgspec.json.Decoder(ItemRecord)
_FLUSH_SECONDS = 1.0
_LOCK = ".lock"
_FILES_LAYOUT = ("items.jsonl", FOLDER, "maps")
_SHARDED_LAYOUT = ("done", "rows", FOLDER, "maps")
_TEMPORARY = ".saliency-"
_PATIENCE = 60.0
"""Seconds that a shard waits for the folder: another one begins, or the last one aggregates."""


class Done(NamedTuple):
    """What is kept in memory of a finished item: its files' hashes by input, its truth, its flags."""

    hashes: tuple[tuple[str, str], ...]
    label: str | None
    flags: tuple[str, ...]


@dataclass(eq=False)
class Journal:
    """An open run folder: what was done before, and the file that new lines go to."""

    root: Path
    done: Mapping[str, Done] = field(default_factory=dict)
    share: Share | None = None
    _lock: Any = None
    _file: IO[bytes] | None = None
    _flushed: float = 0.0
    _doubled: bool = False
    # Hashes, because names would be most of what a long run keeps in memory.
    _written: set[int] = field(default_factory=set)

    @classmethod
    def open(
        cls, root: Path, run: RunRecord, *, resume: bool, overwrite: bool, share: Share | None = None, **more: Any
    ) -> "Journal":
        """Lock a run folder, or a share of it, write its `run.json` and prepare its journal.

        `more`: fields of another kind of journal.

        Raises:
            OutputError: the folder holds something already, is locked by another run, or can't be written.
            UsageError: `resume` with other settings than the run before, or a share of another run.
        """
        if share is not None:
            return cls._open_share(root, run, share, resume=resume, overwrite=overwrite, **more)
        require_free(root, resume=resume, overwrite=overwrite)
        journal = cls(root, _lock=_locked(root), **more)
        with journal._released_if_it_fails():
            _require_idle(root)
            # Again, now that nobody else can be writing: another run may have come and gone in between.
            require_free(root, resume=resume, overwrite=overwrite)
            journal._prepare(run, resume=resume)
        return journal

    def _prepare(self, run: RunRecord, *, resume: bool) -> None:
        before = read_run(self.root)
        if resume and before is not None and _anything_done(self.root):
            _require_same(before, run, self.root)
            self._take_over()
        elif before is not None:
            _clear(self.root)
        _remove(self.root, f"{_TEMPORARY}*")
        # Before the first line: a folder with a journal always says what run it is of.
        write_run(self.root, run)
        self._begin()

    @classmethod
    def _open_share(
        cls, root: Path, run: RunRecord, share: Share, *, resume: bool, overwrite: bool, **more: Any
    ) -> "Journal":
        """Begin a share. Others of the same run begin, work and end beside it."""
        with _locked_beside(root):
            require_free(root, resume=resume, overwrite=overwrite, share=share)
            before = read_run(root)
            if before is not None and (error := difference(root, before, run, share)):
                # A first try that came to nothing binds nobody.
                if "shards" not in before.settings or _anything_done(root) or _busy(root):
                    raise error
                _clear(root)
                before = None
            if before is None:
                # Before anything else: others look without the lock whether what is there is a run's.
                write_run(root, run)
            journal = cls(root, share=share, _lock=_locked_share(root, share), **more)
            with journal._released_if_it_fails():
                _write_record(share.path(root, ".json"), run)
                write_run(root, merged(before or run, root))
        # What is only its own is looked through while others begin.
        with journal._released_if_it_fails():
            if resume:
                journal._take_over()
            elif overwrite:
                journal._give_up()
            journal._begin()
        return journal

    @contextmanager
    def _released_if_it_fails(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._lock.release()
            raise cannot_write(self.root, error) from error
        except BaseException:
            self._lock.release()
            raise

    @property
    def path(self) -> Path:
        """The file that lines go to."""
        return self.root / "items.jsonl" if self.share is None else self.share.path(self.root, ".jsonl")

    def _begin(self) -> None:
        self._file = self.path.open("ab", buffering=0)

    def items(self) -> Iterator[ItemRecord]:
        """Yield the records of the run, or of this share of it."""
        if self.share is None:
            yield from read_items(self.root)
        else:
            yield from (record for _, record in _lines(self.path))

    def _give_up(self) -> None:
        """Remove what this share did before, and nothing of the others."""
        for record in self.items():
            for file in _files(record):
                (self.root / file).unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)

    def _take_over(self) -> None:
        """Keep the finished lines of the run before; what failed, was torn or lost its files is done again."""
        done: dict[str, Done] = {}
        for record in self.items():
            if record.status == "ok" and all(_is_whole(self.root / file) for file in _files(record)):
                done[record.id] = done_of(record)
            else:
                done.pop(record.id, None)
        self.done = done
        if self.share is not None:
            _rewrite([self.path], self.path, set(done))
            return
        # Of a run in shards, one that is in none takes all.
        _rewrite(_paths(self.root), self.path, set(done))
        self._forget_shards()

    def _forget_shards(self) -> None:
        if self.share is None and (self.root / FOLDER).is_dir():
            shutil.rmtree(self.root / FOLDER)

    @property
    def alone(self) -> bool:
        """Whether it holds nothing but what was appended since it was opened, each input once."""
        return not self.done and not self._doubled

    def begin_anew(self) -> None:
        """Take nothing for done: what was done before is done again, and its new line counts."""
        self._doubled = self._doubled or bool(self.done)
        self.done = {}

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
            raise cannot_write(self.path, error) from error

    def unpack(self, record: ItemRecord, parcel: Any) -> None:
        """Take in what came with a record from another process. There is nothing here but lines."""

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
            _rewrite([self.path], self.path, None)
            self._file = self.path.open("ab", buffering=0)

    def finish(self, run: RunRecord) -> RunRecord:
        """Write what a run found in the end: `metrics.json`, and `run.json` last. Return the folder's record.

        A share writes its own; the last one to do so writes the folder's metrics.
        """
        if self.share is None:
            _write_metrics(self.root, run)
            write_run(self.root, run)
            return run
        with _locked(self.root, _PATIENCE):
            _write_record(self.share.path(self.root, ".json"), run)
            whole = merged(read_run(self.root) or run, self.root)
            if whole.status == "done":
                self._whole()
                collected = Collected()
                for item in read_items(self.root):
                    collected.add(item)
                whole.metrics = collected.statistics()
                _write_metrics(self.root, whole)
                if not _busy(self.root, but=self.share):
                    _remove(self.root, f"{_TEMPORARY}*")
            write_run(self.root, whole)
        return whole

    def _whole(self) -> None:
        """Settle what only all shares together tell, when the last one is done."""

    def break_off(self, run: RunRecord) -> None:
        """Leave word that the run did not come to its end."""
        if self.share is None:
            write_run(self.root, run)
            return
        with _locked(self.root, _PATIENCE):
            _write_record(self.share.path(self.root, ".json"), run)
            write_run(self.root, merged(read_run(self.root) or run, self.root))

    def sweep(self, dead: Iterable[tuple[str, int]]) -> None:
        """Remove what processes that died were writing."""
        for machine, process in dead:
            _remove(self.root, f"{temporary_prefix(machine, process)}*")

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()
        self._lock.release()


def require_free(root: Path, *, resume: bool, overwrite: bool, share: Share | None = None) -> None:
    """Raise `OutputError` where a folder holds what a run, or a share of one, must not go into.

    A run's own folder needs `resume` or `overwrite`, and so does a share that has begun. Beside other people's
    files only `overwrite` may write, and it removes nothing of theirs.
    """
    if not root.is_dir():
        return
    # Looked for first: of a run that begins meanwhile `run.json` is there before anything else.
    foreign = any(entry.name != _LOCK and not entry.name.startswith(_TEMPORARY) for entry in root.iterdir())
    before = read_run(root)
    if before is not None and share is not None:
        _require_share_free(root, before, share, begun_anew=resume or overwrite)
        return
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
    for name in ("run.json", "metrics.json", *_FILES_LAYOUT) if before is None and foreign else ():
        if (root / name).exists():
            raise OutputError(
                f"'{root / name}' was not written by saliency, and would be replaced",
                hint="another -o",
                reason="exists",
            )


def _require_share_free(root: Path, before: RunRecord, share: Share, *, begun_anew: bool) -> None:
    # As `_open_share` does: what has done nothing binds nobody, and may be gone by then.
    binding = "shards" not in before.settings or _anything_done(root)
    if binding and (error := different_listing(root, before, share)):
        raise error
    if share.path(root, ".json").exists() and not begun_anew:
        raise OutputError(
            f"'{root}' holds shard {share} already, or some of it",
            hint="--resume to go on with it, --overwrite to do it again",
            reason="exists",
        )


def _locked(root: Path, patience: float = 0.0) -> Any:
    """Lock a run folder, waiting up to `patience` seconds while shards begin or end there."""
    return _acquired(root / _LOCK, patience, f"another run is writing to '{root}'")


def _locked_beside(root: Path) -> Any:
    """Lock a run folder for a moment; a run that holds it from beginning to end is not waited for."""
    try:
        return _locked(root)
    except OutputError:
        before = read_run(root)
        if before is not None and "shards" not in before.settings:
            raise
    return _locked(root, _PATIENCE)


def _locked_share(root: Path, share: Share) -> Any:
    return _acquired(share.lock(root), 0.0, f"another process is at work on shard {share} in '{root}'")


def _acquired(path: Path, patience: float, taken: str) -> Any:
    import filelock

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(path)
        lock.acquire(timeout=patience)
    except filelock.Timeout:
        raise OutputError(taken, hint="wait for it, or choose another -o", reason="locked") from None
    except OSError as error:
        raise cannot_write(path.parent, error) from error
    return lock


def _busy(root: Path, but: Share | None = None) -> bool:
    """Whether a shard is at work in a folder that is locked, so that none can begin."""
    import filelock

    for path in (root / FOLDER).glob(".*.lock"):
        if but is not None and path == but.lock(root):
            continue
        try:
            filelock.FileLock(path).acquire(timeout=0).lock.release()
        except filelock.Timeout:
            return True
    return False


def _require_idle(root: Path) -> None:
    if _busy(root):
        raise OutputError(
            f"a shard is at work in '{root}'", hint="wait for it, or choose another -o", reason="locked"
        )


def _remove(root: Path, pattern: str) -> None:
    for leftover in root.rglob(pattern):
        leftover.unlink(missing_ok=True)


def read_items(root: Path) -> Iterator[ItemRecord]:
    """Yield the whole lines of a run folder's journal, or the rows of its whole parts, one at a time."""
    if is_sharded(root):
        yield from read_rows(root)
        return
    for path in _paths(root):
        for _, record in _lines(path):
            yield record


def _paths(root: Path) -> list[Path]:
    """Return the journals of a run folder: its own, or its shards'."""
    return [root / "items.jsonl", *sorted((root / FOLDER).glob("[!.]*.jsonl"))]


def _lines(path: Path) -> Iterator[tuple[bytes, ItemRecord]]:
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


def _rewrite(paths: Sequence[Path], path: Path, kept: set[str] | None) -> None:
    """Write a journal again from one or several: the last line of every id, or of every id that is to be kept."""
    lines = [line for each in paths for line in _numbered(each)]
    last = {identity: place for place, identity in lines if kept is None or identity in kept}
    with replacing(path) as file:
        for each in paths:
            for number, (line, record) in enumerate(_lines(each)):
                if last.get(record.id) == (each, number):
                    file.write(line)


def _numbered(path: Path) -> Iterator[tuple[tuple[Path, int], str]]:
    for number, (_, record) in enumerate(_lines(path)):
        yield (path, number), record.id


def write_run(root: Path, record: RunRecord) -> None:
    """Write `run.json`, whole."""
    _write_record(root / "run.json", record)


def _write_record(path: Path, record: RunRecord) -> None:
    write_whole(path, msgspec.json.format(_ENCODER.encode(record), indent=2) + b"\n")


def _write_metrics(root: Path, run: RunRecord) -> None:
    metrics = msgspec.json.format(_ENCODER.encode(plain_metrics(run.metrics)), indent=2)
    write_whole(root / "metrics.json", metrics + b"\n")


def read_run(root: Path) -> RunRecord | None:
    """Return a folder's `run.json`, None where there is none, or one that saliency did not write."""
    try:
        found = msgspec.json.decode((root / "run.json").read_bytes(), type=RunRecord)
    except (OSError, msgspec.DecodeError):
        return None
    return found if found.tool.get("name") == "saliency" else None


def _require_same(before: RunRecord, run: RunRecord, root: Path) -> None:
    if error := different_settings(root, before, run, "--resume", "--overwrite to begin anew"):
        raise error


def done_of(record: ItemRecord) -> Done:
    """Return what is kept in memory of a finished item."""
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
    for name in _SHARDED_LAYOUT if is_sharded(root) else _FILES_LAYOUT:
        if (root / name).is_dir():
            shutil.rmtree(root / name)
        else:
            (root / name).unlink(missing_ok=True)
    (root / "metrics.json").unlink(missing_ok=True)
