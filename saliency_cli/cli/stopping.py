"""Signals and pipes: how a run is stopped from outside."""

import os
import select
import signal
import sys
from types import FrameType

_STDERR = 2


class TerminatedError(KeyboardInterrupt):
    """SIGTERM came. Like Ctrl-C it unwinds the run, so that locks and journals are closed."""


def raise_on_sigterm() -> None:
    """Turn the first SIGTERM into `TerminatedError`; a second one ends the process at once."""
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminate)


def _terminate(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    raise TerminatedError


def occupy_descriptors() -> None:
    """Open nothing in place of a closed stdin, stdout or stderr.

    Their numbers would go to the next files opened, and what TensorFlow logs to number 2 into the journal.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(descriptor)


def reader_gone(descriptor: int) -> bool:
    """Return whether `descriptor` is a pipe that nobody reads any more."""
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))


def silence(descriptor: int) -> None:
    """Point `descriptor` nowhere, so that flushing it when Python shuts down can't fail again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def flush_stdout() -> None:
    """Write out what stdout still holds, here where a failure can be told."""
    if sys.stdout is not None:  # None where the caller closed it
        sys.stdout.flush()
