"""`compute`: attributions of many inputs, from request to report."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from saliency_cli import __version__
from saliency_cli.autodiff.packing import Job, Packer, Query, Reply
from saliency_cli.errors import InputError, SaliencyError, UsageError
from saliency_cli.records import CountsRecord, ErrorRecord, ItemRecord, RunRecord
from saliency_cli.rendering.colormaps import colormap
from saliency_cli.rendering.view import Style
from saliency_cli.runs import diagnosis
from saliency_cli.runs.destination import Destination, plan, require_writable, write_whole
from saliency_cli.runs.engine import Engine, open_engine
from saliency_cli.runs.explaining import Explained, Question, explain
from saliency_cli.runs.feeding import Fed, Feeder, Unfit
from saliency_cli.runs.journal import Journal, read_items, write_run
from saliency_cli.runs.listening import Listener
from saliency_cli.runs.pipeline import Read, WriteBehind, read_ahead
from saliency_cli.runs.report import Report
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.settings import build_methods, describe_methods
from saliency_cli.runs.sources import STDIN, Source, listed, read, streamed
from saliency_cli.runs.summary import plain_metrics, statistics
from saliency_cli.runs.truth import Truths, require_labels
from saliency_cli.runs.writing import Publisher
from saliency_cli.targets import Classes, check_target, parse_target, read_class_names

OpenEngine = Callable[..., Engine]
Result = tuple[ItemRecord, bytes]


def compute(request: ComputeRequest, listen: Listener, open_engine: OpenEngine = open_engine) -> Report:
    """Compute and write the attributions a request asks for.

    Everything that can be wrong with the request itself is found before the model is opened. `open_engine`
    is how a model becomes an `Engine`; tests put a stand-in there.

    Raises:
        UsageError, ModelError, OutputError: the run can't begin or go on.
        InputError: none of the inputs exists. One bad input is an item with an error, never raised.
    """
    began = time.perf_counter()
    methods = build_methods(request.methods, request.options)
    target = parse_target(request.target)
    require_labels(request)
    style = _style(request)
    names = _class_names(request)
    sources = listed(request)
    _require_one_stdin(request, sources)
    identities = None if sources is None else [source.id for source in sources]
    destination = plan(request, identities, samples=None if identities is None else len(identities))
    require_writable(destination)
    if request.dry_run:
        return _planned(request, destination, sources, listen, began)
    listen.loading(request.model)
    engine = open_engine(request, single=_single(request, sources))
    classes = Classes(engine.classes, names)
    if engine.loss is None:
        check_target(target, classes)
        _require_meaning(engine, request)
    truths = Truths.plan(request, engine.loss, classes, engine.shape)
    differentiated = tuple(name for name in engine.connected)
    feeder = Feeder.plan(
        engine.specs,
        engine.clues,
        request.preprocess,
        request.resize,
        seed=request.seed,
        differentiated=differentiated,
    )
    question = Question(engine, methods, target, classes, request.strict)
    several = {
        "method": len(methods) > 1 or destination.kind == "folder",
        "target": target.every or target.top > 1,
        "input": len(differentiated) > 1,
    }
    destination = replace(destination, qualified=frozenset(key for key, more in several.items() if more))
    publisher = Publisher.plan(
        destination,
        engine.specs,
        methods,
        style,
        reduce_given=request.reduce is not None,
        metadata={
            "software": f"saliency {__version__}",
            "schema": "png-1",
            "weights_sha256": engine.record.weights_sha256,
            "seed": request.seed,
        },
    )
    run = _run_record(request, engine, feeder, methods_of=describe_methods(methods), formats=destination.formats)
    with ExitStack() as stack:
        journal = None
        if destination.kind == "folder":
            journal = stack.enter_context(
                Journal.open(destination.root, run.settings, resume=request.resume, overwrite=request.overwrite)
            )
            write_run(destination.root, run)
        elif request.resume:
            raise UsageError("--resume goes on with a run folder", hint="-o DIR --resume")
        _tell(listen, engine, feeder)
        listen.planned(None if sources is None else len(sources))
        work = _Work(request, engine, question, truths, feeder, publisher, journal, listen)
        work.run(sources if sources is not None else streamed(request))
        _finish(run, work, destination, time.perf_counter() - began)
    report = Report(run, work.counts.error, request.out, request.strict)
    listen.finished(report)
    return report


@dataclass(eq=False)
class _Work:
    """The samples of one run on their way: read, computed, written, counted."""

    request: ComputeRequest
    engine: Engine
    question: Question
    truths: Truths
    feeder: Feeder
    publisher: Publisher
    journal: Journal | None
    listen: Listener
    counts: CountsRecord = field(default_factory=CountsRecord)
    flags: Counter[str] = field(default_factory=Counter)
    told: set[str] = field(default_factory=set)
    items: list[ItemRecord] = field(default_factory=list)
    stopped: bool = False

    def run(self, sources: Any) -> None:
        """Carry every source through."""
        interactive = self.request.files_from == STDIN
        ahead = 1 if interactive else max(4, 2 * self.engine.evaluator.batch)
        reads = read_ahead(sources, self._read, ahead=ahead, interactive=interactive)
        packer = Packer(self.engine.evaluator, classes=self.engine.classes, truth_shape=self.truths.truth_shape)
        with WriteBehind(self._record, behind=max(8, 2 * self.engine.evaluator.batch)) as writes:
            for outcome in packer.run(self._jobs(reads, writes)):
                fed, began = outcome.key
                if outcome.error is not None:
                    writes.submit(self._failed(fed.id, outcome.error, began, fed))
                else:
                    writes.submit(self._published(fed, outcome.result, began))

    def _read(self, source: Source) -> list[Fed | Unfit]:
        if self.journal is not None and self._done_before(source):
            return []
        return self.feeder.feed(source)

    def _done_before(self, source: Source) -> bool:
        """Whether the journal holds this very content, so that it need not even be decoded."""
        assert self.journal is not None
        record = self.journal.done.get(source.id)
        if record is None or source.error is not None:
            return False
        return self._same_content(record, {sha256(read(path)).hexdigest() for _, path in source.parts})

    @staticmethod
    def _same_content(record: ItemRecord, hashes: set[str]) -> bool:
        return {known.sha256 for known in record.sources.values()} == hashes

    def _jobs(
        self, reads: Iterator[Read[Source, list[Fed | Unfit]] | None], writes: WriteBehind[Result]
    ) -> Iterator[Job | None]:
        for found in reads:
            if self.stopped:
                return
            if found is None:
                yield None
                continue
            if found.error is not None:
                writes.submit(self._failed(found.source.id, found.error, found.began))
                continue
            if found.value == []:
                self._skip(found.source.id)
            for fed in found.value or []:
                if isinstance(fed, Unfit):
                    writes.submit(self._failed(fed.id, fed.error, found.began))
                elif self._is_done(fed):
                    self._skip(fed.id)
                else:
                    yield Job((fed, found.began), fed.sample, self._program(fed))

    def _is_done(self, fed: Fed) -> bool:
        record = self.journal.done.get(fed.id) if self.journal is not None else None
        return record is not None and self._same_content(record, {source.sha256 for source in fed.sources.values()})

    def _skip(self, identity: str) -> None:
        assert self.journal is not None
        self.counts.skipped += 1
        self.flags.update(self.journal.done[identity].flags)

    def _program(self, fed: Fed) -> Generator[Query, Reply, Explained]:
        return (yield from explain(fed.sample, self.question, self.truths.target(fed.id)))

    def _published(self, fed: Fed, explained: Explained, began: float) -> Callable[[], Result]:
        def publish() -> Result:
            if fed.guessed and self.request.strict:
                error = InputError(f"--strict: {diagnosis.MEANINGS['preparing-guessed']}", reason="preparing-guessed")
                return self._failed(fed.id, error, began, fed)()
            record, shown = self.publisher.publish(fed, explained, 0.0)
            record.seconds = round(time.perf_counter() - began, 6)
            return record, shown

        return publish

    @staticmethod
    def _failed(identity: str, error: SaliencyError, began: float, fed: Fed | None = None) -> Callable[[], Result]:
        told = ErrorRecord(reason=error.reason, message=error.message, hint=error.hint)
        sources = dict(fed.sources) if fed else {}
        seconds = round(time.perf_counter() - began, 6)
        record = ItemRecord(id=identity, status="error", sources=sources, error=told, seconds=seconds)
        return lambda: (record, b"")

    def _record(self, result: Result) -> None:
        """Journal and tell one finished sample. Runs on the recorder's thread, one sample at a time."""
        record, shown = result
        if self.journal is not None:
            self.journal.append(record)
        else:
            self.items.append(_without_places(record))
        if shown:
            sys.stdout.buffer.write(shown)
            sys.stdout.buffer.flush()
        if record.status == "error":
            self.counts.error += 1
            limit = self.request.max_failures
            if limit is not None and self.counts.error > limit and not self.stopped:
                self.stopped = True
                self.listen.warning(f"stopped after {self.counts.error} failures (--max-failures {limit})")
        else:
            self.counts.ok += 1
            self.flags.update(record.flags)
            for flag in record.flags:
                if flag not in self.told:
                    self.told.add(flag)
                    self.listen.warning(f"{record.id}: {diagnosis.MEANINGS[flag]}")
        self.listen.item(record)


