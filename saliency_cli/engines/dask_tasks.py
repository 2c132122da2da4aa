"""What is done inside a Dask worker's process: a model opened once, items carried by it, all of it let go again.

Dask is handed these functions by their names, and bytes: what a run is made of is pickled here and there by this
package alone. Whatever happens becomes a reply; Dask's own ways of failing are left to what is Dask's own.
"""

import contextlib
import os
import pickle
import platform
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from saliency_cli.engines.child import Stopped, failed
from saliency_cli.engines.messages import Failed
from saliency_cli.engines.node import node
from saliency_cli.engines.protocol import Answer, Worker

_IDLE = 60.0
"""Seconds after which another run's model is closed where a run opens its own: its client may have been killed."""

PACKAGES = {
    "saliency": ("saliency-cli",),
    "tensorflow": ("tensorflow", "tensorflow-cpu", "tensorflow-intel"),
    "keras": ("keras",),
    "numpy": ("numpy",),
    "distributed": ("distributed",),
}
"""What must be the same everywhere, and the distributions that have it."""


class Survey(NamedTuple):
    """What a worker is made of, and whether it sees the folders of the run."""

    versions: dict[str, str]
    sees: bool


class Order(NamedTuple):
    """A run as a worker is told of it: how it is opened, from which folder, and what the worker must be like."""

    run: str
    folder: str
    marker: str
    versions: dict[str, str]
    open_: Callable[[Any, Any], Worker]
    given: Any
    told: Any


class Opened(NamedTuple):
    """The worker is open. `batch`: how many items it works on at once; `process`: its machine and process id."""

    told: Any
    batch: int
    process: tuple[str, int]


class Unfit(NamedTuple):
    """The worker is not like the others, or sees other folders; nothing was opened."""

    survey: Survey


class Carried(NamedTuple):
    """What was found, and the seconds it took."""

    answers: list[Answer]
    seconds: float


@dataclass(eq=False)
class _Open:
    worker: Worker
    used: float


_open: dict[str, _Open] = {}
_stopped: set[str] = set()
# A worker with several of Dask's threads still computes one thing at a time, with all of TensorFlow's.
_turn = threading.Lock()


def survey(folder: str, marker: str) -> Survey:
    """Tell what this process is made of, without importing any of it, and whether it sees a file it should see.

    `marker` is that file, empty where it need not be looked for.
    """
    versions = {"python": platform.python_version()}
    for package, names in PACKAGES.items():
        for name in reversed(names):
            with contextlib.suppress(metadata.PackageNotFoundError):
                versions[package] = metadata.version(name)
    marked = not marker or (Path(marker).is_file() and os.access(Path(marker).parent, os.W_OK))
    return Survey(versions, sees=marked and Path(folder).is_dir())


def begin(order: bytes) -> bytes:
    """Open what an order says, and tell that it is open."""
    return _answering(order, _begun)


def carry(order: bytes, items: bytes) -> bytes:
    """Answer items by what the order opens; it is open already, unless it had to be let go."""
    return _answering(order, lambda order: _carried(order, pickle.loads(items)))  # noqa: S301 - our own


def stop(run: str) -> None:
    """Break off what a run is at before its next batch, and let it begin nothing more: files under way become whole.

    Called beside what is under way. It is asked for and not thrown: an exception for a thread that is starting
    another one reaches the wrong one of them (Python 3.11), and both hang.
    """
    _stopped.add(run)


def forget(run: str) -> None:
    """Let go of what a run opened."""
    _open.pop(run, None)
    stop(run)


def _answering(order: bytes, do: Callable[[Order], Any]) -> bytes:
    with _turn:
        try:
            understood = pickle.loads(order)  # noqa: S301 - our own
            with contextlib.chdir(understood.folder):
                reply = do(understood)
        except Exception as error:  # noqa: BLE001 - told to the client, which raises it
            reply = failed(error)
    return pickle.dumps(reply)


def _begun(order: Order) -> Opened | Unfit:
    found = survey(order.folder, order.marker)
    if found != Survey(order.versions, sees=True):
        return Unfit(found)
    worker = _opened(order)
    return Opened(worker.told, worker.batch, (node(), os.getpid()))


def _opened(order: Order) -> Worker:
    now = time.monotonic()
    if order.run not in _open:
        for run in [run for run, other in _open.items() if now - other.used > _IDLE]:
            del _open[run]
        _open[order.run] = _Open(order.open_(order.given, order.told), now)
    return _open[order.run].worker


def _carried(order: Order, items: list[tuple[int, Any]]) -> Carried:
    worker = _opened(order)
    answers: list[Answer] = []
    began = time.monotonic()

    def check() -> None:
        if order.run in _stopped:
            raise Stopped

    with contextlib.suppress(Stopped):
        check()
        worker.run(items, answers.append, check)
    if order.run in _open:
        _open[order.run].used = time.monotonic()
    return Carried(answers, time.monotonic() - began)


def understood(reply: bytes) -> Opened | Unfit | Carried | Failed:
    """Return the reply that a worker gave."""
    found: Opened | Unfit | Carried | Failed = pickle.loads(reply)  # noqa: S301 - our own
    return found
