"""A connection to a Dask scheduler: calls to workers by their address, and news as they come, in one queue.

Dask's threads put news there, one thread takes them: nothing else is shared. Every call is for one worker and for
no other, so that of a worker that dies it is known what it had.
"""

import asyncio
import contextlib
import itertools
import logging
import queue
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing import Pipe
from typing import Any, NamedTuple

_CLOSING = 5.0


class Joined(NamedTuple):
    """A worker is there."""

    address: str


class Left(NamedTuple):
    """A worker is gone; `expected` where the scheduler was told that it would go.

    `finished` are the calls that had come to their end, there or elsewhere, and whose replies had not yet come here.
    """

    address: str
    expected: bool
    finished: frozenset[int]


class Replied(NamedTuple):
    """A call came to its end: its reply, or the error with which Dask itself ended it."""

    number: int
    reply: bytes
    error: BaseException | None


News = Joined | Left | Replied


@dataclass(eq=False)
class Wire:
    """What goes to workers and comes from them. `bell` becomes readable when there is news."""

    client: Any
    run: str = field(default_factory=lambda: f"saliency-{uuid.uuid4().hex[:12]}")

    def __post_init__(self) -> None:
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()
        self.bell, self._ring = Pipe(duplex=False)
        self._ringing = threading.Lock()
        self._futures: dict[int, Any] = {}
        self._numbers = itertools.count()
        self._closed = False
        # First the events, then who is there: nobody can come or go in between unheard.
        self.client.subscribe_topic("all", self._heard)
        for address in self.addresses():
            self._tell(Joined(address))

    def addresses(self) -> list[str]:
        """Return the workers that are there."""
        return list(self.client.nthreads())

    @property
    def alive(self) -> bool:
        """Whether the scheduler is still there."""
        return bool(self.client.status == "running")

    def _heard(self, event: tuple[float, Any]) -> None:
        message = event[1]
        if not isinstance(message, Mapping):
            return
        if message.get("action") == "add-worker":
            self._tell(Joined(str(message["worker"])))
        elif message.get("action") == "remove-worker":
            # The scheduler tells this before it takes back what the worker's death undoes.
            finished = frozenset(n for n, future in self._futures.copy().items() if future.status == "finished")
            self._tell(Left(str(message["worker"]), bool(message.get("expected")), finished))

    def _tell(self, news: News) -> None:
        self._news.put(news)
        with self._ringing:
            if not (self._closed or self.bell.poll()):
                self._ring.send_bytes(b"1")

    def news(self) -> Iterator[News]:
        """Yield what has come, in its order, and take the ring off the bell."""
        with self._ringing:
            while self.bell.poll():
                self.bell.recv_bytes()
        with contextlib.suppress(queue.Empty):
            while True:
                yield self._news.get(block=False)

    def call(self, address: str, function: Callable[..., bytes], *arguments: bytes) -> int:
        """Call a function of a module in a worker; return the number under which its reply comes."""
        number = next(self._numbers)
        future = self.client.submit(
            function,
            *arguments,
            key=f"{self.run}-{number}",
            workers=[address],
            allow_other_workers=False,
            pure=False,
            retries=0,
        )
        self._futures[number] = future
        asyncio.run_coroutine_threadsafe(self._fetch(number, future), self.client.loop.asyncio_loop)
        return number

    async def _fetch(self, number: int, future: Any) -> None:
        try:
            reply = Replied(number, await self.client.gather(future, asynchronous=True), None)
        except BaseException as error:  # noqa: BLE001 - told to whoever called
            reply = Replied(number, b"", error)
        if self._futures.pop(number, None) is not None:
            future.release()
            self._tell(reply)

    def cancel(self, number: int) -> None:
        """Take a call back; its reply is not told. What has begun goes on in its worker."""
        future = self._futures.pop(number, None)
        if future is not None and self.alive:
            future.cancel()

    def ask(self, addresses: list[str], function: Callable[..., Any], *arguments: str) -> dict[str, Any]:
        """Call a function in several workers at once, beside what is under way; return replies and errors."""
        told: dict[str, Any] = self.client.run(function, *arguments, workers=addresses, on_error="return")
        return told

    def scheduler_lacks(self, function: Callable[..., Any], *arguments: str) -> ImportError | None:
        """Return why the scheduler can't import a function of ours, as it must to pass it on; None where it can."""
        try:
            self.client.run_on_scheduler(function, *arguments)
        except ImportError as error:
            return error
        except Exception:  # noqa: BLE001 - one that does not let itself be asked may still do its work
            return None
        return None

    def tell(
        self, addresses: list[str], function: Callable[..., Any], *arguments: str, patience: float = 0.0
    ) -> None:
        """Call a function in workers whose answers don't matter, and wait for them up to `patience` seconds."""

        def call() -> None:
            with contextlib.suppress(Exception):  # a worker that has gone has nothing more to be told
                self.ask(addresses, function, *arguments)

        if addresses and self.alive:
            thread = threading.Thread(target=call, daemon=True)
            thread.start()
            thread.join(patience)

    def close(self) -> None:
        """Take back every call and leave the scheduler."""
        for number in list(self._futures):
            self.cancel(number)
        with contextlib.suppress(Exception):  # a scheduler that has gone can't be left
            self.client.close(timeout=_CLOSING)
        with self._ringing:
            self._closed = True
            self.bell.close()
            self._ring.close()


@contextlib.contextmanager
def unspoken() -> Iterator[None]:
    """Keep Dask's log from the terminal: what matters of it is told in our own words."""
    logger = logging.getLogger("distributed")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)
