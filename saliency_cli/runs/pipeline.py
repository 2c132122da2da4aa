"""Reading ahead, computing, writing behind: three stages joined by bounded queues.

Two threads read and prepare (Pillow lets go of the interpreter while it decodes), the calling thread
packs and computes, two threads draw and write, and one records: it waits for the writes in order,
appends to the journal, and tells the listener. Memory depends on the queues' lengths, not on the number
of inputs.
"""

import contextlib
import gc
import itertools
import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from saliency_cli.errors import SaliencyError

Taken = TypeVar("Taken")
Given = TypeVar("Given")

_READERS = 2
_WRITERS = 2
_TOGETHER_SECONDS = 0.004
_QUICK_SECONDS = 0.001
_CHECK_SECONDS = 0.2


def _nothing() -> None:
    """Find nothing wrong."""


@dataclass(frozen=True, eq=False)
class Read(Generic[Taken, Given]):
    """What reading one source gave: a value or the error it ended with, and the seconds it took."""

    source: Taken
    value: Given | None
    error: SaliencyError | None
    seconds: float


class _Ended:
    pass


@contextlib.contextmanager
def unswept() -> Iterator[None]:
    """Leave all objects that are there out of garbage collection for the length of the block.

    TensorFlow alone brings some hundred thousand, and a run of many samples would have each of them looked at again
    and again.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class _Known(Generic[Taken]):
    """Sources that are there already."""

    def __init__(self, sources: Iterable[Taken]) -> None:
        self._sources = iter(sources)
        self.ended = False

    def take(self, *, block: bool) -> Iterator[Taken]:
        """Yield the next source, or nothing at the end."""
        del block  # nothing to wait for
        for source in self._sources:
            yield source
            return
        self.ended = True

    def stop(self) -> None:
        """Do nothing: no thread is listing."""


class _Arrivals(Generic[Taken]):
    """Sources listed on a thread of their own, at most `ahead` waiting: listing may block (lines of a pipe)."""

    def __init__(self, sources: Iterable[Taken], ahead: int, check: Callable[[], None]) -> None:
        self._check = check
        self._queue: queue.Queue[Taken | BaseException | _Ended] = queue.Queue(maxsize=ahead)
        self._stopped = threading.Event()
        self.ended = False
        threading.Thread(target=self._list, args=(sources,), name="sources", daemon=True).start()

    def _list(self, sources: Iterable[Taken]) -> None:
        try:
            for source in sources:
                if not self._offer(source):
                    return
            self._offer(_Ended())
        except BaseException as error:  # noqa: BLE001 - raised again where sources are taken
            self._offer(error)

    def _offer(self, entry: "Taken | BaseException | _Ended") -> bool:
        while not self._stopped.is_set():
            try:
                self._queue.put(entry, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def take(self, *, block: bool) -> Iterator[Taken]:
        """Yield the next source, or nothing at the end (or where there is none yet and `block` is off)."""
        while True:
            try:
                entry = self._queue.get(block=block, timeout=_CHECK_SECONDS if block else None)
                break
            except queue.Empty:
                if not block:
                    return
                self._check()
        if isinstance(entry, BaseException):
            raise entry
        if isinstance(entry, _Ended):
            self.ended = True
        else:
            yield entry

    def stop(self) -> None:
        """Let the listing thread go."""
        self._stopped.set()


def read_ahead(
    sources: Iterable[Taken],
    work: Callable[[Taken], Given],
    *,
    ahead: int,
    interactive: bool,
    check: Callable[[], None] = _nothing,
) -> Generator[Read[Taken, Given] | None, None, None]:
    """Apply `work` to sources on threads, yielding results in their order, at most `ahead` under way.

    With `interactive`, sources may be slow to come (lines of a pipe): a None is yielded when every one
    that has come is answered and the next is not there yet. `check` is called now and then while the next
    source is waited for, and may raise.
    """
    arrivals = _Known(sources) if isinstance(sources, Sequence) else _Arrivals(sources, ahead, check)
    pending: deque[Future[list[Read[Taken, Given]]]] = deque()
    lanes = [ThreadPoolExecutor(1, "reader") for _ in range(_READERS)]
    turn = itertools.cycle(lanes)
    begun = 0
    together = 1

    def begin(*, block: bool) -> bool:
        nonlocal begun
        found = list(arrivals.take(block=block))
        room = min(together, ahead - begun)
        while found and len(found) < room and (more := list(arrivals.take(block=False))):
            found += more
        if found:
            lane = lanes[0] if together > 1 else next(turn)
            pending.append(lane.submit(_read_each, found, work))
        begun += len(found)
        return bool(found)

    try:
        while pending or not arrivals.ended:
            while not arrivals.ended and begun < ahead and begin(block=not pending and not interactive):
                pass
            if pending:
                found = pending.popleft().result()
                begun -= len(found)
                # What takes no time is read by one thread, some at a time: handing it over would take longer.
                quick = min(int(_TOGETHER_SECONDS / max(found[-1].seconds, 1e-6)), ahead // 2)
                together = max(1, quick)
                yield from found
            elif not arrivals.ended:
                yield None
                begin(block=True)
    finally:
        arrivals.stop()
        for lane in lanes:
            lane.shutdown(wait=True, cancel_futures=True)


def _read_each(sources: list[Taken], work: Callable[[Taken], Given]) -> list[Read[Taken, Given]]:
    return [_read_one(source, work) for source in sources]


def _read_one(source: Taken, work: Callable[[Taken], Given]) -> Read[Taken, Given]:
    began = time.perf_counter()
    try:
        value = work(source)
        return Read(source, value, None, time.perf_counter() - began)
    except SaliencyError as error:
        return Read(source, None, error, time.perf_counter() - began)


class WriteBehind(Generic[Given]):
    """Runs writes on threads and hands their results, in order, to `record` on a thread of its own.

    A context manager: leaving it waits for what is under way, so that nothing half written is left and
    what is written is recorded; leaving it with an exception lets go what has not begun. An error of a
    write or of `record` stops the rest and is raised from `submit` or on leaving.
    """

    def __init__(self, record: Callable[[Given], None], *, behind: int) -> None:
        self._record = record
        self._pool = ThreadPoolExecutor(_WRITERS, "writer")
        self._queue: queue.SimpleQueue[Future[Given] | Callable[[], Given] | None] = queue.SimpleQueue()
        self._room = threading.Semaphore(behind)
        self._error: BaseException | None = None
        self._seconds = math.inf
        # Nobody waits for it that was broken off before it could tell it to end.
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def __enter__(self) -> "WriteBehind[Given]":
        try:
            self._thread.start()
        except BaseException:  # Ctrl-C: it may run all the same
            self._queue.put(None)
            raise
        return self

    def submit(self, write: Callable[[], Given]) -> None:
        """Queue a write, waiting while too many are under way."""
        while not self._room.acquire(timeout=0.1):
            self.check()
        self.check()
        # What takes no time is done where it is recorded: to hand it to a thread of its own would take longer.
        self._queue.put(write if self._seconds < _QUICK_SECONDS else self._pool.submit(self._clocked, write))

    def _clocked(self, write: Callable[[], Given]) -> Given:
        began = time.perf_counter()
        found = write()
        self._seconds = time.perf_counter() - began
        return found

    def _run(self) -> None:
        while (entry := self._queue.get()) is not None:
            try:
                if isinstance(entry, Future):
                    if self._error is None and not entry.cancelled():
                        self._record(entry.result())
                    else:
                        entry.cancel()
                elif self._error is None:
                    self._record(self._clocked(entry))
            except CancelledError:
                pass  # let go because the run was stopped
            except BaseException as error:  # noqa: BLE001 - raised again on the calling thread
                self._error = error
            finally:
                self._room.release()

    def check(self) -> None:
        """Raise the error that a write or `record` ended with."""
        if self._error is not None:
            raise self._error

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._queue.put(None)
        try:
            # Stopped from outside, or the writes fail: what has begun is finished, the rest is let go.
            self._end(cancel=kind is not None)
        except BaseException:  # Ctrl-C while waiting for the last writes
            self._end(cancel=True)
            raise
        if kind is None:
            self.check()

    def _end(self, *, cancel: bool) -> None:
        self._pool.shutdown(wait=False, cancel_futures=cancel)
        self._thread.join()
        self._pool.shutdown(wait=True)
