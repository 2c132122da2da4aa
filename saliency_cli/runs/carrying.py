"""The way of a run from its first sample to its last: journal, work, and the record of how it ended."""

import time
from collections.abc import Callable
from contextlib import ExitStack, suppress

import msgspec

from saliency_cli.errors import OutputError
from saliency_cli.records import RunRecord
from saliency_cli.runs.destination import Destination, write_whole
from saliency_cli.runs.journal import Journal, read_items, write_run
from saliency_cli.runs.listening import Listener
from saliency_cli.runs.preparing import Prepared, tell_choices
from saliency_cli.runs.report import Report
from saliency_cli.runs.sources import Source, streamed
from saliency_cli.runs.summary import plain_metrics
from saliency_cli.runs.working import Work

Conclude = Callable[[RunRecord, Work], None]


def _nothing(run: RunRecord, work: Work) -> None:
    """Add nothing to a run's record."""


def carry(
    prepared: Prepared,
    run: RunRecord,
    destination: Destination,
    sources: list[Source] | None,
    listen: Listener,
    work_with: Callable[[Journal | None], Work],
    *,
    began: float,
    conclude: Conclude = _nothing,
) -> Report:
    """Carry every source through and settle the run's record, into a run folder where there is one.

    `conclude` adds to the record what only all samples together tell, before it is written. `began` is when the
    run began, in seconds of `time.perf_counter`. Raises `OutputError` where the folder can't be written.
    """
    request = prepared.request
    with ExitStack() as stack:
        journal = None
        if destination.kind == "folder":
            journal = stack.enter_context(
                Journal.open(destination.root, run, resume=request.resume, overwrite=request.overwrite)
            )
        tell_choices(listen, prepared)
        listen.planned(None if sources is None else len(sources))
        work = work_with(journal)
        try:
            work.run(sources if sources is not None else streamed(request))
        except BaseException:
            _break_off(run, work, destination, time.perf_counter() - began)
            raise
        _finish(run, work, destination, began, conclude)
    report = Report(run, work.counts.error, request.out, request.strict)
    listen.finished(report)
    return report


def _finish(run: RunRecord, work: Work, destination: Destination, began: float, conclude: Conclude) -> None:
    """Aggregate, and write `metrics.json` and `run.json` into a run folder."""
    collected = work.collected
    if work.journal is not None:
        work.journal.settle()
        for item in read_items(destination.root):
            collected.add(item)
    run.metrics = collected.statistics()
    conclude(run, work)
    _settle(run, work, "stopped" if work.stopped else "done", time.perf_counter() - began)
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
