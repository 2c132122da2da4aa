"""The samples of one run on their way: read, computed, written, recorded."""

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol, cast

from saliency_cli.autodiff.packing import Job, Outcome, Packer, Query, Reply
from saliency_cli.errors import InputError, OutputError, SaliencyError, UsageError
from saliency_cli.records import ItemRecord
from saliency_cli.runs import diagnosis
from saliency_cli.runs.asides import Asides, Waiting
from saliency_cli.runs.checking import reads_stdin
from saliency_cli.runs.destination import Destination
from saliency_cli.runs.explaining import Explained, explain
from saliency_cli.runs.feeding import Fed, Unfit
from saliency_cli.runs.ledger import Recording, Result
from saliency_cli.runs.measuring import Aside
from saliency_cli.runs.pipeline import Read, WriteBehind, read_ahead, unswept
from saliency_cli.runs.planning import error_record
from saliency_cli.runs.preparing import Prepared
from saliency_cli.runs.sources import STDIN, Source, read

Outcomes = Generator[Outcome, None, None]
Taken = tuple[list[Fed | Unfit], Mapping[str, bytes]]


Keep = Callable[[Fed, Aside, Explained, ItemRecord], None]


def _nothing(fed: Fed, aside: Aside, explained: Explained, record: ItemRecord) -> None:
    """Keep nothing of a sample but its record."""


class Publishing(Protocol):
    """Who makes files and a record of what was found of a sample."""

    @property
    def destination(self) -> Destination:
        """Where its files go."""
        ...

    def publish(self, fed: Fed, found: Any, seconds: float, /) -> Result:
        """Write a sample's files, return its record, and the bytes of a picture meant for stdout."""
        ...


Program = Callable[[Fed, Aside], Generator[Query, Reply, Any]]


