"""The way of a run from its first sample to its last: journal, work, and the record of how it ended."""

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from typing import Any, Protocol

from saliency_cli.errors import OutputError
from saliency_cli.records import RunRecord
from saliency_cli.runs.destination import Destination
from saliency_cli.runs.journal import Journal
from saliency_cli.runs.ledger import Ledger
from saliency_cli.runs.listening import Listener
from saliency_cli.runs.preparing import Prepared, tell_choices
from saliency_cli.runs.report import Report
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.sharing import share_of
from saliency_cli.runs.sources import Source, streamed
from saliency_cli.runs.summary import Collected

Conclude = Callable[[RunRecord, Ledger], None]


class Carrying(Protocol):
    """Who carries samples: this process, or workers."""

    def run(self, sources: Iterable[Source], /) -> None:
        """Carry every source through."""


def _nothing(run: RunRecord, ledger: Ledger) -> None:
    """Add nothing to a run's record."""


def carry(
    prepared: Prepared,
    run: RunRecord,
    destination: Destination,
    sources: list[Source] | None,
    listen: Listener,
    work_with: Callable[[Ledger], Carrying],
    **more: Any,
) -> Report:
    """Carry every source through in this process, which has the model open. See `carry_through`."""

    def choices() -> None:
        tell_choices(listen, prepared)

    return carry_through(prepared.request, run, destination, sources, listen, work_with, choices, **more)


def carry_through(
    request: ComputeRequest,
    run: RunRecord,
    destination: Destination,
    sources: list[Source] | None,
    listen: Listener,
    work_with: Callable[[Ledger], Carrying],
    choices: Callable[[], None],
    *,
    began: float,
    conclude: Conclude = _nothing,
    open_journal: Callable[..., Journal] = Journal.open,
) -> Report:
    """Carry every source through and settle the run's record, into a run folder where there is one.

    `work_with` is given the ledger that hears of every sample; `choices` tells what was chosen for the user, once
    the folder is open. `conclude` adds to the record what only all samples together tell, before it is written.
    `began` is when the run began, in seconds of `time.perf_counter`. `open_journal` is `Journal.open`, or another
    kind's. Raises `OutputError` where the folder can't be written.
    """
    share = share_of(request, sources)
    if share is not None:
        run.settings = {**run.settings, **share.settings}
        sources = sources if sources is None else list(share.taken(sources))
    with ExitStack() as stack:
        journal = None
        if destination.kind == "folder":
            journal = stack.enter_context(
                open_journal(destination.root, run, resume=request.resume, overwrite=request.overwrite, share=share)
            )
        choices()
        listen.planned(None if sources is None else len(sources))
        ledger = Ledger(journal, listen, request.max_failures)
        coming = sources if sources is not None else streamed(request)
        try:
            work_with(ledger).run(coming if share is None or sources is not None else share.taken(coming))
        except BaseException:
            _break_off(run, ledger, time.perf_counter() - began)
            raise
        whole = _finish(run, ledger, began, conclude)
    if share is not None:
        done = sum(shard.status == "done" for shard in whole.shards)
        listen.notice(f"{done} of {share.of} shards of '{destination.root}' are done")
    report = Report(run, ledger.counts.error, request.out, request.strict)
    listen.finished(report)
    return report


def _finish(run: RunRecord, ledger: Ledger, began: float, conclude: Conclude) -> RunRecord:
    """Aggregate, and write what there is to a run folder. Return the folder's record, or the run's own."""
    collected, journal = ledger.collected, ledger.journal
    if journal is not None:
        journal.settle()
    if journal is not None and not journal.alone:
        collected = Collected()
        for item in journal.items():
            collected.add(item)
    run.metrics = collected.statistics()
    conclude(run, ledger)
    _settle(run, ledger, "stopped" if ledger.stopped else "done", time.perf_counter() - began)
    return run if journal is None else journal.finish(run)


def _break_off(run: RunRecord, ledger: Ledger, seconds: float) -> None:
    """Leave word in a run folder that the run did not come to its end, if word can be left."""
    if ledger.journal is not None:
        _settle(run, ledger, "interrupted", seconds)
        with suppress(OutputError):
            ledger.journal.break_off(run)


def _settle(run: RunRecord, ledger: Ledger, status: str, seconds: float) -> None:
    run.counts = ledger.counts
    run.flags = dict(sorted(ledger.flags.items()))
    run.seconds = round(seconds, 3)
    run.status = status
