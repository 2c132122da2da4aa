"""Whether there is as much memory as a traced graph takes.

A process that asks for more than there is gets killed without a word, so it is told before.
"""

import re
from pathlib import Path
from typing import Any

from saliency_cli.autodiff.liveness import everything, peak
from saliency_cli.errors import ModelError

_LITTLE = 2**30


def require_room(graph: Any, device: str, batch: int, *, fixed: bool = False) -> None:
    """Raise `ModelError` where one batch of a graph takes more memory than is free. GPUs tell for themselves.

    `fixed`: the model takes no other batch size.
    """
    if "CPU" not in device.upper() or everything(graph) < _LITTLE:
        return
    needed, left = peak(graph), available()
    if left is not None and needed > left:
        raise too_large(
            f"takes about {needed / 1e9:.0f} GB of memory here, and {left / 1e9:.0f} GB are free", batch, fixed
        )


def too_large(why: str, batch: int, fixed: bool) -> ModelError:
    """Return the refusal of a batch that there is no memory for."""
    smaller = batch > 1 and not fixed
    return ModelError(
        f"{f'a batch of {batch}' if batch > 1 else 'one sample'} {why}",
        hint="--batch-size 1" if smaller else "a smaller input, or a method that holds less, such as gradient",
        reason="memory",
    )


def available() -> int | None:
    """Return the bytes that this process can still have, None where the system doesn't tell."""
    found = [value for value in (_machine(), _group(), _process()) if value is not None]
    return min(found) if found else None


def _machine() -> int | None:
    text = _read("/proc/meminfo")
    match = re.search(r"^MemAvailable:\s+(\d+) kB", text, re.MULTILINE)
    return int(match[1]) * 1024 if match else None


def _group() -> int | None:
    """Return what a container's limit leaves."""
    limit, used = (_read(f"/sys/fs/cgroup/memory.{name}").strip() for name in ("max", "current"))
    return max(0, int(limit) - int(used)) if limit.isdigit() and used.isdigit() else None


def _process() -> int | None:
    """Return what the process's own limit (`ulimit -v`) leaves."""
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    pages = _read("/proc/self/statm").split()
    if limit == resource.RLIM_INFINITY or not pages:
        return None
    return max(0, limit - int(pages[0]) * resource.getpagesize())


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""
