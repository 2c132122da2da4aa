"""A worker process of a run: the model opened once, samples carried as they come, records handed back."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from saliency_cli.engines.protocol import Answer
from saliency_cli.errors import ModelError
from saliency_cli.records import RunRecord
from saliency_cli.runs.checking import drawing_style
from saliency_cli.runs.listening import Silent
from saliency_cli.runs.opening import Opened, open_run, place
from saliency_cli.runs.preparing import OpenEngine, Wanted, tell_choices
from saliency_cli.runs.relaying import Given, Relay
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.sharded_parts import StackNames
from saliency_cli.runs.sources import Source


@dataclass(frozen=True)
class Order:
    """What a worker is opened for. `sources` where they are few: how many samples they hold decides the layout."""

    request: ComputeRequest
    sources: list[Source] | None
    open_engine: OpenEngine


@dataclass(frozen=True, eq=False)
class Told:
    """What only an open model tells: the run's record, what was chosen and why, and how stacks of maps are named."""

    run: RunRecord
    choices: tuple[tuple[str, str], ...]
    names: StackNames | None


class _Overhearing(Silent):
    """Remembers what is told while a model is opened."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def notice(self, text: str) -> None:
        """Remember a note."""
        self.told.append(("notice", text))

    def warning(self, text: str) -> None:
        """Remember a warning."""
        self.told.append(("warning", text))


@dataclass(frozen=True, eq=False)
class RunWorker:
    """The worker of a run. See `engines.protocol.Worker`."""

    opened: Opened
    told: Told

    @property
    def batch(self) -> int:
        """How many samples are computed at once."""
        return self.opened.prepared.engine.evaluator.batch

    @property
    def ahead(self) -> int:
        """How many samples are worth having under way: one batch computed, one gathered, one written."""
        return 3 * self.batch + 2

    def run(
        self,
        items: Iterable[tuple[int, Given]],
        answer: Callable[[Answer], None],
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Carry numbered sources through, as they come."""
        relay = Relay(answer, self.opened.pack)
        self.opened.work(relay, streaming=True, check=check).run(relay.sources(items))


def open_worker(order: Order, told: Told | None) -> RunWorker:
    """Open the model of a run in this process.

    `told`: what the first worker said, whose batch shape is pinned. Raises `ModelError` where another model, or
    another TensorFlow, would be at work here.
    """
    request = order.request if told is None else replace(order.request, batch_size=told.run.batch_size)
    wanted = Wanted.of(request)
    destination = place(request, wanted, None)
    heard = _Overhearing()
    opened = open_run(request, wanted, drawing_style(request), order.sources, destination, heard, order.open_engine)
    if told is not None:
        require_alike(told.run, opened.run)
    tell_choices(heard, opened.prepared)
    return RunWorker(opened, Told(opened.run, tuple(heard.told), opened.names))


def require_alike(first: RunRecord, other: RunRecord) -> None:
    """Raise `ModelError` where a worker would give other maps than the first one."""
    different = [key for key, value in first.settings.items() if other.settings.get(key) != value]
    if different:
        shown = "; ".join(f"{key} is {first.settings[key]}, and {other.settings.get(key)}" for key in different[:4])
        raise ModelError(
            f"two workers would not compute the same: {shown}",
            hint="is the model file being written? every worker needs the same one, and the same versions",
            reason="workers-differ",
        )
