"""The way into a Dask cluster: the extra, the scheduler, and whether every worker is like this process."""

import asyncio
import contextlib
import json
import os
import re
import tempfile
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saliency_cli.engines.dask_tasks import Survey, survey
from saliency_cli.engines.dask_wire import Wire
from saliency_cli.errors import ModelError, OutputError, UsageError

PATIENCE = 60
"""Seconds to wait for a scheduler's answer, and while no worker is there: one that is started again takes ten."""

_CONNECTING = 15.0
_ANSWERING = 5.0
_ASKING = 0.2
_SHOWN = 4


def require_dask() -> None:
    """Raise `UsageError` where Dask is not installed. Imports nothing."""
    from importlib.util import find_spec

    if find_spec("distributed") is None:
        raise UsageError(
            "--engine dask and --scheduler need dask.distributed, which is not installed",
            hint="pip install 'saliency-cli[dask]'",
            reason="no-dask",
        )


def connect(scheduler: str) -> Wire:
    """Connect to a scheduler: its address, or the file in which it wrote it.

    Raises `UsageError` where there is none, `ModelError` where it does not answer.
    """
    import distributed

    given = _address(scheduler)
    with warnings.catch_warnings():
        # Of versions that differ: they are compared below, and told by worker.
        warnings.simplefilter("ignore")
        try:
            # Asked first: a client that found something else would wait for ever for it to become a scheduler.
            _require_scheduler(asyncio.run(asyncio.wait_for(_identity(given), _CONNECTING + _ANSWERING)))
            client = distributed.Client(
                given, timeout=_CONNECTING, set_as_default=False, direct_to_workers=False, name="saliency"
            )
        except (OSError, ValueError, TypeError, RuntimeError, ImportError, MemoryError) as error:
            # What is no length, read as one, is more than any memory.
            strange = isinstance(error, MemoryError) or (isinstance(error, TimeoutError) and not str(error))
            why = "something listens there, and does not answer as one does" if strange else _short(error)
            tls = "; tls:// needs certificates in Dask's configuration" if given.startswith("tls") else ""
            raise UsageError(
                f"--scheduler {scheduler}: there is no Dask scheduler at {given}: {why}",
                hint=f"start one with 'dask scheduler' and give the address that it prints{tls}",
                reason="no-scheduler",
            ) from error
    return Wire(client)


async def _identity(address: str) -> Any:
    """Return what a server of Dask says it is. Raises what connecting raises."""
    import distributed
    from distributed.comm import connect as connected

    given = distributed.Security().get_connection_args("client")
    if address.startswith("tls") and given.get("ssl_context") is None:
        raise ValueError("no certificates are named")
    comm = await connected(address, timeout=_CONNECTING, **given)
    try:
        await comm.write({"op": "identity", "reply": True})
        return await comm.read()
    finally:
        comm.abort()


def _require_scheduler(told: Any) -> None:
    kind = told.get("type") if isinstance(told, Mapping) else None
    if kind != "Scheduler":
        raise ValueError(f"it is a {kind} of Dask" if kind else "it does not say what it is")


def _address(scheduler: str) -> str:
    if "://" in scheduler:
        if not scheduler.startswith(("tcp://", "tls://")):
            raise UsageError(
                f"--scheduler {scheduler}: expected tcp://HOST:PORT, tls://HOST:PORT, or a scheduler file",
                reason="no-scheduler",
            )
        return scheduler
    try:
        address = json.loads(Path(scheduler).read_bytes())["address"]
        if not (isinstance(address, str) and "://" in address):
            raise TypeError
        return address
    except OSError as error:
        why = error.strerror or str(error)
    except (ValueError, KeyError, TypeError):
        why = "it holds no address of a scheduler"
    named = scheduler or "''"
    raise UsageError(
        f"--scheduler {named}: {why}",
        hint=f"--scheduler tcp://{scheduler}"
        if re.fullmatch(r"[\w.-]+:\d+", scheduler)
        else "tcp://HOST:PORT, or the file that 'dask scheduler --scheduler-file FILE' writes",
        reason="no-scheduler",
    )