def _without_places(record: ItemRecord) -> ItemRecord:
    """Keep of a record what the run's metrics need."""
    kept = msgspec.structs.replace(record, sources={}, files={})
    for entry in kept.maps:
        for found in entry.inputs.values():
            found.top = list(found.top)
    return kept


def _finish(run: RunRecord, work: _Work, destination: Destination, seconds: float) -> None:
    """Aggregate, and write `metrics.json` and `run.json` into a run folder."""
    folder = destination.kind == "folder"
    items = read_items(destination.root) if folder else iter(work.items)
    run.metrics = statistics(item for item in items if item.status == "ok")
    run.counts = work.counts
    run.flags = dict(sorted(work.flags.items()))
    run.seconds = round(seconds, 3)
    run.status = "stopped" if work.stopped else "done"
    if folder:
        metrics = msgspec.json.format(msgspec.json.encode(plain_metrics(run.metrics)), indent=2)
        write_whole(destination.root / "metrics.json", metrics + b"\n")
        write_run(destination.root, run)


def _run_record(
    request: ComputeRequest, engine: Engine, feeder: Feeder, *, methods_of: list[Any], formats: tuple[str, ...]
) -> RunRecord:
    settings = {
        "weights": engine.record.weights_sha256,
        "method": {method.name: method.options for method in methods_of},
        "target": request.target,
        "output": engine.output,
        "space": engine.space,
        "loss": engine.loss,
        "label": request.label,
        "preprocess": {name: preparing.name for name, preparing in feeder.preparing.items()},
        "resize": request.resize,
        "reduce": request.reduce,
        "colormap": request.colormap,
        "alpha": request.alpha,
        "clip_percentile": request.clip_percentile,
        "format": list(formats),
        "seed": request.seed,
        "batch_size": engine.evaluator.batch,
        "saliency": __version__,
        "tensorflow": engine.environment.get("tensorflow"),
    }
    return RunRecord(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        tool={"name": "saliency", "version": __version__},
        command=list(request.command),
        environment=dict(engine.environment),
        model=engine.record,
        methods=methods_of,
        target=request.target,
        space=engine.space,
        loss=engine.loss,
        preparing={name: preparing.record(request.resize) for name, preparing in feeder.preparing.items()},
        reduce=request.reduce,
        seed=request.seed,
        batch_size=engine.evaluator.batch,
        settings=settings,
    )


