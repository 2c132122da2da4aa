"""A model file read for danger before anything of it is loaded, in a process of its own.

The reading runs while TensorFlow is imported: `start` at the beginning of a command, `result` before the
model is loaded. It parses HDF5, which a damaged file can crash or hang; the other process dies then, and
here that is a message. It never says that a file is safe: only that no known risk was found.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from saliency_cli.errors import ModelError
from saliency_cli.models.limits import GRAPH_BYTES, WEIGHT_BYTES
from saliency_cli.models.screening.place import graph_size, local_size

MAX_BYTES = WEIGHT_BYTES
MEMORY = 1 << 30
_GRAPH_COPIES = 3
_SECONDS = 5
_BYTES_A_SECOND = 20 << 20
_WAIT = 24
"""How much longer than its processor time the reading may take: a machine may be busy, or asleep for a while."""

_START = (
    "import json,sys;r=json.loads(sys.argv[1]);sys.path+=r['places'];"
    "from saliency_cli.models.screening.child import main;main(r)"
)


@dataclass(frozen=True)
class Screened:
    """A model that was read and not refused.

    `findings`: what the user's trust lifted, one sentence each. `lambdas`: names of the Lambda layers.
    `numbers`: how many numbers the weights hold, where that was read. `format`: what the content is.
    """

    sha256: str
    size: int
    format: str
    findings: tuple[str, ...] = ()
    lambdas: tuple[str, ...] = ()
    numbers: int | None = None


class Reading:
    """A reading under way; leaving its `with` block ends it."""

    def __init__(self, process: "subprocess.Popen[bytes]", path: str, seconds: int) -> None:
        self._process, self._path, self._seconds = process, path, seconds
        self._deadline = time.monotonic() + _WAIT * seconds
        self._told: dict[str, Any] | None = None

    def result(self) -> Screened:
        """Wait for the reading. Raises `ModelError` for a model that was refused or is damaged."""
        told = self.answer()
        if "error" in told:
            raise ModelError(**{"message": "", **told["error"]})
        return _screened(told["read"])

    def answer(self) -> dict[str, Any]:
        """Wait for what the other process says. Raises `ModelError` where it ended without a word."""
        if self._told is None:
            try:
                answer, _ = self._process.communicate(timeout=max(0.0, self._deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                raise self._hung() from None
            finally:
                self.close()
            self._told = self._parsed(answer)
        return self._told

    def close(self) -> None:
        """End the reading, whether or not it is done."""
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _parsed(self, answer: bytes) -> dict[str, Any]:
        code = self._process.returncode
        killed = (-signal.SIGKILL, -getattr(signal, "SIGXCPU", 0)) if os.name == "posix" else ()
        if code in killed:
            raise self._hung()
        try:
            told: dict[str, Any] = json.loads(answer)
        except ValueError:
            if code == 1:
                raise ModelError(
                    f"'{self._path}' can't be screened: its process failed",
                    hint="is saliency installed whole?",
                    reason="screening",
                ) from None
            raise _damaged(self._path, "the HDF5 library crashed while reading it") from None
        return told

    def _hung(self) -> ModelError:
        return _damaged(self._path, f"reading it did not end within {self._seconds} s")


def _screened(told: dict[str, Any]) -> Screened:
    return Screened(
        sha256=told["sha256"],
        size=told["size"],
        format=told["format"],
        findings=tuple(told["findings"]),
        lambdas=tuple(told["lambdas"]),
        numbers=told["numbers"],
    )


def start(
    path: Path,
    *,
    trust: bool,
    custom: bool = False,
    replaced: tuple[str, ...] = (),
    max_bytes: int = MAX_BYTES,
    describe: dict[str, Any] | None = None,
) -> Reading:
    """Begin to read a model for danger. Raises `ModelError` for what is no file or directory of this machine.

    `trust` lifts the rules about code and nothing else; `custom` says that a file with the model's own
    classes was given; `replaced` names the Lambda layers that will be replaced before the model is built.
    `describe`, options of opening, asks what the model is as well.
    """
    size = local_size(path)
    seconds = _SECONDS + size // _BYTES_A_SECOND
    request = {
        "path": os.fspath(path),
        "trust": trust,
        "custom": custom,
        "replaced": list(replaced),
        "max_bytes": max_bytes,
        "memory": MEMORY + _GRAPH_COPIES * min(graph_size(path), GRAPH_BYTES),
        "seconds": seconds,
        "places": _places(),
        "describe": describe,
    }
    command = [sys.executable, "-I", "-S", "-X", "utf8", "-c", _START, json.dumps(request)]
    try:
        process = subprocess.Popen(  # noqa: S603 - this Python, running this package
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_environment()
        )
    except OSError as error:
        raise ModelError(f"'{path}' can't be screened: {error.strerror}", reason="screening") from error
    return Reading(process, os.fspath(path), seconds)


def screen(
    path: Path, *, trust: bool, custom: bool = False, replaced: tuple[str, ...] = (), max_bytes: int = MAX_BYTES
) -> Screened:
    """Read a model for danger and wait for the answer. Raises `ModelError` as `start` and `result` do."""
    with start(path, trust=trust, custom=custom, replaced=replaced, max_bytes=max_bytes) as reading:
        return reading.result()


def require_same(screened: Screened, sha256: str, path: Path) -> None:
    """Raise `ModelError` if what was loaded is not what was read for danger."""
    if sha256 != screened.sha256:
        raise ModelError(
            f"'{path}' changed between being read for danger and being loaded",
            hint="wait until it is written, then run again",
            reason="changed",
        )


def _places() -> list[str]:
    """Return where the other process finds h5py, NumPy and this package: it has no other search path."""
    places = []
    for name in ("numpy", "h5py", "google.protobuf", "saliency_cli"):
        found = find_spec(name)
        if found is not None and found.origin is not None:
            places.append(str(Path(found.origin).parents[1 + name.count(".")]))
    return list(dict.fromkeys(places))


def _environment() -> dict[str, str]:
    """Return an environment without what could change the reading: no plug-ins of HDF5, one thread."""
    kept = {
        name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR") if name in os.environ
    }
    return {
        **kept,
        "HDF5_PLUGIN_PRELOAD": "::",
        "HDF5_USE_FILE_LOCKING": "FALSE",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }


def _damaged(path: str, why: str) -> ModelError:
    return ModelError(f"'{path}' is damaged ({why})", hint="was it copied or downloaded whole?", reason="damaged")
