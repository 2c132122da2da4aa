"""`compute`: attributions of many inputs, from request to report."""

import time
from contextlib import ExitStack, suppress
from dataclasses import replace

import msgspec

from saliency_cli import __version__
from saliency_cli.errors import OutputError
from saliency_cli.records import RunRecord
from saliency_cli.rendering.view import Style
from saliency_cli.runs.asides import Asides
from saliency_cli.runs.checking import (
    drawing_style,
    like_before,
    qualified,
    require_one_stdin,
    require_place,
    require_some,
)
from saliency_cli.runs.destination import Destination, plan, require_one_map, write_whole
from saliency_cli.runs.engine import open_engine
from saliency_cli.runs.journal import Journal, read_items, write_run
from saliency_cli.runs.listening import Listener
from saliency_cli.runs.naming import distinct_parts
from saliency_cli.runs.planning import planned
from saliency_cli.runs.preparing import OpenEngine, Prepared, Wanted, prepare, tell_choices
from saliency_cli.runs.report import Report
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.rival import open_rival
from saliency_cli.runs.sources import Source, listed, streamed
from saliency_cli.runs.summary import plain_metrics
from saliency_cli.runs.working import Work
from saliency_cli.runs.writing import Publisher


def compute(request: ComputeRequest, listen: Listener, open_engine: OpenEngine = open_engine) -> Report:
    """Compute and write the attributions a request asks for, and measure them.

    Everything that can be wrong with the request itself is found before the model is opened. `open_engine`
    is how a model becomes an `Engine`; tests put a stand-in there.

    Raises:
        UsageError, ModelError, OutputError: the run can't begin or go on.
        InputError: none of the inputs exists. One bad input is an item with an error, never raised.
    """
    began = time.perf_counter()
    wanted = Wanted.of(request)
    style = drawing_style(request)
    sources = listed(request)
    require_one_stdin(request)
    destination = _destination(request, wanted, sources)
    require_some(sources)
    if request.dry_run:
        report = planned(request, destination, sources, listen, began)
        listen.finished(report)
        return report
    request = like_before(request, destination)
    listen.loading(request.model)
    prepared = prepare(request, wanted, sources, open_engine)
    rival = open_rival(request, listen, open_engine)
    destination = _named(destination, prepared)
    publisher = _publisher(destination, prepared, style)
    run = prepared.record(destination.formats)
    with ExitStack() as stack:
        journal = None
        if destination.kind == "folder":
            journal = stack.enter_context(
                Journal.open(destination.root, run, resume=request.resume, overwrite=request.overwrite)
            )
        tell_choices(listen, prepared)
        listen.planned(None if sources is None else len(sources))
        work = Work(prepared, publisher, journal, listen, Asides(prepared, rival))
        try:
            work.run(sources if sources is not None else streamed(request))
        except BaseException:
            _break_off(run, work, destination, time.perf_counter() - began)
            raise
        _finish(run, work, destination, time.perf_counter() - began)
    report = Report(run, work.counts.error, request.out, request.strict)
    listen.finished(report)
    return report


def _destination(request: ComputeRequest, wanted: Wanted, sources: list[Source] | None) -> Destination:
    """Decide where files go, as far as the request tells. Raises where they can't go there."""
    identities = None if sources is None else [source.id for source in sources]
    destination = plan(request, identities, samples=None if identities is None else len(identities))
    destination = replace(destination, qualified=qualified(request, wanted.target, destination))
    require_place(request, destination, sources)
    return destination


def _named(destination: Destination, prepared: Prepared) -> Destination:
    """Make names distinct where the model has several inputs, or classes that look alike in a file's name."""
    differentiated, classes = prepared.engine.connected, prepared.question.classes
    require_one_map(destination, differentiated)
    return replace(
        destination,
        qualified=destination.qualified | ({"input"} if len(differentiated) > 1 else set()),
        distinct={
            "target": distinct_parts([classes.label(index) for index in range(classes.count)]),
            "input": distinct_parts(differentiated),
        },
    )


def _publisher(destination: Destination, prepared: Prepared, style: Style) -> Publisher:
    request, engine = prepared.request, prepared.engine
    return Publisher.plan(
        destination,
        engine.specs,
        prepared.question.methods,
        style,
        reduce_given=request.reduce is not None,
        metadata={
            "software": f"saliency {__version__}",
            "schema": "png-1",
            "weights_sha256": engine.record.weights_sha256,
            "seed": request.seed,
        },
    )


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
