"""What an engine is: it opens workers for a task, carries items over them, and outlives those that die.

An engine knows nothing of models or files. A `Task` says how a worker is opened (once a process) and an item
is whatever the worker takes; both are pickled. Each item is over when its last answer has come, or when it
killed a worker while it was alone there; the run goes on either way. To add an engine, write one file with a
class that has `begin`, `carry` and `close`, and name it where the engine of a run is chosen.

Inside a worker `open_` is called once, then `run` once for a stream of items (local processes), or once for
each few of them (a cluster's tasks).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self


class Answer(NamedTuple):
    """One thing a worker found of an item.

    `number` is the item's, counted by the engine; `key` tells what was found from everything else found of the same
    item (an item that is tried again answers again, and what is known by then is dropped); `last` says that the
    item is over.
    """

    number: int
    key: str
    found: Any
    last: bool


class Worker(Protocol):
    """What is open inside a worker process.

    `told` is what only opening tells, picklable: the caller of `begin` hears the first worker's. `ahead` is how
    many items it can make use of at a time, `batch` of how many it makes one step: a few items that are to be
    answered before the next ones come are a multiple of it.
    """

    @property
    def told(self) -> Any:
        """What only opening tells."""
        ...

    @property
    def ahead(self) -> int:
        """How many items are worth having under way."""
        ...

    @property
    def batch(self) -> int:
        """How many items are computed at once."""
        ...

    def run(
        self,
        items: Iterable[tuple[int, Any]],
        answer: Callable[[Answer], None],
        check: Callable[[], None] = ...,
    ) -> None:
        """Answer numbered items as they come, until there are no more.

        `check` is called before each step, on the thread of `run`, and may raise to break it off: what is finished by
        then is answered. `answer` is called from any thread, one at a time. What is wrong with one item is an
        answer; an error raised ends the whole run.
        """
        ...


@dataclass(frozen=True)
class Task:
    """How a worker is opened: `open_(given, told)`.

    `open_` is a function of a module, so that it can be pickled by its name. `told` is None for the first worker,
    and for all others what the first one told: they pin what it chose, and raise where they would answer
    otherwise (another model file on another machine).
    """

    open_: Callable[[Any, Any], Worker]
    given: Any


class Hearing(Protocol):
    """Who hears what was found. Called from one thread, the one that called `carry`."""

    def found(self, item: Any, found: Any) -> None:
        """Hear one answer about an item."""

    def lost(self, item: Any, how: str) -> None:
        """Hear that an item killed a worker that had nothing else to do; `how` says what ended it."""

    def enough(self) -> bool:
        """Return whether no more items should be begun."""
        ...


class Executor(Protocol):
    """An engine at work; a context manager that leaves no worker behind.

    `casualties` names, as `(node, process id)`, the workers that died or were killed: what they were writing has
    nobody to remove it.
    """

    casualties: list[tuple[str, int]]

    def begin(self, task: Task) -> Any:
        """Open a first worker, and the others while that one works; return what the first one told.

        Raises what opening raised there; `ModelError` where the worker died of it.
        """
        ...

    def carry(self, items: Iterable[Any], hear: Hearing) -> None:
        """Give every item to a worker and tell `hear` what was found, as it comes.

        An error that a worker's `run` raises is raised here. On leaving early for any reason (Ctrl-C, an error of
        `hear`), workers are asked to stop; after Ctrl-C, what they had finished is still heard.
        """

    def close(self) -> None:
        """Let the workers go."""

    def __enter__(self) -> Self:
        """Return itself."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the workers go."""


class WorkerError(RuntimeError):
    """What ended a worker, where the exception itself can't be pickled; the cause holds its traceback."""
