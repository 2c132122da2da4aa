"""A run with its model open in this process: what carries its samples, here or in each of its workers."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from saliency_cli import __version__
from saliency_cli.records import ItemRecord, RunRecord
from saliency_cli.rendering.view import Style
from saliency_cli.runs.asides import Asides
from saliency_cli.runs.checking import qualified
from saliency_cli.runs.destination import Destination, plan, require_one_map
from saliency_cli.runs.journal import Journal
from saliency_cli.runs.layout import choose_layout, sharded, sharded_journal
from saliency_cli.runs.ledger import Recording
from saliency_cli.runs.listening import Listener
from saliency_cli.runs.naming import distinct_parts
from saliency_cli.runs.preparing import OpenEngine, Prepared, Wanted, prepare
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.rival import open_rival
from saliency_cli.runs.sharded_parts import StackNames
from saliency_cli.runs.sources import Source
from saliency_cli.runs.working import Publishing, Work
from saliency_cli.runs.writing import Publisher


@dataclass(frozen=True, eq=False)
class Opened:
    """What one process needs to carry samples of a run, and the run's record before anything is done.

    `pack` gives what the journal keeps beside a sample's record, where the journal is another process's; `names` how
    stacks of maps are named, None in the files layout.
    """

    prepared: Prepared
    destination: Destination
    publisher: Publishing
    asides: Asides
    run: RunRecord
    open_journal: Callable[..., Journal] = Journal.open
    pack: Callable[[ItemRecord], Any] = lambda _: None
    names: StackNames | None = None

    def work(self, ledger: Recording, *, streaming: bool = False, check: Callable[[], None] = lambda: None) -> Work:
        """Return the samples' way through this process; `streaming` and `check` as in `Work`."""
        return Work(self.prepared, self.publisher, ledger, self.asides, streaming=streaming, check=check)


def place(request: ComputeRequest, wanted: Wanted, sources: list[Source] | None) -> Destination:
    """Decide where files go, as far as the request tells. Raises `UsageError` where formats or names don't fit."""
    identities = None if sources is None else [source.id for source in sources]
    destination = plan(request, identities, samples=None if identities is None else len(identities))
    return replace(destination, qualified=qualified(request, wanted.target, destination))


def open_run(
    request: ComputeRequest,
    wanted: Wanted,
    style: Style,
    sources: list[Source] | None,
    destination: Destination,
    listen: Listener,
    open_engine: OpenEngine,
) -> Opened:
    """Open the model of a run, and the second one where there is one, and plan what its samples' files are called."""
    listen.loading(request.model)
    prepared = prepare(request, wanted, sources, open_engine)
    rival = open_rival(request, listen, open_engine)
    destination = _named(destination, prepared)
    keep = choose_layout(request, destination, sources, prepared.engine.specs)
    if keep is not None:
        destination = replace(destination, formats=())
    publisher = _publisher(destination, prepared, style)
    run = prepared.record(destination.formats)
    asides = Asides(prepared, rival)
    if keep is None:
        return Opened(prepared, destination, publisher, asides, run)
    parts = sharded(keep, prepared, publisher, run)
    shelf = parts.publisher.shelf
    opened = sharded_journal(shelf, run, wanted.metrics, parts.names, listen)
    return Opened(prepared, destination, parts.publisher, asides, run, opened, shelf.pack, parts.names)


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
