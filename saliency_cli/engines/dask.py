"""A Dask cluster: one of this machine, started and ended with the run, or a real one that is joined and left.

Calls of a few items each go to one worker by its address, and each worker has two at most: what a run keeps in
memory depends on the workers, not on the inputs. Of a worker that dies it is known which call it was at: the items
of that one are tried again one at a time, each alone in a worker, and one that kills it there too is told as lost.
"""

import pickle
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from itertools import count
from multiprocessing.connection import wait
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from saliency_cli.engines import dask_tasks
from saliency_cli.engines.arriving import Arrivals
from saliency_cli.engines.crewing import Flying
from saliency_cli.engines.dask_joining import (
    PATIENCE,
    Shared,
    connect,
    difference,
    lost,
    require_alike,
    require_dask,
    wait_for_worker,
)
from saliency_cli.engines.dask_local import LocalCluster
from saliency_cli.engines.dask_members import Member
from saliency_cli.engines.dask_tasks import Carried, Opened, Order, Survey, Unfit
from saliency_cli.engines.dask_wire import Joined, Left, Replied, Wire, unspoken
from saliency_cli.engines.protocol import Answer, Hearing, Task
from saliency_cli.errors import ModelError

_GRACE = 10.0
"""Seconds for workers that are asked to stop, to finish a batch and write what they have."""

_FAREWELL = 5.0

_STILLBORN = 3
"""How many workers in a row may die while they open before the run ends: one may have been somebody's mistake."""


