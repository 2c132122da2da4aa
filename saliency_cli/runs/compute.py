"""`compute`: attributions of many inputs, from request to report."""

import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace

import msgspec

from saliency_cli import __version__
from saliency_cli.errors import OutputError
from saliency_cli.records import RunRecord
from saliency_cli.runs.checking import (
    class_names,
    drawing_style,
    like_before,
    qualified,
    require_baselines,
    require_inputs,
    require_meaning,
    require_one_stdin,
    require_place,
    require_some,
    single,
)
from saliency_cli.runs.destination import Destination, plan, require_one_map, write_whole
from saliency_cli.runs.engine import Engine, open_engine
from saliency_cli.runs.explaining import Question
from saliency_cli.runs.feeding import Feeder
from saliency_cli.runs.journal import Journal, read_items, write_run
from saliency_cli.runs.listening import Listener
from saliency_cli.runs.naming import distinct_labels, distinct_parts
from saliency_cli.runs.planning import planned
from saliency_cli.runs.provenance import run_record
from saliency_cli.runs.report import Report
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.settings import build_methods, describe_methods
from saliency_cli.runs.sources import listed, streamed
from saliency_cli.runs.summary import plain_metrics
from saliency_cli.runs.truth import Truths, require_labels
from saliency_cli.runs.working import Work
from saliency_cli.runs.writing import Publisher
from saliency_cli.targets import Classes, check_target, parse_target

OpenEngine = Callable[..., Engine]


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
    require_baselines(methods)
    target = parse_target(request.target)
    require_labels(request)
    style = drawing_style(request)
    names = class_names(request)
    sources = listed(request)
    require_one_stdin(request)
    identities = None if sources is None else [source.id for source in sources]
    destination = plan(request, identities, samples=None if identities is None else len(identities))
    destination = replace(destination, qualified=qualified(request, target, destination))
    require_place(request, destination, sources)
    require_some(sources)
    if request.dry_run:
        report = planned(request, destination, sources, listen, began)
        listen.finished(report)
        return report
    request = like_before(request, destination)
    listen.loading(request.model)
    engine = open_engine(request, single=single(request, sources))
    require_inputs(request, engine)
    classes = Classes(engine.classes, names or distinct_labels(engine.class_names))
    if engine.loss is None:
        check_target(target, classes)
        require_meaning(engine, request)
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
    require_one_map(destination, differentiated)
    destination = replace(
        destination,
        qualified=destination.qualified | ({"input"} if len(differentiated) > 1 else set()),
        distinct={
            "target": distinct_parts([classes.label(index) for index in range(classes.count)]),
            "input": distinct_parts(differentiated),
        },
    )
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
    run = run_record(request, engine, feeder, methods_of=describe_methods(methods), formats=destination.formats)
    with ExitStack() as stack:
        journal = None
        if destination.kind == "folder":
            journal = stack.enter_context(
                Journal.open(destination.root, run, resume=request.resume, overwrite=request.overwrite)
            )
        _tell(listen, engine, feeder)
        listen.planned(None if sources is None else len(sources))
        work = Work(request, engine, question, truths, feeder, publisher, journal, listen)
        try:
            work.run(sources if sources is not None else streamed(request))
        except BaseException:
            _break_off(run, work, destination, time.perf_counter() - began)
            raise
        _finish(run, work, destination, time.perf_counter() - began)
    report = Report(run, work.counts.error, request.out, request.strict)
    listen.finished(report)
    return report


def _finish(run: RunRecord, work: Work, destination: Destination, seconds: float) -> None:
    """Aggregate, and write `metrics.json` and `run.json` into a run folder."""
    collected = work.collected
    if work.journal is not None:
        work.journal.settle()
        for item in read_items(destination.root):
            collected.add(item)
    run.metrics = collected.statistics()
    _settle(run, work, "stopped" if work.stopped else "done", seconds)
    if work.journal is not None:
        metrics = msgspec.json.format(msgspec.json.encode(plain_metrics(run.metrics)), indent=2)
        write_whole(destination.root / "metrics.json", metrics + b"\n")
        write_run(destination.root, run)


def _break_off(run: RunRecord, work: Work, destination: Destination, seconds: float) -> None:
    """Leave word in a run folder that the run did not come to its end, if word can be left."""
    if work.journal is not None:
        _settle(run, work, "interrupted", seconds)
        with suppress(OutputError):
            write_run(destination.root, run)


def _settle(run: RunRecord, work: Work, status: str, seconds: float) -> None:
    run.counts = work.counts
    run.flags = dict(sorted(work.flags.items()))
    run.seconds = round(seconds, 3)
    run.status = status


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
