"""`compute`: attributions of many inputs, from request to report."""

import time
from collections.abc import Callable
from dataclasses import replace

import msgspec

from saliency_cli.runs.carrying import carry, carry_through
from saliency_cli.runs.checking import (
    drawing_style,
    like_before,
    require_one_stdin,
    require_place,
    require_some,
)
from saliency_cli.runs.destination import Destination
from saliency_cli.runs.distributing import Distributed, clustered, executor_for, task_for, undivided, workers
from saliency_cli.runs.engine import open_engine
from saliency_cli.runs.journal import Journal
from saliency_cli.runs.layout import choose_layout, sharded_journal
from saliency_cli.runs.listening import Listener
from saliency_cli.runs.opening import open_run, place
from saliency_cli.runs.planning import planned
from saliency_cli.runs.preparing import OpenEngine, Wanted
from saliency_cli.runs.report import Report
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.sharing import share_of
from saliency_cli.runs.sources import Source, listed
from saliency_cli.runs.worker import Told


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
    destination = place(request, wanted, sources)
    require_place(request, destination, sources)
    require_some(sources)
    keep = choose_layout(request, destination, sources)
    jobs = workers(request, destination, sources)
    if idle := undivided(request, sources):
        listen.notice(idle)
    if request.dry_run:
        destination = destination if keep is None else replace(destination, formats=())
        share = share_of(request, sources)
        sources = sources if share is None or sources is None else list(share.taken(sources))
        report = planned(request, destination, sources, listen, began)
        listen.finished(report)
        return report
    request = like_before(request, destination)
    if jobs > 1 or clustered(request):
        return _distributed(request, wanted, jobs, sources, destination, listen, open_engine, began)
    opened = open_run(request, wanted, style, sources, destination, listen, open_engine)
    return carry(
        opened.prepared,
        opened.run,
        opened.destination,
        sources,
        listen,
        opened.work,
        began=began,
        open_journal=opened.open_journal,
    )


def _distributed(
    request: ComputeRequest,
    wanted: Wanted,
    jobs: int,
    sources: list[Source] | None,
    destination: Destination,
    listen: Listener,
    open_engine: OpenEngine,
    began: float,
) -> Report:
    """Carry a run over workers: here nothing is opened but the folder."""
    listen.loading(request.model)
    with executor_for(request, jobs, destination, listen) as executor:
        told: Told = executor.begin(task_for(request, jobs, sources, open_engine))

        opened: Callable[..., Journal] = Journal.open
        if told.names is not None:
            opened = sharded_journal(None, told.run, wanted.metrics, told.names, listen)

        def choices() -> None:
            for kind, text in told.choices:
                (listen.warning if kind == "warning" else listen.notice)(text)

        return carry_through(
            request,
            msgspec.structs.replace(told.run),  # what workers that come later are told stays as it is
            destination,
            sources,
            listen,
            lambda ledger: Distributed(executor, ledger),
            choices,
            began=began,
            open_journal=opened,
        )