def _short(error: BaseException) -> str:
    return str(error).partition("\n")[0][:200] or type(error).__name__


@dataclass(eq=False)
class Shared:
    """The folder a run writes into, as every worker must see it: there, or where it is to be made."""

    folder: Path
    _marker: Path | None = None

    def mark(self) -> str:
        """Return a file that a worker must see. Raises `OutputError` where it can't be written."""
        if self._marker is None or not self._marker.exists():
            place = self.folder.absolute()
            while not place.is_dir():
                place = place.parent
            try:
                descriptor, name = tempfile.mkstemp(prefix=".saliency-", suffix=".seen", dir=place)
            except OSError as error:
                raise OutputError(
                    f"'{place}' can't be written to: {error.strerror}", reason="not-writable"
                ) from error
            os.close(descriptor)
            self._marker = Path(name)
        return str(self._marker)

    def unmark(self) -> None:
        """Remove that file."""
        if self._marker is not None:
            with contextlib.suppress(OSError):
                self._marker.unlink(missing_ok=True)


def wait_for_worker(wire: Wire, scheduler: str) -> None:
    """Wait until a worker is there. Raises `UsageError` where none comes."""
    waited = 0.0
    while not wire.addresses():
        if waited > PATIENCE:
            raise UsageError(
                f"--scheduler {scheduler}: no worker has joined it in {PATIENCE} s",
                hint=f"dask worker {scheduler} --nthreads 1",
                reason="no-workers",
            )
        time.sleep(_ASKING)
        waited += _ASKING


def require_alike(wire: Wire, own: Survey, folder: str, marker: str) -> list[str]:
    """Compare every worker that is there with this process, and return their addresses.

    Raises `UsageError` that names those that differ.
    """
    if lacking := wire.scheduler_lacks(survey, folder, marker):
        raise UsageError(
            f"the scheduler can't pass on what workers are to do: {_short(lacking)}",
            hint="install saliency-cli[dask] where it runs too, and start it again",
            reason="versions-differ",
        )
    found: Mapping[str, Any] = wire.ask(wire.addresses(), survey, folder, marker)
    different = {address: why for address, told in found.items() if (why := difference(own, told, folder))}
    if not different:
        return [address for address, told in found.items() if isinstance(told, Survey)]
    shown = [f"{address} {why}" for address, why in sorted(different.items())[:_SHOWN]]
    more = f"; and {len(different) - _SHOWN} more" if len(different) > _SHOWN else ""
    blind = all(isinstance(found[address], Survey) and not found[address].sees for address in different)
    raise UsageError(
        f"{len(different)} of {len(found)} workers can't take part: {'; '.join(shown)}{more}",
        hint="a folder that every worker sees is needed: run in one, with -o in it"
        if blind
        else "install the same versions on every worker, and start them again",
        reason="shared-folder" if blind else "versions-differ",
    )


def difference(own: Survey, told: Any, folder: str) -> str:
    """Return how a worker differs from this process, empty where it does not. `told`: its survey, or an error."""
    if isinstance(told, OSError):
        return ""  # it went while it was asked
    if isinstance(told, ImportError):
        return f"has no saliency of this version ({_short(told)})"
    if isinstance(told, BaseException):
        return f"can't be asked: {type(told).__name__}: {_short(told)}"
    versions = [
        f"{package} {told.versions.get(package, 'missing')} where this process has {version}"
        for package, version in own.versions.items()
        if told.versions.get(package) != version
    ]
    if versions:
        return f"has {', '.join(versions)}"
    return "" if told.sees else f"does not see '{folder}', or can't write there"


def lost(scheduler: str, why: str) -> ModelError:
    """Return the error of a run that has lost its cluster."""
    return ModelError(
        f"the Dask cluster at {scheduler} is lost: {why}",
        hint="what is finished is kept: --resume goes on with it",
        reason="cluster",
    )
