"""Reading ahead, computing, writing behind: three stages joined by bounded queues.

Two threads read and prepare (Pillow lets go of the interpreter while it decodes), the calling thread
packs and computes, two threads draw and write, and one records: it waits for the writes in order,
appends to the journal, and tells the listener. Memory depends on the queues' lengths, not on the number
of inputs.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from saliency_cli.errors import SaliencyError

Taken = TypeVar("Taken")
Given = TypeVar("Given")

_READERS = 2
_WRITERS = 2


@dataclass(frozen=True, eq=False)
class Read(Generic[Taken, Given]):
    """What reading one source gave: a value or the error it ended with, and the seconds it took."""

    source: Taken
    value: Given | None
    error: SaliencyError | None
    seconds: float


class _Ended:
    pass


class _Arrivals(Generic[Taken]):
    """Sources listed on a thread of their own, at most `ahead` waiting: listing may block (lines of a pipe)."""

    def __init__(self, sources: Iterable[Taken], ahead: int) -> None:
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
        try:
            entry = self._queue.get(block=block)
        except queue.Empty:
            return
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
    sources: Iterable[Taken], work: Callable[[Taken], Given], *, ahead: int, interactive: bool
) -> Generator[Read[Taken, Given] | None, None, None]:
    """Apply `work` to sources on threads, yielding results in their order, at most `ahead` under way.

    With `interactive`, sources may be slow to come (lines of a pipe): a None is yielded when every one
    that has come is answered and the next is not there yet.
    """
    arrivals = _Arrivals(sources, ahead)
    pending: deque[Future[Read[Taken, Given]]] = deque()
    pool = ThreadPoolExecutor(_READERS, "reader")

    def begin(*, block: bool) -> bool:
        found = list(arrivals.take(block=block))
        pending.extend(pool.submit(_read_one, source, work) for source in found)
        return bool(found)

    try:
        while pending or not arrivals.ended:
            while not arrivals.ended and len(pending) < ahead and begin(block=not pending and not interactive):
                pass
            if pending:
                yield pending.popleft().result()
            elif not arrivals.ended:
                yield None
                begin(block=True)
    finally:
        arrivals.stop()
        pool.shutdown(wait=True, cancel_futures=True)


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
        self._queue: queue.Queue[Future[Given] | None] = queue.Queue()
        self._room = threading.Semaphore(behind)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="recorder")

    def __enter__(self) -> "WriteBehind[Given]":
        self._thread.start()
        return self

    def submit(self, write: Callable[[], Given]) -> None:
        """Queue a write, waiting while too many are under way."""
        while not self._room.acquire(timeout=0.1):
            self._reraise()
        self._reraise()
        self._queue.put(self._pool.submit(write))

    def _run(self) -> None:
        while (future := self._queue.get()) is not None:
            try:
                if self._error is None and not future.cancelled():
                    self._record(future.result())
                else:
                    future.cancel()
            except CancelledError:
                pass  # let go because the run was stopped
            except BaseException as error:  # noqa: BLE001 - raised again on the calling thread
                self._error = error
            finally:
                self._room.release()

    def _reraise(self) -> None:
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
            self._reraise()

    def _end(self, *, cancel: bool) -> None:
        self._pool.shutdown(wait=False, cancel_futures=cancel)
        self._thread.join()
        self._pool.shutdown(wait=True)