@dataclass(eq=False)
class Work:
    """The samples of one run, or of one worker's share of it, on their way: read, computed, written, recorded.

    `keep` is shown every finished sample before it is recorded, on a writing thread; `ledger` hears of each on the
    recording one, in the order in which they are finished. `program` is what is asked of each sample: by default
    its maps, and what is measured of them. `streaming`: sources may be slow to come, and none waits for the next.
    `check` is called before each batch, and may raise to break the work off.
    """

    prepared: Prepared
    publisher: Publishing
    ledger: Recording
    asides: Asides
    keep: Keep = _nothing
    program: Program | None = None
    streaming: bool = False
    check: Callable[[], None] = lambda: None
    stdin: bytes = b""

    def run(self, sources: Iterable[Source]) -> None:
        """Carry every source through."""
        if reads_stdin(self.prepared.request):
            # Here, where Ctrl-C reaches: a thread that waits for stdin can't be told to stop.
            self.stdin = read(STDIN)
        lines = self.prepared.request.files_from
        interactive = self.streaming or (lines is not None and not Path(lines).is_file())
        # A decoded photograph is tens of megabytes: no more of them wait than keep the engine fed.
        engine = self.prepared.engine
        ahead = 2 + engine.evaluator.batch
        truth_shape = self.prepared.truths.truth_shape
        packer = Packer(engine.evaluator, classes=engine.classes, truth_shape=truth_shape, check=self.check)
        with ExitStack() as stack:
            stack.enter_context(unswept())
            writes = stack.enter_context(WriteBehind(self.ledger.record, behind=ahead))
            # Closed by name: a traceback would keep them, and their threads, alive.
            reads = stack.enter_context(
                closing(read_ahead(sources, self._read, ahead=ahead, interactive=interactive, check=writes.check))
            )
            outcomes = stack.enter_context(closing(cast(Outcomes, packer.run(self._jobs(reads, writes)))))
            for outcome in outcomes:
                fed, began, aside = outcome.key
                self._forget(fed.id)
                if isinstance(outcome.error, OutputError):
                    raise outcome.error  # nowhere to write is no fault of the sample
                if outcome.error is not None:
                    writes.submit(self._failed(fed.id, outcome.error, began, fed))
                else:
                    writes.submit(self._published(fed, aside, outcome.result, began))

    def _read(self, source: Source) -> Taken:
        if source.error is not None:
            raise source.error
        held = {path: self.stdin if path == STDIN else read(path) for _, path in source.parts}
        if self._done_before(source, held):
            return [], held
        return self.prepared.feeder.feed(source, held), held

    def _done_before(self, source: Source, held: Mapping[str, bytes]) -> bool:
        """Whether the journal holds this very content, so that it need not even be decoded."""
        done = self.ledger.done.get(source.id)
        if done is None:
            return False
        hashes = {path: sha256(data).hexdigest() for path, data in held.items()}
        given = [(name, hashes[path]) for name, path in source.parts]
        if all(name for name, _ in given):
            same = sorted(given) == sorted(done.hashes)
        else:
            same = {known for _, known in done.hashes} == set(hashes.values())
        return same and done.label == self._label(source.id)

    def _is_done(self, fed: Fed) -> bool:
        done = self.ledger.done.get(fed.id)
        if done is None:
            return False
        given = [(name, source.sha256) for name, source in fed.sources.items()]
        return sorted(given) == sorted(done.hashes) and done.label == self._label(fed.id)

    def _label(self, identity: str) -> str | None:
        """Return the truth a sample would be held to; None where there is none, or none can be found."""
        if self.prepared.truths.loss is None:
            return None
        try:
            return self.prepared.truths.text(identity)
        except InputError:
            return None

    def _jobs(self, reads: Iterator[Read[Source, Taken] | None], writes: WriteBehind[Result]) -> Iterator[Job | None]:
        for wanted in self.asides.gathered(self._fresh(reads, writes)):
            if wanted is None:
                yield None
            elif isinstance(wanted.aside, InputError):
                self._forget(wanted.fed.id)
                writes.submit(self._failed(wanted.fed.id, wanted.aside, wanted.began, wanted.fed))
            else:
                yield Job(
                    (wanted.fed, wanted.began, wanted.aside),
                    wanted.fed.sample,
                    (self.program or self._explain)(wanted.fed, wanted.aside),
                )

    def _fresh(
        self, reads: Iterator[Read[Source, Taken] | None], writes: WriteBehind[Result]
    ) -> Iterator[Waiting | None]:
        """Yield the samples that are to be done; record those that can't be."""
        for found in reads:
            if self.ledger.stopped:
                return
            if found is None:
                yield None
                continue
            # A sample's time begins when it was read, and goes on when its turn has come: waiting is not its cost.
            began = time.perf_counter() - found.seconds
            if found.error is not None or found.value is None:
                assert found.error is not None
                self.ledger.expect([found.source.id])
                self._forget(found.source.id)
                writes.submit(self._failed(found.source.id, found.error, began))
                continue
            samples, held = found.value
            self.ledger.expect([sample.id for sample in samples] or [found.source.id])
            if not samples:
                self.ledger.skip(found.source.id)
            self._require_one(samples)
            for fed in samples:
                if isinstance(fed, Unfit):
                    self._forget(fed.id)
                    writes.submit(self._failed(fed.id, fed.error, began))
                elif self._is_done(fed):
                    self.ledger.skip(fed.id)
                else:
                    yield Waiting(fed, began, found.source, held if self.asides.rival else {})

    def _require_one(self, samples: list[Fed | Unfit]) -> None:
        """Raise `UsageError` where a file turns out to hold several samples, and one file their maps."""
        destination = self.publisher.destination
        if len(samples) > 1 and destination.kind in ("file", "stdout"):
            raise UsageError(
                f"-o {destination.root} holds one map, and the input is a stack of {len(samples)} samples",
                hint="-o DIR/ for a folder",
            )

    def _forget(self, identity: str) -> None:
        """Remove the maps of an input that was done before and is done again, since it changed."""
        if identity in self.ledger.done:
            folder = self.publisher.destination.folder(identity)
            for file in folder.iterdir() if folder.is_dir() else ():
                if file.is_file():
                    file.unlink()

    def _explain(self, fed: Fed, aside: Aside) -> Generator[Query, Reply, Explained]:
        measuring = self.prepared.measuring
        measure = partial(measuring.measure, fed, aside) if measuring.metrics else None
        target = self.prepared.truths.target(fed.id)
        return (yield from explain(fed.sample, self.prepared.question, target, measure))

    def _published(self, fed: Fed, aside: Aside, explained: Any, began: float) -> Callable[[], Result]:
        if fed.guessed and self.prepared.request.strict:
            error = InputError(f"--strict: {diagnosis.MEANINGS['preparing-guessed']}", reason="preparing-guessed")
            return self._failed(fed.id, error, began, fed)
        # Before the writers' threads, so that the first to come gets the shorter name.
        self.publisher.destination.reserve(fed.id)

        def publish() -> Result:
            try:
                record, shown = self.publisher.publish(fed, explained, 0.0)
            except InputError as error:
                return self._failed(fed.id, error, began, fed)()
            if note := self.prepared.engine.ran_out():
                for source in record.sources.values():
                    source.notes.append(note)
            record.seconds = round(time.perf_counter() - began, 6)
            self.keep(fed, aside, explained, record)
            return record, shown

        return publish

    @staticmethod
    def _failed(identity: str, error: SaliencyError, began: float, fed: Fed | None = None) -> Callable[[], Result]:
        told = error_record(error)
        sources = dict(fed.sources) if fed else {}
        seconds = round(time.perf_counter() - began, 6)
        record = ItemRecord(id=identity, status="error", sources=sources, error=told, seconds=seconds)
        return lambda: (record, b"")