def _tell(listen: Listener, engine: Engine, feeder: Feeder) -> None:
    """Say what was chosen for the user, and why."""
    for name, preparing in feeder.preparing.items():
        spec = next(spec for spec in engine.specs if spec.name == name)
        if len(spec.shape) == 3 and spec.floating and not feeder.declared and not preparing.guessed:
            listen.notice(f"preparing: {preparing.name}, because {preparing.reason}")
    for note in engine.notes:
        listen.notice(note)
    for reason in engine.disconnected.values():
        listen.warning(reason)


def _planned(
    request: ComputeRequest, destination: Destination, sources: list[Source] | None, listen: Listener, began: float
) -> Report:
    """Tell what a run would do, without the model."""
    if sources is None:
        raise UsageError("--dry-run can't tell what --files-from will bring", hint="name the files instead")
    listen.planned(len(sources))
    run = RunRecord(status="planned", target=request.target, seed=request.seed)
    for source in sources:
        error = source.error
        told = ErrorRecord(reason=error.reason, message=error.message, hint=error.hint) if error else None
        suffixes = {"npy": ".npy", "npz": ".npz", "json": ".json"}
        files = {
            name: destination.name(source.id, name, suffixes.get(name, ".png"), {"method": request.methods[0]})
            for name in destination.formats
        }
        run.counts.error += bool(error)
        run.counts.ok += not error
        listen.item(
            ItemRecord(id=source.id, status="error" if error else "ok", files={} if error else files, error=told)
        )
    run.seconds = round(time.perf_counter() - began, 3)
    report = Report(run, run.counts.error, request.out)
    listen.finished(report)
    return report


