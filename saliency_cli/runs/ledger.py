"""What is recorded of a run's samples as they are finished, wherever they were computed: lines, counts, warnings."""

import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from saliency_cli.errors import OutputError
from saliency_cli.records import CountsRecord, ItemRecord
from saliency_cli.runs import diagnosis
from saliency_cli.runs.journal import Done, Journal
from saliency_cli.runs.listening import Listener
from saliency_cli.runs.summary import Collected

Result = tuple[ItemRecord, bytes]
"""A sample's record, and the bytes of a picture meant for stdout."""


class Recording(Protocol):
    """Who is told of samples: the ledger, or in a worker process whoever passes it on. One call at a time."""

    @property
    def done(self) -> Mapping[str, Done]:
        """What the run before finished, by id."""
        ...

    @property
    def stopped(self) -> bool:
        """Whether no more samples should be begun."""
        ...

    def expect(self, identities: Sequence[str]) -> None:
        """Hear which samples the next source holds; called in the sources' order, before anything is told of them."""

    def record(self, result: Result) -> None:
        """Hear of a finished sample."""

    def skip(self, identity: str) -> None:
        """Hear that a sample was done by the run before."""


def _nothing(record: ItemRecord) -> None:
    """Remember nothing."""


@dataclass(eq=False)
class Ledger:
    """Journals and tells every finished sample of a run.

    `recorded` is shown every record, in the order in which samples are finished; `limit` is how many may fail.
    """

    journal: Journal | None
    listen: Listener
    limit: int | None = None
    recorded: Callable[[ItemRecord], None] = _nothing
    counts: CountsRecord = field(default_factory=CountsRecord)
    flags: Counter[str] = field(default_factory=Counter)
    collected: Collected = field(default_factory=Collected)
    stopped: bool = False
    _told: set[str] = field(default_factory=set)

    @property
    def done(self) -> Mapping[str, Done]:
        """What the run before finished, by id; nothing where there is no journal."""
        return {} if self.journal is None else self.journal.done

    def expect(self, identities: Sequence[str]) -> None:
        """Nothing depends here on how many samples a source holds."""

    def record(self, result: Result, parcel: Any = None) -> None:
        """Journal and tell one finished sample. `parcel`: what the journal keeps beside a record from elsewhere."""
        record, shown = result
        self.recorded(record)
        if self.journal is not None:
            if parcel is not None:
                self.journal.unpack(record, parcel)
            self.journal.append(record)
        self.collected.add(record)
        if shown:
            _show(shown)
        if record.status == "error":
            self.counts.error += 1
            if self.limit is not None and self.counts.error >= self.limit and not self.stopped:
                self.stopped = True
                self.listen.warning(f"stopped after {self.counts.error} failures (--max-failures {self.limit})")
        else:
            self.counts.ok += 1
            self.flags.update(record.flags)
            self._warn(record)
        self.listen.item(record)

    def _warn(self, record: ItemRecord) -> None:
        """Tell what each flag and note means, the first time it comes."""
        for flag in record.flags:
            if flag not in self._told:
                self._told.add(flag)
                self.listen.warning(f"{record.id}: {diagnosis.MEANINGS[flag]}")
        for note in dict.fromkeys(note for source in record.sources.values() for note in source.notes):
            if note not in self._told:
                self._told.add(note)
                self.listen.notice(f"{record.id}: {note}")

    def skip(self, identity: str) -> None:
        """Count a sample that was done before."""
        self.counts.skipped += 1
        self.flags.update(self.done[identity].flags)


def _show(picture: bytes) -> None:
    if sys.stdout is None:
        raise OutputError("-o - writes to stdout, which is closed", hint="-o FILE.png", reason="not-writable")
    sys.stdout.buffer.write(picture)
    sys.stdout.buffer.flush()
