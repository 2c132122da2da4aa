"""What a worker process finds of its samples, on its way to the process that journals."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from saliency_cli.engines.protocol import Answer
from saliency_cli.records import ItemRecord
from saliency_cli.runs.journal import Done
from saliency_cli.runs.ledger import Result
from saliency_cli.runs.sources import Source


class Given(NamedTuple):
    """A source given to a worker, and what the run before finished of it."""

    source: Source
    known: Mapping[str, Done]


class Found(NamedTuple):
    """A finished sample; `parcel` is what the journal keeps beside its record."""

    record: ItemRecord
    parcel: Any = None


class Skipped(NamedTuple):
    """A sample that was done before."""

    id: str


class Relay:
    """Passes on what is found, and says of each source when all its samples are over."""

    def __init__(self, answer: Callable[[Answer], None], pack: Callable[[ItemRecord], Any]) -> None:
        self.done: dict[str, Done] = {}
        self.stopped = False
        self._answer, self._pack = answer, pack
        self._arrived: deque[tuple[int, Mapping[str, Done]]] = deque()
        self._known: dict[int, Mapping[str, Done]] = {}
        self._left: dict[int, int] = {}
        self._owners: dict[str, deque[int]] = {}
        self._lock = threading.Lock()

    def sources(self, items: Iterable[tuple[int, Given]]) -> Iterator[Source]:
        """Yield the sources of items as they come."""
        for number, given in items:
            with self._lock:
                self.done.update(given.known)
                self._arrived.append((number, given.known))
            yield given.source

    def expect(self, identities: Sequence[str]) -> None:
        """Hear which samples the next source holds."""
        with self._lock:
            number, self._known[number] = self._arrived.popleft()
            self._left[number] = len(identities)
            for identity in identities:
                self._owners.setdefault(identity, deque()).append(number)

    def record(self, result: Result) -> None:
        """Pass on a finished sample."""
        record, _ = result
        self._pass(record.id, Found(record, self._pack(record)))

    def skip(self, identity: str) -> None:
        """Pass on that a sample was done before."""
        self._pass(identity, Skipped(identity))

    def _pass(self, identity: str, found: Any) -> None:
        with self._lock:
            owners = self._owners[identity]
            number = owners.popleft()
            if not owners:
                del self._owners[identity]
            self._left[number] -= 1
            last = not self._left[number]
            if last:
                del self._left[number]
                for known in self._known.pop(number):
                    self.done.pop(known, None)
        self._answer(Answer(number, identity, found, last))
