"""A Dask cluster of this machine, on loopback, in a process group of its own that ends with the run.

Its scheduler and its nannies live in one process beside ours: Ctrl-C is for us alone, and whatever becomes of us,
no worker is left.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from typing import Any

from saliency_cli.errors import ModelError

_STARTING = 120.0
"""Seconds for a scheduler and its workers to be there: Python starts twice, on a machine that may be busy."""

_ALLOWED_FAILURES = 1


@dataclass(eq=False)
class LocalCluster:
    """A running cluster. `address` is its scheduler's."""

    address: str
    _process: "subprocess.Popen[bytes]"
    _link: socket.socket
    _scratch: str

    @classmethod
    def start(cls, workers: int) -> "LocalCluster":
        """Start a scheduler and `workers` workers. Raises `ModelError` where they don't come."""
        ours, theirs = socket.socketpair()
        path = json.dumps(sys.path)
        scratch = tempfile.mkdtemp(prefix="saliency-dask-")
        with theirs:
            process = subprocess.Popen(  # noqa: S603 - this Python, running this package
                # -P: what lies in the current folder is no module of ours, nor of the workers.
                [
                    sys.executable,
                    "-P",
                    "-c",
                    _START,
                    str(theirs.fileno()),
                    str(workers),
                    scratch,
                    path,
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                process_group=0,
            )
        cluster = cls("", process, ours, scratch)
        try:
            cluster.address = cluster._told()
        except BaseException:
            cluster.close()
            raise
        return cluster

    def _told(self) -> str:
        self._link.settimeout(_STARTING)
        try:
            with self._link.makefile("r") as lines:
                told: dict[str, str] = json.loads(lines.readline() or "{}")
        except TimeoutError:
            told = {"error": f"it did not start within {_STARTING:.0f} s"}
        if "address" not in told:
            raise ModelError(
                f"Dask can't start a cluster on this machine: {told.get('error', 'its process ended')}",
                hint="--jobs N does the same without Dask",
                reason="cluster",
            )
        return told["address"]

    def close(self) -> None:
        """End it at once: what its workers hold is known here, or done again."""
        end_group(self._process.pid)
        self._process.wait()
        self._link.close()
        shutil.rmtree(self._scratch, ignore_errors=True)


def end_group(pid: int) -> None:
    """End a process and all that it started in its group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def main(descriptor: int, workers: int, scratch: str) -> None:
    """Be the cluster's process: start it, tell its address, and end the group when the other end is closed."""
    link = socket.socket(fileno=descriptor)
    threading.Thread(target=_end_with, args=(link,), daemon=True).start()
    try:
        told = {"address": _started(workers, scratch)}
    except Exception as error:  # noqa: BLE001 - told in one line
        told = {"error": f"{type(error).__name__}: {error}"}
    link.sendall(json.dumps(told).encode() + b"\n")
    threading.Event().wait()


def _end_with(link: socket.socket) -> None:
    select.select([link], [], [])
    os.killpg(os.getpgrp(), signal.SIGKILL)


_running: list[Any] = []


def _started(workers: int, scratch: str) -> str:
    import dask
    import distributed

    dask.config.set(
        {
            "distributed.scheduler.allowed-failures": _ALLOWED_FAILURES,
            "distributed.comm.require-encryption": False,
            # TensorFlow's memory is none of Dask's to watch, and a model may well need most of it.
            "distributed.worker.memory.terminate": False,
            # A worker computes as one process alone would: NumPy's threads are no other in number.
            "distributed.nanny.pre-spawn-environ": {},
            "distributed.worker.profile.enabled": False,
            # What listens beside the scheduler serves nothing.
            "distributed.scheduler.http.routes": [],
            "distributed.worker.http.routes": [],
            "distributed.nanny.http.routes": [],
            "temporary-directory": scratch,
        }
    )
    cluster = distributed.LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address=None,
        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # not the port that people look at
        protocol="tcp",
        security=distributed.Security(require_encryption=False),
        memory_limit=0,
        silence_logs=60,
        local_directory=scratch,
    )
    _running.append(cluster)
    return str(cluster.scheduler_address)


_START = (
    "import json,sys;sys.path[:]=json.loads(sys.argv[4]);"
    "from saliency_cli.engines.dask_local import main;main(int(sys.argv[1]),int(sys.argv[2]),sys.argv[3])"
)
