"""One local worker as its parent sees it: its process, the socket to it, the items it has."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from saliency_cli.engines.messages import Opened, command

_FEWEST = 4
_SECONDS_AHEAD = 2.0


@dataclass(eq=False)
class Flying:
    """An item that a worker has, and which answers about it have come."""

    item: Any
    answered: set[str] = field(default_factory=set)


@dataclass(eq=False)
class Member:
    """A worker process. `alone` says that the one item it has is one that was there when another worker died."""

    process: "subprocess.Popen[bytes]"
    link: Connection
    told: Any = None
    most: int = 0
    flying: dict[int, Flying] = field(default_factory=dict)
    alone: bool = False
    ending: bool = False
    _began: float = 0.0
    _over: int = 0

    @classmethod
    def start(cls) -> "Member":
        """Start a process that waits for its task."""
        ours, theirs = socket.socketpair()
        try:
            process = subprocess.Popen(  # noqa: S603 - this Python, running this package
                command(theirs.fileno()),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # the parent's is for data
                stderr=_stderr(),
                pass_fds=[theirs.fileno()],
                process_group=0,  # Ctrl-C is for the parent alone: it decides what becomes of its workers
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return cls(process, Connection(ours.detach()))

    @property
    def open(self) -> bool:
        """Whether it has told that it is open."""
        return self.most > 0

    def send(self, message: Any) -> None:
        """Send a message; what a dead one does not take is seen where its answers are awaited."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.link.send(message)

    def opened(self, message: Opened) -> None:
        """Take in that it is open."""
        self.told, self.most, self._began = message.told, max(1, message.ahead), time.monotonic()

    def over(self, number: int) -> None:
        """Take in that an item is over."""
        del self.flying[number]
        self.alone = False
        self._over += 1

    @property
    def room(self) -> int:
        """How many more items it should have.

        As many as it has lately done in two seconds: enough to fill its batches, and few enough that no other worker
        waits at the end for one that took too many.
        """
        rate = self._over / max(time.monotonic() - self._began, 1e-3)
        wanted = max(_FEWEST, min(self.most, round(_SECONDS_AHEAD * rate)))
        return 0 if self.alone or self.ending else max(0, min(wanted, self.most) - len(self.flying))

    def stop(self) -> None:
        """Ask it to finish what it has begun and to let the rest go; one that is not open yet has begun nothing."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM if self.open else signal.SIGKILL)

    def bury(self) -> str:
        """End it, if it has not ended, and return what ended it, in words."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        code = self.process.wait()
        self.link.close()
        if code >= 0:
            return f"it ended with exit code {code}"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"it was ended by {name}" + (", as the system does when memory runs out" if name == "SIGKILL" else "")


def _stderr() -> int:
    """Return where a worker's warnings go: where this process's do, named, since a descriptor may not be inherited.

    Number 2 must be something: the next file a process opens would get it, and with it what native code logs.
    """
    try:
        os.fstat(2)
    except OSError:
        return subprocess.DEVNULL
    return 2
