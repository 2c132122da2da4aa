"""How far values of a file may go: a range for all inputs of a model, or one for each by its name."""

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

from saliency_cli.errors import InputError, UsageError, nearest
from saliency_cli.runs.feeding import Part

Range = tuple[float, float]
Ranges = Mapping[str, Range]
"""The name of an input → its lowest and highest value; the empty name: of every other."""


def ranges_of(told: Range | Ranges | None) -> Ranges:
    """Return ranges by name, of one pair or of pairs by name. Raises `UsageError` for what is no pair."""
    ranges = {} if told is None else dict(told) if isinstance(told, Mapping) else {"": told}
    for name, ends in ranges.items():
        if not _is_range(ends):
            raise UsageError(
                f"the valid range{f' of {name}' if name else ''} is {ends!r}; it is a lowest value and one above it",
                hint="(0, 1), or {'name': (0, 1)} for one input",
                reason="bad-option",
            )
    return {name: (float(low), float(high)) for name, (low, high) in ranges.items()}


def _is_range(ends: Any) -> bool:
    numbers = isinstance(ends, Sequence) and len(ends) == 2 and all(isinstance(end, Real) for end in ends)
    return numbers and ends[0] < ends[1]


def recorded(ranges: Ranges) -> Range | dict[str, Range] | None:
    """Return ranges as they are told: one for all is a pair."""
    return dict(ranges) if set(ranges) - {""} else ranges.get("")


def require_moved(ranges: Ranges, inputs: Sequence[str], moved: Sequence[str], verb: str = "moved") -> None:
    """Raise `UsageError` for a range of what is no input, or of one that is held. `verb`: what is done to others."""
    for name in ranges:
        if name and name not in moved:
            held = f"the input '{name}' is not {verb}" if name in inputs else "the model has no input of that name"
            known = f"inputs that are {verb}: {', '.join(moved)}"
            meant = nearest(name, tuple(moved))
            raise UsageError(f"--valid-range {name}: {held}", hint=f"{meant} {known}" if meant else known)


def range_of(name: str, part: Part, ranges: Ranges) -> Range:
    """Return the lowest and highest value of one input's file.

    Pictures, and bytes of a picture's shape, have 0 to 255 unless they are named.

    Raises:
        InputError: reason `no-range` where nobody told, `range-of-bytes` where no whole steps of 0 to 255 are in it.
    """
    told = ranges.get(name)
    if told is None and (part.layout != "picture" or not part.whole):
        told = ranges.get("")
    if part.whole:
        return (0.0, 255.0) if told is None else of_bytes(name, told)
    if told is None:
        raise InputError(
            f"how far a value of the input '{name}' may go is not known",
            hint=in_units(name, several=bool(ranges)),
            reason="no-range",
        )
    return told


def of_bytes(name: str, told: Range) -> Range:
    """Return the whole steps of 0 to 255 within a range. Raises `InputError` where there are fewer than two."""
    low, high = max(0.0, math.ceil(told[0])), min(255.0, math.floor(told[1]))
    if not low < high:
        raise InputError(
            f"the input '{name}' holds whole steps of 0 to 255, and {told[0]:g} to {told[1]:g} leaves none to move",
            hint=f"--valid-range {name}=0,255",
            reason="range-of-bytes",
        )
    return low, high


def in_units(name: str, *, several: bool) -> str:
    """Return what to type for an input's range: by its name where there are `several`."""
    return f"--valid-range {f'{name}=' if several else ''}LOW,HIGH in the file's own units"