def _style(request: ComputeRequest) -> Style:
    if request.colormap is not None:
        colormap(request.colormap, signed=False)
    if not 0 <= request.alpha <= 1:
        raise UsageError(f"--alpha is {request.alpha}; it lies between 0 and 1")
    if not 0 < request.clip_percentile <= 100:
        raise UsageError(f"--clip-percentile is {request.clip_percentile}; it lies above 0 and up to 100")
    return Style(request.reduce or "max", request.colormap, request.alpha, request.clip_percentile)


def _class_names(request: ComputeRequest) -> tuple[str, ...]:
    if request.class_names is None:
        return ()
    path = Path(request.class_names)
    if not path.is_file():
        raise UsageError(f"--class-names: there is no file '{path}'", hint="one name a line, or a JSON list")
    return read_class_names(path.read_text(encoding="utf-8"))


def _require_meaning(engine: Engine, request: ComputeRequest) -> None:
    """Raise `UsageError` where `top` would pick the largest of several regression values."""
    if engine.regression and engine.classes > 1 and request.target.strip().startswith("top"):
        raise UsageError(
            f"the output '{engine.output}' holds {engine.classes} values of a regression, and none of them is on top",
            hint=f"--target INDEX (0 to {engine.classes - 1}) or --target all",
            reason="no-top",
        )


def _require_one_stdin(request: ComputeRequest, sources: list[Source] | None) -> None:
    uses = (request.files_from == STDIN) + sum(path == STDIN for source in sources or () for _, path in source.parts)
    if uses > 1:
        raise UsageError("stdin can be read once", hint="one - only, or name the files")


_STACKABLE = (".npy", ".npz", ".csv")


def _single(request: ComputeRequest, sources: list[Source] | None) -> bool:
    """Whether a run is one sample and one evaluation, for which a batch of 1 is the right shape."""
    if sources is None or len(sources) != 1:
        return False
    stack = any(Path(path).suffix.lower() in _STACKABLE for _, path in sources[0].parts)
    cheap = set(request.methods) <= {"gradient", "gradient-times-input"}
    return not stack and cheap and request.target.strip() != "all" and ":" not in request.target[:4]
