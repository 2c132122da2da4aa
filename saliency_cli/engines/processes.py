"""Workers of this machine: spawned processes, each with the model open, fed over a socket as they answer.

A worker that dies takes nothing with it but what it was working on: those items are tried again one at a time
in a fresh worker, and one that kills it there too is told as lost. One loop hears all of them; the parent alone
journals.
"""

import time
from collections import deque
from collections.abc import Iterable
from itertools import count
from multiprocessing.connection import wait
from types import TracebackType
from typing import Any, Self

from saliency_cli.engines.arriving import Arrivals
from saliency_cli.engines.crewing import Flying, Member
from saliency_cli.engines.messages import Ended, Failed, Opened
from saliency_cli.engines.node import node
from saliency_cli.engines.protocol import Answer, Hearing, Task
from saliency_cli.errors import ModelError

_GRACE = 10.0
"""Seconds for workers that are asked to stop, to finish a batch and write what they have."""

_STILLBORN = 3
"""How many workers in a row may die while they open before the run ends: one may have been somebody's mistake."""


class Processes:
    """Carries items over `jobs` spawned processes."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self.casualties: list[tuple[str, int]] = []
        self._task: Task | None = None
        self._told: Any = None
        self._members: list[Member] = []
        self._suspects: deque[Flying] = deque()
        self._numbers = count()
        self._stillborn = 0

    def begin(self, task: Task) -> Any:
        """Open a first worker and start the others; return what the first one told. See `Executor`."""
        self._task = task
        first = self._start()
        message = _heard(first)
        if not isinstance(message, Opened):
            self._unopened(first, message)
        first.opened(message)
        self._told = message.told
        for _ in range(self.jobs - 1):
            self._start()
        return self._told

    def _start(self) -> Member:
        assert self._task is not None
        member = Member.start()
        self._members.append(member)
        member.send((self._task.open_, self._task.given, self._told))
        return member

    def _unopened(self, member: Member, message: Any) -> None:
        """Raise why a worker could not be opened."""
        if isinstance(message, Failed):
            raise message.error from RuntimeError(message.trace)
        self._members.remove(member)
        raise ModelError(
            f"a worker died while it opened the model: {member.bury()}",
            hint="fewer --jobs if memory is short; --jobs 1 opens it in this process, and shows more",
            reason="worker-died",
        )

    def carry(self, items: Iterable[Any], hear: Hearing) -> None:
        """Give every item to a worker and tell what was found, as it comes. See `Executor`."""
        arrivals = Arrivals(items)
        try:
            while self._feed(arrivals, hear):
                heard = wait([arrivals.bell, *(member.link for member in self._members)])
                arrivals.silence()
                for member in [member for member in self._members if member.link in heard]:
                    self._hear(member, hear)
        except BaseException as stop:
            self._stop(hear if isinstance(stop, KeyboardInterrupt) else None)
            raise
        finally:
            arrivals.stop()

    def _feed(self, arrivals: Arrivals, hear: Hearing) -> bool:
        """Give out what there is, and return whether anything is still to come."""
        enough = hear.enough()
        if enough:
            self._suspects.clear()
        for member in self._members:
            if not member.open:
                continue
            if self._suspects and not member.flying:
                member.alone = True
                self._send(member, self._suspects.popleft())
            while member.room and not (enough or arrivals.ended) and (arrived := arrivals.take()):
                self._send(member, Flying(arrived[0]))
        if any(member.flying for member in self._members) or self._suspects:
            return True
        return not (enough or arrivals.ended)

    def _send(self, member: Member, flying: Flying) -> None:
        number = next(self._numbers)
        member.flying[number] = flying
        member.send((number, flying.item))

    def _hear(self, member: Member, hear: Hearing) -> None:
        message = _heard(member)
        if isinstance(message, Answer):
            self._take(member, message, hear)
        elif isinstance(message, Opened):
            member.opened(message)
            self._stillborn = 0
        elif isinstance(message, Failed):
            raise message.error from RuntimeError(message.trace)
        elif not isinstance(message, Ended):
            self._mourn(member, hear)

    def _take(self, member: Member, answer: Answer, hear: Hearing) -> None:
        flying = member.flying[answer.number]
        if answer.last:
            member.over(answer.number)
        if answer.key not in flying.answered:
            flying.answered.add(answer.key)
            hear.found(flying.item, answer.found)

    def _mourn(self, member: Member, hear: Hearing) -> None:
        """Replace a worker that died, and hold what it had under suspicion, or guilty where it was alone."""
        self._stillborn += not member.open
        if self._stillborn == _STILLBORN:
            self._unopened(member, None)
        self._members.remove(member)
        self.casualties.append((node(), member.process.pid))
        how = member.bury()
        if member.alone:
            (flying,) = member.flying.values()
            hear.lost(flying.item, how)
        else:
            self._suspects.extend(member.flying.values())
        self._start()

    def _stop(self, hear: Hearing | None) -> None:
        """Ask every worker to stop, and hear what they had finished where anybody still wants to."""
        until = time.monotonic() + _GRACE
        for member in self._members:
            member.stop()
        left = [member for member in self._members if member.open]
        while left and (seconds := until - time.monotonic()) > 0:
            for link in wait([member.link for member in left], seconds):
                member = next(member for member in left if member.link is link)
                message = _heard(member)
                if isinstance(message, Answer) and hear is not None:
                    self._take(member, message, hear)
                elif not isinstance(message, Answer):
                    left.remove(member)
                    if isinstance(message, Ended):
                        member.flying.clear()

    def close(self) -> None:
        """Let the workers go; one that still has items may be writing."""
        while self._members:
            member = self._members.pop()
            if member.flying:
                self.casualties.append((node(), member.process.pid))
            member.bury()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()


def _heard(member: Member) -> Any:
    """Return the next message of a worker, None where it died."""
    try:
        return member.link.recv()
    except (EOFError, OSError):
        return None
