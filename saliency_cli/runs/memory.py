"""`--max-memory` and `--batch-size`: how many points are computed at once, from what a batch is predicted to take.

Chosen once a run, before its first sample, and recorded. Sizes are 1 or multiples of 8, in which a map's bits don't
depend on its company.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from saliency_cli.errors import ModelError, UsageError
from saliency_cli.records import MemoryRecord

if TYPE_CHECKING:
    from saliency_cli.autodiff.compiled import Compiled

FREE_SHARE = 0.75
"""The part of the free memory that one batch may take where nobody says how much."""
_MARGIN = 1.1  # measured peaks were up to 1.07 of what was predicted
_AUTO = (128, 64, 32, 16, 8)
_CACHED = 512 * 10**6
"""Bytes above which a larger batch was no faster on a CPU: MobileNetV2 at 16 and 32, ResNet50 at 8 and 16."""
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


def parse_size(text: str) -> int:
    """Return the bytes of `500MB`, `1.5 GiB`, `2g`, `800000000`. Raises `UsageError` for what is no size."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?i?)b?\s*", text.lower())
    if found is None or found[2] not in _UNITS or not float(found[1]):
        raise UsageError(f"--max-memory: '{text}' is no size", hint="--max-memory 2GB, 500MB or 1.5GiB")
    return int(float(found[1]) * _UNITS[found[2]])


def told(size: float) -> str:
    """Return bytes as a user reads them, and may type them, rounded up: `3.1GB`, `240MB`, `98kB`."""
    if size >= 1e9:
        return f"{math.ceil(size / 1e8) / 10:.1f}GB"
    name, unit = next((each for each in (("MB", 1e6), ("kB", 1e3)) if size >= each[1]), ("B", 1))
    return f"{math.ceil(size / unit)}{name}"


@dataclass(frozen=True)
class Room:
    """How many bytes a batch may take, None where that isn't known.

    `given`: as --max-memory says, which `shared` processes have together.
    """

    limit: int | None
    given: bool = False
    shared: int = 1


def room_for(max_memory: str | None, device: str, jobs: int) -> Room:
    """Return the room of one batch on a device, for each of `jobs` processes of this machine.

    Of a GPU the free memory isn't asked for: there a batch that is too large is told in time, and halved.
    """
    if max_memory is not None:
        shared = max(1, jobs)
        return Room(parse_size(max_memory) // shared, given=True, shared=shared)
    if "CPU" not in device.upper():
        return Room(None)
    from saliency_cli.autodiff.memory import available

    free = available()
    return Room(None if free is None else int(free * FREE_SHARE) // max(1, jobs))


@dataclass(frozen=True, eq=False)
class Settled:
    """The evaluator of a run at the size that was chosen, and what is recorded of the choice."""

    evaluator: "Compiled"
    record: MemoryRecord
    notes: tuple[str, ...] = ()


def settle_batch(
    build: "Callable[[int], Compiled]",
    usual: int,
    asked: "int | Literal['auto'] | None",
    room: Room,
    *,
    fixed: bool,
    points: int | None,
    device: str,
) -> Settled:
    """Choose a run's batch size and compile for it.

    `usual`: what would be chosen without regard to memory. `asked`: a size is taken as it is; `auto` takes the
    largest of 8, 16, 32, 64, 128 that fits and is worth it; None the usual one, or a smaller that fits. `fixed`: the
    model takes no other. `points`: how many will be asked for in all, if that is known.

    Raises:
        UsageError: the size asked for takes more than --max-memory.
        ModelError: a single sample does (reason `memory`).
    """
    if fixed or isinstance(asked, int) or (asked is None and usual == 1 and not room.given):
        return _pinned(build(usual), asked, room)
    sizes = [size for size in (usual, 8, 1) if size <= usual]
    if asked == "auto" and usual > 1:
        sizes = _worth_it(build, room, points, cpu="CPU" in device.upper())
    for size in dict.fromkeys(sizes):
        try:
            evaluator = build(size)
            needed = int(_MARGIN * evaluator.footprint)
        except ModelError as error:
            if error.reason != "memory" or size == 1:
                raise
            continue
        if size == 1 or room.limit is None or needed <= room.limit:
            break
    if size == 1 and room.given and room.limit is not None and needed > room.limit:
        raise ModelError(
            f"one sample takes about {told(needed)}, and --max-memory leaves it {told(room.limit)}",
            hint=f"--max-memory {told(needed * room.shared)} at least, a smaller input, or a method that holds less",
            reason="memory",
        )
    notes: tuple[str, ...] = ()
    if asked is None and size < usual:
        notes = (f"batches of {size}, not {usual}, which would take more memory than there is for them",)
    return Settled(evaluator, MemoryRecord(limit=room.limit, predicted=needed), notes)


def _pinned(evaluator: "Compiled", asked: object, room: Room) -> Settled:
    if not room.given or room.limit is None:
        return Settled(evaluator, MemoryRecord())
    needed, size = int(_MARGIN * evaluator.footprint), evaluator.batch
    if needed > room.limit:
        raise UsageError(
            f"a batch of {size} takes about {told(needed)}, and --max-memory leaves it {told(room.limit)}",
            hint=f"{'--batch-size auto, or ' if asked else ''}--max-memory {told(needed * room.shared)} at least",
            reason="memory",
        )
    return Settled(evaluator, MemoryRecord(limit=room.limit, predicted=needed))


def _worth_it(build: "Callable[[int], Compiled]", room: Room, points: int | None, *, cpu: bool) -> list[int]:
    """Return the sizes to try for `auto`, the best first: no larger than the points fill, or a cache is quick for."""
    try:
        each = _MARGIN * build(8).footprint / 8
    except ModelError as error:
        if error.reason != "memory":
            raise
        return [1]
    bounds = [bound for bound in (room.limit, _CACHED if cpu else None) if bound is not None]
    filled = _AUTO[0] if points is None else max(8, points)
    return [*(size for size in _AUTO if size <= filled and all(each * size <= bound for bound in bounds)), 8, 1]
