"""The screening's own process: sets its limits, reads one model, writes one line of JSON and ends."""

import contextlib
import gc
import json
import os
import sys
from typing import Any

from saliency_cli.errors import ModelError

_DAMAGED = "was it copied or downloaded whole?"


def main(request: dict[str, Any]) -> None:
    """Answer one request on stdout. What kills this process is told by its parent."""
    answer = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # nothing else may write into the answer
    gc.disable()  # parsed JSON has no cycles, and looking for them in millions of parts takes seconds
    _limit(request["seconds"], request["memory"], request["max_bytes"])
    json.dump(_answered(request), answer)
    answer.flush()
    os._exit(0)  # a damaged file can make HDF5 fail while it closes; there is nothing left to do


def _answered(request: dict[str, Any]) -> dict[str, Any]:
    from saliency_cli.models.screening.classes import Rules
    from saliency_cli.models.screening.reading import read

    path = request["path"]
    rules = Rules(trust=request["trust"], custom=request["custom"], replaced=frozenset(request["replaced"]))
    try:
        if request.get("describe") is not None:
            return _described(path, rules, request)
        return {"read": read(path, rules, request["max_bytes"])}
    except ModelError as error:
        return _error(error.message, error.hint, error.reason)
    except MemoryError:
        memory = request["memory"] >> 20
        return _error(f"'{path}' is refused: reading it takes more than {memory} MiB", _DAMAGED, "refused-size")
    except RecursionError:
        return _error(f"'{path}' is refused: its configuration is nested too deep", _DAMAGED, "refused-size")
    except ImportError as error:
        return _error(f"'{path}' can't be screened: {error}", "is h5py installed whole?", "screening")
    except PermissionError:
        return _error(f"'{path}' can't be read: permission denied", f"chmod +r {path}", "unreadable")
    except Exception as error:  # noqa: BLE001 - whatever a damaged file raises in a parser means: damaged
        why = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        return _error(f"'{path}' is damaged: {why.encode('unicode_escape').decode()}", _DAMAGED, "damaged")


def _described(path: str, rules: Any, request: dict[str, Any]) -> dict[str, Any]:
    from saliency_cli.models.description.reading import describe

    told, error = describe(path, rules, request["max_bytes"], request["describe"])
    answer = {} if error is None else _error(error.message, error.hint, error.reason)
    return {**answer, "description": None if told is None else told.plain()}


def _error(message: str, hint: str, reason: str) -> dict[str, Any]:
    return {"error": {"message": message, "hint": hint, "reason": reason}}


def _limit(seconds: int, memory: int, file_bytes: int) -> None:
    """Bound this process's processor time, memory and files, where the system can."""
    if sys.platform == "win32":
        return
    import resource

    for what, most in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(what, (most, most))