class Cluster:
    """Carries items over the workers of a Dask cluster.

    `scheduler`: `tcp://…`, `tls://…` or a scheduler file; None for a cluster of this machine with `workers` workers.
    `folder` is what they write into; `warn` hears of workers that come late and can't be used. Raises `UsageError`
    where Dask is not installed.
    """

    def __init__(self, folder: Path, *, scheduler: str | None, workers: int, warn: Callable[[str], None]) -> None:
        require_dask()
        self.casualties: list[tuple[str, int]] = []
        self._scheduler, self._workers, self._warn = scheduler, workers, warn
        # Paths are the user's, from this folder on: so they stand in records, whoever writes them.
        self._here, self._shared = str(Path.cwd()), Shared(folder)
        self._stack = ExitStack()
        self._members: dict[str, Member] = {}
        self._waiting: deque[Flying] = deque()
        self._suspects: deque[Flying] = deque()
        self._found: deque[tuple[Flying, Answer]] = deque()
        self._numbers = count()
        self._stillborn = 0
        self._lonely = 0
        self._begun = False
        self._told: Any = None
        self._wire: Wire
        self._task: Task
        self._own: Survey

    def begin(self, task: Task) -> Any:
        """Open a first worker and let the others open; return what the first one told. See `Executor`.

        Raises `UsageError` where there is no such cluster, or one of its workers has other versions or does not see
        the folder.
        """
        self._task = task
        self._stack.callback(self._shared.unmark)
        self._stack.enter_context(unspoken())
        if self._scheduler is None:
            local = LocalCluster.start(self._workers)
            self._stack.callback(local.close)
            self._address = local.address
        else:
            self._address = self._scheduler
        self._wire = connect(self._address)
        self._stack.callback(self._leave)
        self._own = dask_tasks.survey(self._here, self._shared.mark())
        wait_for_worker(self._wire, self._address)
        alike = require_alike(self._wire, self._own, self._here, self._shared.mark())
        self._members = {address: Member(address) for address in alike}
        self._told = self._first()
        self._open_all(late=False)
        return self._told

    def _first(self) -> Any:
        """Open one worker, whichever does, and return what it told."""
        told: list[Any] = []
        while not told:
            self._wait([self._wire.bell])
            for news in self._wire.news():
                opened = self._heed(news, None)
                told += [] if opened is None else [opened.told]
            if self._members and not told and all(member.opening is None for member in self._members.values()):
                self._open(next(iter(self._members.values())))
        return told[0]

    def _open_all(self, *, late: bool) -> None:
        for member in self._members.values():
            if not (member.open or member.opening is not None) and member.late == late:
                self._open(member)

    def _open(self, member: Member) -> None:
        # Those that were there have been asked; by now what marked the folder may have been swept from it.
        marker = self._shared.mark() if member.late else ""
        member.opening = self._wire.call(member.address, dask_tasks.begin, self._order(marker))

    def _order(self, marker: str = "") -> bytes:
        given = self._task.open_, self._task.given, self._told
        return pickle.dumps(Order(self._wire.run, self._here, marker, self._own.versions, *given))

    def carry(self, items: Iterable[Any], hear: Hearing) -> None:
        """Give every item to a worker and tell what was found, as it comes. See `Executor`."""
        self._begun = True
        self._open_all(late=True)
        arrivals = Arrivals(items)
        try:
            while self._feed(arrivals, hear):
                self._wait([arrivals.bell, self._wire.bell])
                arrivals.silence()
                for news in self._wire.news():
                    self._heed(news, hear)
        except BaseException as stop:
            self._stop(hear if isinstance(stop, KeyboardInterrupt) else None)
            raise
        finally:
            arrivals.stop()

    def _wait(self, bells: list[Any]) -> None:
        """Wait for news. Raises `ModelError` where nobody is left to send any."""
        heard = wait(bells, 1.0)
        if not self._wire.alive:
            raise lost(self._address, "its scheduler does not answer")
        # Seconds are counted and not read off a clock: a machine that was asleep has waited for nobody.
        self._lonely = 0 if self._members else self._lonely + (not heard)
        if self._lonely > PATIENCE:
            raise lost(self._address, f"it has had no worker for {PATIENCE} s")

    def _feed(self, arrivals: Arrivals, hear: Hearing) -> bool:
        """Give out what there is, and return whether anything is still to come."""
        enough = hear.enough()
        if enough:
            self._suspects.clear()
            self._waiting.clear()
        members = sorted((member for member in self._members.values() if member.open), key=lambda m: len(m.calls))
        if self._suspects and members and not any(member.alone for member in members):
            # One worker is kept for them; the others go on.
            member = members.pop(0)
            if not member.calls:
                member.alone = True
                self._send(member, [self._suspects.popleft()])
        wanted = sum(member.room for member in members)
        while not (enough or arrivals.ended) and len(self._waiting) < wanted and (arrived := arrivals.take()):
            self._waiting.append(Flying(arrived[0]))
        for member in members:
            self._fill(member, len(members), ended=arrivals.ended)
        if any(member.calls for member in self._members.values()) or self._suspects or self._waiting:
            return True
        return not (enough or arrivals.ended)

    def _fill(self, member: Member, members: int, *, ended: bool) -> None:
        """Give a worker what it has room for: whole batches, unless it has nothing to do."""
        while self._waiting and (room := member.room):
            if ended:  # the last ones are shared
                room = min(room, -(-len(self._waiting) // (members * member.batch)) * member.batch)
            elif len(self._waiting) < room and member.calls:
                return
            self._send(member, [self._waiting.popleft() for _ in range(min(room, len(self._waiting)))])

    def _send(self, member: Member, items: list[Flying]) -> None:
        numbered = {next(self._numbers): item for item in items}
        payload = pickle.dumps([(number, flying.item) for number, flying in numbered.items()])
        call = self._wire.call(member.address, dask_tasks.carry, self._order(), payload)
        member.calls[call] = numbered

    def _heed(self, news: Joined | Left | Replied, hear: Hearing | None) -> Opened | None:
        """Take in what has happened; return what a worker says that has opened."""
        if isinstance(news, Joined):
            self._welcome(news.address)
        elif isinstance(news, Left):
            member = self._members.pop(news.address, None)
            if member is not None:
                self._mourn(member, news, hear)
        else:
            return self._reply(news, hear)
        return None

    def _welcome(self, address: str) -> None:
        if address not in self._members:
            self._members[address] = Member(address, late=True)
            if self._begun:
                self._open(self._members[address])

    def _owner(self, number: int) -> Member | None:
        owners = (m for m in self._members.values() if number == m.opening or number in m.calls)
        return next(owners, None)

    def _reply(self, news: Replied, hear: Hearing | None) -> Opened | None:
        """Take in how a call came to its end; what is about a worker that is gone was settled when it went."""
        member = self._owner(news.number)
        if member is None:
            return None
        if news.error is not None:
            self._failed(member, news.number, news.error, hear)
            return None
        found = dask_tasks.understood(news.reply)
        if isinstance(found, Opened):
            member.opened(found.batch, found.process)
            self._stillborn = 0
            return found
        if isinstance(found, Carried):
            self._take(member, news.number, found, hear)
        elif isinstance(found, Unfit):
            self._leave_out(member, difference(self._own, found.survey, self._here))
        elif member.opening is not None and member.late:
            self._leave_out(member, f"can't open the model: {found.error}")
        else:
            member.calls.pop(news.number, None)
            raise found.error from RuntimeError(found.trace)
        return None

    def _failed(self, member: Member, call: int, error: BaseException, hear: Hearing | None) -> None:
        """Take in that Dask gave a call up: its worker died, or could not make anything of it."""
        if not self._wire.alive:
            raise lost(self._address, "its scheduler does not answer")
        if member.opening is not None:
            self._leave_out(member, difference(self._own, error, self._here) or "is gone")
            return
        suspected = list(member.calls.pop(call).values())
        if member.alone and hear is not None:
            hear.lost(suspected[0].item, f"{type(error).__name__} from the Dask worker at {member.address}")
        else:
            self._suspects.extend(suspected)
        member.alone = False

    def _leave_out(self, member: Member, why: str) -> None:
        """Go on without a worker that came late; before anything is begun, and with nobody else, don't go on."""
        if not member.late:
            raise ModelError(f"the worker at {member.address} {why}", reason="worker")
        del self._members[member.address]
        self._warn(f"a worker that came late is left out: {member.address} {why}")

    def _take(self, member: Member, call: int, found: Carried, hear: Hearing | None) -> None:
        flying = member.calls[call]
        member.over(call, found.seconds)
        self._found.extend((flying[answer.number], answer) for answer in found.answers)
        self._pass_on(hear)

    def _pass_on(self, hear: Hearing | None) -> None:
        """Tell what was found; what Ctrl-C leaves of it is told afterwards."""
        while self._found:
            flying, answer = self._found.popleft()
            if hear is not None and answer.key not in flying.answered:
                flying.answered.add(answer.key)
                hear.found(flying.item, answer.found)

    def _mourn(self, member: Member, left: Left, hear: Hearing | None) -> None:
        """Give back what a worker had that is gone; the call it was at is suspected, or guilty where it was alone."""
        for call in member.calls:
            self._wire.cancel(call)
        if member.opening is not None:
            self._wire.cancel(member.opening)
            self._stillborn += not left.expected
            if self._stillborn == _STILLBORN:
                raise ModelError(
                    f"a worker died while it opened the model: the last was {member.address}",
                    hint="is its memory short? --jobs 1 without Dask opens it in this process, and shows more",
                    reason="worker-died",
                )
        if member.process is not None and not left.expected:
            self.casualties.append(member.process)
        under_way = next((call for call in member.calls if call not in left.finished and not left.expected), None)
        for call, items in reversed(member.calls.items()):
            if call != under_way:
                self._waiting.extendleft(reversed(items.values()))
            elif member.alone and hear is not None:
                (item,) = items.values()
                hear.lost(item.item, f"the Dask worker at {member.address} ended")
            else:
                self._suspects.extend(items.values())

    def _stop(self, hear: Hearing | None) -> None:
        """Ask every worker to stop, and hear what they had finished where anybody still wants to."""
        until = time.monotonic() + _GRACE
        busy = [member.address for member in self._members.values() if member.calls]
        self._wire.tell(busy, dask_tasks.stop, self._wire.run)
        self._pass_on(hear)
        while any(member.calls for member in self._members.values()) and self._wire.alive:
            wait([self._wire.bell], 1.0)
            for news in self._wire.news():
                if isinstance(news, Left):
                    self._members.pop(news.address, None)
                elif isinstance(news, Replied) and (member := self._owner(news.number)) is not None:
                    found = None if news.error is not None else dask_tasks.understood(news.reply)
                    if isinstance(found, Carried):
                        self._take(member, news.number, found, hear)
                    else:
                        member.calls.pop(news.number, None)
            if time.monotonic() > until:
                return

    def _leave(self) -> None:
        """Leave the scheduler as it was: no call of ours, no model of ours in its workers."""
        if self._scheduler is not None:
            self._wire.tell(list(self._members), dask_tasks.forget, self._wire.run, patience=_FAREWELL)
        self._wire.close()

    def close(self) -> None:
        """Let the workers go; those of our own cluster end, and one that still has items may be writing."""
        if self._scheduler is None:
            self.casualties += [m.process for m in self._members.values() if m.process is not None and m.calls]
        self._members.clear()
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()
