"""Items that may be slow to come, listed on a thread, with a descriptor to wait on beside others."""

import queue
import threading
from collections.abc import Iterable
from multiprocessing import Pipe
from typing import Any

_WAITING = 64


class _Ended:
    pass


class Arrivals:
    """Items listed on a thread of their own, a few of them waiting: listing may block (lines of a pipe).

    `bell` becomes readable when something has come.
    """

    def __init__(self, items: Iterable[Any]) -> None:
        self._queue: queue.Queue[Any] = queue.Queue(_WAITING)
        self._stopped = threading.Event()
        self.bell, self._ring = Pipe(duplex=False)
        self.ended = False
        threading.Thread(target=self._list, args=(items,), name="items", daemon=True).start()

    def _list(self, items: Iterable[Any]) -> None:
        try:
            for item in items:
                if not self._offer(item):
                    return
            self._offer(_Ended())
        except BaseException as error:  # noqa: BLE001 - raised again where items are taken
            self._offer(error)

    def _offer(self, entry: Any) -> bool:
        while not self._stopped.is_set():
            try:
                self._queue.put(entry, timeout=0.1)
            except queue.Full:
                continue
            self._ring.send_bytes(b"1")
            return True
        return False

    def take(self) -> list[Any]:
        """Return the next item in a list, or an empty one where none is there. Raises what listing raised."""
        try:
            entry = self._queue.get(block=False)
        except queue.Empty:
            return []
        if isinstance(entry, BaseException):
            raise entry
        if isinstance(entry, _Ended):
            self.ended = True
            return []
        return [entry]

    def silence(self) -> None:
        """Take the rings off the bell."""
        while self.bell.poll():
            self.bell.recv_bytes()

    def stop(self) -> None:
        """Let the listing thread go."""
        self._stopped.set()
