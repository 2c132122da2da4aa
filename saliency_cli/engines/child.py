"""A local worker's own process: opens what the task says, answers items, ends when told to or left alone."""

import os
import pickle
import queue
import signal
import threading
import traceback
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any

from saliency_cli.engines.messages import Ended, Failed, Opened
from saliency_cli.engines.protocol import WorkerError


class Stopped(KeyboardInterrupt):
    """The parent asks to stop: like Ctrl-C it unwinds the run, so that what has begun is written whole."""


def main(descriptor: int) -> None:
    """Serve the parent at the other end of a socket. Never returns."""
    os.set_inheritable(descriptor, False)
    link = Connection(descriptor)
    sender = _Sender(link)
    signal.signal(signal.SIGTERM, sender.stop)
    items: queue.SimpleQueue[Any] = queue.SimpleQueue()
    try:
        open_, given, told = link.recv()
        worker = open_(given, told)
        # Items are read off the socket at once: a parent that waits for room could not hear the answers.
        threading.Thread(target=_receive, args=(link, items), name="receiver", daemon=True).start()
        sender(Opened(worker.told, worker.ahead))
        worker.run(iter(items.get, None), sender)
        sender(Ended())
    except Stopped:
        link.send(Ended())
    except (BrokenPipeError, EOFError):
        os._exit(1)  # nobody is left to tell
    except BaseException as error:  # noqa: BLE001 - told to the parent, which raises it
        link.send(failed(error))
    # Native threads may hang or crash while Python shuts down, and nothing is left to do.
    os._exit(0)


class _Sender:
    """Sends messages whole: a stop that comes while the main thread is sending waits until it has sent."""

    def __init__(self, link: Connection) -> None:
        self._link = link
        self._lock = threading.Lock()
        self._sending = self._stop_after = False

    def __call__(self, message: Any) -> None:
        main = threading.current_thread() is threading.main_thread()
        with self._lock:
            self._sending = main
            self._link.send(message)
            self._sending = False
        if main and self._stop_after:
            raise Stopped

    def stop(self, _number: int, _frame: FrameType | None) -> None:
        """Handle SIGTERM, once."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if self._sending:
            self._stop_after = True
        else:
            raise Stopped


def _receive(link: Connection, items: "queue.SimpleQueue[Any]") -> None:
    try:
        while (item := link.recv()) is not None:
            items.put(item)
        items.put(None)
        link.recv()  # nothing more is sent: this waits for the other end to be closed
    except (EOFError, OSError):
        os._exit(1)  # the parent is gone, and nobody journals what is written from now on


def failed(error: BaseException) -> Failed:
    """Return an error as it can be sent, with its traceback."""
    trace = "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own, a line above
    except Exception:  # noqa: BLE001 - whatever makes an error hard to pickle
        error = WorkerError(f"{type(error).__name__}: {error}")
    return Failed(error, trace)
