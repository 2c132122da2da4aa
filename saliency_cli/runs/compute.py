"""`compute`: attributions of many inputs, from request to report."""

import time
from dataclasses import replace

from saliency_cli import __version__
from saliency_cli.rendering.view import Style
from saliency_cli.runs.asides import Asides
from saliency_cli.runs.carrying import carry
from saliency_cli.runs.checking import (
    drawing_style,
    like_before,
    qualified,
    require_one_stdin,
    require_place,
    require_some,
)
from saliency_cli.runs.destination import Destination, plan, require_one_map
from saliency_cli.runs.engine import open_engine
from saliency_cli.runs.journal import Journal
from saliency_cli.runs.listening import Listener
from saliency_cli.runs.naming import distinct_parts
from saliency_cli.runs.planning import planned
from saliency_cli.runs.preparing import OpenEngine, Prepared, Wanted, prepare
from saliency_cli.runs.report import Report
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.rival import open_rival
from saliency_cli.runs.sources import Source, listed
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
    asides = Asides(prepared, rival)

    def work_with(journal: Journal | None) -> Work:
        return Work(prepared, publisher, journal, listen, asides)

    return carry(prepared, run, destination, sources, listen, work_with, began=began)


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
