"""How much memory a traced graph takes at its most, and whether there is as much.

A process that asks for more than there is gets killed without a word, so it is told before. The prediction goes
through the operations in the order of their making, holds every output until its last reader, and shares what
TensorFlow shares: values put into another shape, and those that are overwritten in place.
"""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from saliency_cli.autodiff.backward.kinds import ELEMENTWISE
from saliency_cli.errors import ModelError

_SAME = frozenset({"Identity", "Reshape", "Squeeze", "ExpandDims", "StopGradient", "EnsureShape"})
_IN_PLACE = ELEMENTWISE | {"AddN", "ReluGrad", "Relu6Grad", "EluGrad", "SigmoidGrad", "TanhGrad", "DivNoNan"}
_LITTLE = 2**30


def require_room(graph: Any, device: str, batch: int, *, fixed: bool = False) -> None:
    """Raise `ModelError` where one batch of a graph takes more memory than is free. GPUs tell for themselves.

    `fixed`: the model takes no other batch size.
    """
    if "CPU" not in device.upper() or _all_outputs(graph) < _LITTLE:
        return
    needed, left = predicted(graph), available()
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


def predicted(graph: Any) -> int:
    """Return the bytes that a graph's floating values of known shape take at their most."""
    operations = _needed(graph)
    readers = Counter(tensor.name for operation in operations for tensor in operation.inputs)
    readers.update(tensor.name for tensor in graph.outputs)
    held: dict[str, _Buffer] = {}
    total = most = 0
    for operation in operations:
        given = [held[tensor.name] for tensor in operation.inputs if tensor.name in held]
        for buffer in given:
            buffer.readers -= 1
        dying = [buffer for buffer in dict.fromkeys(given) if not buffer.readers]
        sizes = [_bytes(tensor) for tensor in operation.outputs]
        reused = _reused(operation, given, dying, sizes)
        for tensor, size in zip(operation.outputs, sizes, strict=True):
            buffer = reused or _Buffer(size)
            buffer.readers += readers[tensor.name]
            held[tensor.name] = buffer
            total += 0 if reused else size
        most = max(most, total)
        total -= sum(buffer.size for buffer in dying if buffer is not reused)
    return most


def _all_outputs(graph: Any) -> int:
    return sum(_bytes(tensor) for operation in graph.get_operations() for tensor in operation.outputs)


def _needed(graph: Any) -> list[Any]:
    """Return the operations that lead to a graph's outputs, in the order of their making."""
    found = {tensor.op.name for tensor in graph.outputs}
    needed = []
    for operation in reversed(graph.get_operations()):
        if operation.name in found:
            needed.append(operation)
            found.update(tensor.op.name for tensor in operation.inputs)
    return needed[::-1]


class _Buffer:
    def __init__(self, size: int) -> None:
        self.size, self.readers = size, 0


def _reused(operation: Any, given: list[_Buffer], dying: Iterable[_Buffer], sizes: list[int]) -> _Buffer | None:
    """Return the buffer an operation's one output is written into or is, where that is one it was given."""
    if len(sizes) != 1 or not given:
        return None
    if operation.type in _SAME:
        return given[0]
    same = (buffer for buffer in dying if buffer.size == sizes[0])
    return next(same, None) if operation.type in _IN_PLACE else None


def _bytes(tensor: Any) -> int:
    count = tensor.shape.num_elements() if tensor.shape.rank is not None else None
    return (count or 0) * tensor.dtype.size if tensor.dtype.is_floating else 0


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
