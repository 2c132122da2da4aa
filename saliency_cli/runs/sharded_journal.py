"""The journal of a sharded run folder: parts of rows and maps in place of `items.jsonl`.

It keeps the manners of `Journal`: a row is there when its maps are, what failed or changed is done again, and of an
input that came twice the last row counts. What was done since the last part is lost in a kill, and done again.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from saliency_cli.records import ItemRecord
from saliency_cli.runs.destination import cannot_write
from saliency_cli.runs.journal import Done, Journal, done_of
from saliency_cli.runs.sharded_maps import Shelf
from saliency_cli.runs.sharded_parts import (
    Halves,
    Part,
    StackNames,
    read_part,
    remove,
    rewrite,
    taken_over,
    whole_parts,
)

_KEPT_PARTS = 4


@dataclass(eq=False)
class ShardedJournal(Journal):
    """An open run folder in parts, or a share of one. `shelf` holds the maps on their way to them."""

    shelf: Shelf = field(kw_only=True)
    names: StackNames = field(default_factory=StackNames, kw_only=True)
    warn: Callable[[str], None] = field(default=lambda _: None, kw_only=True)
    _part: Part | None = None
    _number: int = 0

    @property
    def stem(self) -> str:
        """How the names of its parts begin."""
        return "part-" if self.share is None else f"shard-{self.share.name}-part-"

    def items(self) -> Iterator[ItemRecord]:
        """Yield the rows of the run, or of this share of it."""
        yield from (record for _, _, record in self._rows(self.stem if self.share else ""))

    def _give_up(self) -> None:
        for name in [name for name in whole_parts(self.root) if name.startswith(self.stem)]:
            remove(self.root, name)

    def _take_over(self) -> None:
        """Find the rows that are done; what failed, and what was in no whole part, is done again.

        Of a run in shards, one that is in none takes all.
        """
        index: dict[int, str] = {}
        for name, rows in taken_over(self.root, self.stem if self.share else ""):
            if name.startswith(self.stem):
                self._number = int(name.removeprefix(self.stem)) + 1
            for record in rows:
                self._written.add(hash(record.id))
                if record.status == "ok":
                    index[hash(record.id)] = name
                else:
                    index.pop(hash(record.id), None)
                if any(entry.stack for found in record.maps for entry in found.inputs.values()):
                    self.shelf.keeping.take(record)
        self.done = DoneRows(self.root, index)
        self._forget_shards()

    def _begin(self) -> None:
        (self.root / "rows").mkdir(exist_ok=True)

    def append(self, record: ItemRecord) -> None:
        """Add one row to the part under way. Raises `OutputError` where that fails; the part is then absent."""
        self._doubled = self._doubled or hash(record.id) in self._written
        self._written.add(hash(record.id))
        maps = self.shelf.take(record)
        try:
            if self._part is not None and self._part.ending:
                self._end_part()
            if self._part is None:
                self._part = Part(self.root, f"{self.stem}{self._number:05d}", self.names)
            self._part.add(record, maps)
            if self._part.full:
                self._end_part()
        except OSError as error:
            self._drop()
            raise cannot_write(self.root / "rows", error) from error

    def unpack(self, record: ItemRecord, parcel: Halves) -> None:
        """Take the maps that a worker sent with a record, before it is appended."""
        self.shelf.unpack(record, parcel)

    def _end_part(self) -> None:
        if self._part is not None:
            self._part.end()
            self._number += 1  # first: Ctrl-C in between leaves a number out, and gives none twice
            self._part = None

    def settle(self) -> None:
        """End the last part; take back rows that were done again, and maps that others have outdone."""
        try:
            self._end_part()
            if self._doubled:
                self._take_back_rows()
            if self.share is None and (self.shelf.keeping.outdone or self._doubled):
                self._take_back_maps()
        except OSError as error:
            raise cannot_write(self.root / "rows", error) from error

    def _whole(self) -> None:
        if self.shelf.keeping.keep.count:  # each share kept its own best
            self._take_back_maps()

    def _take_back_rows(self) -> None:
        last: dict[int, tuple[str, int]] = {}
        before: set[str] = set()
        for name, position, record in self._rows(self.stem if self.share else ""):
            doubled = last.get(hash(record.id))
            before |= {doubled[0]} if doubled else set()
            last[hash(record.id)] = name, position
        kept: dict[str, set[int]] = {name: set() for name in before}
        for name, position in last.values():
            if name in kept:
                kept[name].add(position)
        for name, positions in sorted(kept.items()):
            rewrite(self.root, name, self.names, positions.__contains__, lambda _: True)

    def _take_back_maps(self) -> None:
        # By the rows that are left: one that was done again may rank otherwise than before.
        keeping = self.shelf.keeping.anew()
        chosen = missing = 0
        for _, _, record in self._rows():
            keeping.take(record)
        outdone: set[str] = set()
        for name, _, record in self._rows():
            kept = any(entry.stack for found in record.maps for entry in found.inputs.values())
            chosen += keeping.chosen(record)
            missing += keeping.chosen(record) and not kept
            outdone |= {name} if kept and not keeping.chosen(record) else set()
        for name in sorted(outdone):
            rewrite(self.root, name, self.names, lambda _: True, keeping.chosen)
        if missing:
            self.warn(
                f"{missing} of the {chosen} maps that --keep-maps asks for are not there: inputs changed since the "
                "run began; --overwrite makes them all"
            )

    def _rows(self, stem: str = "") -> Iterator[tuple[str, int, ItemRecord]]:
        for name in [name for name in whole_parts(self.root) if name.startswith(stem)]:
            for position, record in enumerate(read_part(self.root, name) or ()):
                yield name, position, record

    def _drop(self) -> None:
        if self._part is not None:
            with contextlib.suppress(OSError):
                self._part.drop()
            self._part = None

    def __exit__(self, *raised: type[BaseException] | BaseException | TracebackType | None) -> None:
        try:
            self._end_part()  # broken off: what is finished is kept
        except OSError as error:
            self._drop()
            if raised[0] is None:
                raise cannot_write(self.root / "rows", error) from error
        finally:
            super().__exit__()


class DoneRows(Mapping[str, Done]):
    """What was done before, by id: looked up in the parts, of which a few are held in memory."""

    def __init__(self, root: Path, index: Mapping[int, str]) -> None:
        self._root, self._index = root, index
        self._held: dict[str, dict[str, Done]] = {}
        self._lock = threading.Lock()

    def __getitem__(self, identity: str) -> Done:
        return self._part(self._index[hash(identity)])[identity]

    def _part(self, name: str) -> dict[str, Done]:
        with self._lock:
            if name not in self._held:
                while len(self._held) >= _KEPT_PARTS:
                    del self._held[next(iter(self._held))]
                rows = read_part(self._root, name) or ()
                self._held[name] = {record.id: done_of(record) for record in rows if record.status == "ok"}
            return self._held[name]

    def __iter__(self) -> Iterator[str]:
        for name in sorted(set(self._index.values())):
            yield from (identity for identity in self._part(name) if self._index.get(hash(identity)) == name)

    def __len__(self) -> int:
        return len(self._index)
