"""A run over workers: sources handed out, records journalled here as they come back, the dead accounted for."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from saliency_cli.engines.protocol import Executor, Task
from saliency_cli.errors import UsageError
from saliency_cli.records import ErrorRecord, ItemRecord
from saliency_cli.runs.checking import stacked
from saliency_cli.runs.destination import Destination
from saliency_cli.runs.journal import Done
from saliency_cli.runs.ledger import Ledger
from saliency_cli.runs.listening import Listener
from saliency_cli.runs.preparing import OpenEngine
from saliency_cli.runs.relaying import Found, Given, Skipped
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.sources import STDIN, Source
from saliency_cli.runs.worker import Order, open_worker

_FEW = 100
_WORKER_BYTES = 1 << 30
"""What a worker with TensorFlow and a model of some size takes."""
_LEAST_BYTES = 1 << 28
"""What no worker with TensorFlow does without."""


@dataclass(eq=False)
class Distributed:
    """The samples of a run on their way through workers."""

    executor: Executor
    ledger: Ledger

    def run(self, sources: Iterable[Source]) -> None:
        """Carry every source through."""
        try:
            self.executor.carry((Given(source, self._known(source)) for source in sources), self)
        finally:
            self.executor.close()
            if self.ledger.journal is not None:
                self.ledger.journal.sweep(self.executor.casualties)

    def _known(self, source: Source) -> Mapping[str, Done]:
        """Return what the run before finished of a source, or of its rows."""
        done = self.ledger.done
        if stacked(source):
            rows = self._rows.get(source.id, [source.id])
            return {identity: done[identity] for identity in rows if identity in done}
        return {source.id: done[source.id]} if source.id in done else {}

    @cached_property
    def _rows(self) -> Mapping[str, list[str]]:
        rows: dict[str, list[str]] = {}
        for identity in self.ledger.done:
            stack, sign, row = identity.rpartition("#")
            if sign and row.isdecimal():
                rows.setdefault(stack, []).append(identity)
        return rows

    def found(self, item: Given, found: Found | Skipped) -> None:  # noqa: ARG002 - the engine's protocol
        """Journal what a worker found of a sample."""
        if isinstance(found, Skipped):
            self.ledger.skip(found.id)
        else:
            self.ledger.record((found.record, b""), found.parcel)

    def lost(self, item: Given, how: str) -> None:
        """Journal a source that a worker died of."""
        error = ErrorRecord(
            reason="worker-died",
            message=f"the worker that had nothing else to do died of it: {how}",
            hint="--jobs 1 with this input alone shows more",
        )
        self.ledger.record((ItemRecord(id=item.source.id, status="error", error=error), b""))

    def enough(self) -> bool:
        """Return whether too many inputs have failed."""
        return self.ledger.stopped


def workers(request: ComputeRequest, destination: Destination, sources: Iterable[Source] | None) -> int:
    """Return how many workers of this machine carry a run: 1 for none but this process, unless it is clustered.

    Raises `UsageError` for what only one process can read or name.
    """
    taken = None if sources is None else list(sources)
    if taken is not None and request.shard is not None:
        taken = taken[request.shard[0] - 1 :: request.shard[1]]
    asked = request.jobs or (_fitting() if clustered(request) else 1)
    jobs = asked if taken is None else max(1, min(asked, len(taken)))
    word = f"--jobs {request.jobs}"
    if clustered(request):
        word = "--engine dask" if request.scheduler is None else "--scheduler"
    elif jobs < 2:
        return 1
    if request.scheduler is not None and request.jobs is not None:
        raise UsageError("--scheduler: the cluster has its workers, and --jobs starts some", hint="one of the two")
    if request.scheduler is None and jobs * _LEAST_BYTES > _memory():
        raise UsageError(
            f"{word}: {jobs} workers take some {jobs * 0.7:.0f} GB, and this machine has {_memory() / 1e9:.0f} GB",
            hint=f"--jobs {_fitting()}: as many as it has cores and memory for",
            reason="jobs-memory",
        )
    if any(path == STDIN for source in taken or () for _, path in source.parts):
        raise UsageError(f"{word}: a picture on stdin can be read by one process", hint="name the file")
    if destination.kind == "here" and destination.formats:
        raise UsageError(f"{word} writes into a run folder", hint="-o DIR/", reason="jobs-folder")
    return jobs


def undivided(request: ComputeRequest, sources: list[Source] | None) -> str:
    """Return what to tell where workers or shards are left idle, because the samples of a file stay together."""
    files = len(sources or ())
    word, many, idle = f"--jobs {request.jobs}", request.jobs or 1, "workers"
    if request.shard is not None and request.shard[1] > files:
        word, many, idle = f"--shard {request.shard[0]}/{request.shard[1]}", request.shard[1], "shards"
    if many <= files or not any(stacked(source) for source in sources or ()):
        return ""
    return (
        f"{word}: the samples of one file stay together, and there {'is 1' if files == 1 else f'are {files}'}: "
        f"{many - files} of {many} {idle} have nothing to do; split it into several to use them"
    )


def clustered(request: ComputeRequest) -> bool:
    """Whether a Dask cluster carries a run, however few its workers are."""
    return request.engine == "dask" or request.scheduler is not None


def _cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _fitting() -> int:
    """Return for how many workers this machine has cores and memory."""
    return max(1, min(_cores(), _memory() // _WORKER_BYTES))


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def executor_for(request: ComputeRequest, jobs: int, destination: Destination, listen: Listener) -> Executor:
    """Return the engine of a run."""
    if clustered(request):
        from saliency_cli.engines.dask import Cluster

        return Cluster(destination.root, scheduler=request.scheduler, workers=jobs, warn=listen.warning)
    from saliency_cli.engines.processes import Processes

    return Processes(jobs)


def task_for(request: ComputeRequest, jobs: int, sources: list[Source] | None, open_engine: OpenEngine) -> Task:
    """Return how each worker of a run is opened: with its part of the cores, unless --threads says how many.

    Of a cluster's machines nothing is known here: one core a worker.
    """
    cores = 1 if request.scheduler is not None else _cores()
    request = replace(request, threads=request.threads or max(1, cores // jobs), jobs=jobs)
    few = sources if sources is not None and len(sources) <= _FEW else None
    return Task(open_worker, Order(request, few, open_engine))
