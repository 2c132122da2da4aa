"""Occlusion: how much the target falls when a window that slides over the input is hidden.

Definition
    φ = at each value the mean, over the windows W that cover it, of s(x) − s(x with W as in the baseline).
    Windows slide over rows and columns of a picture, the time steps of a signal, every axis of places of
    any other array; a place's channels are hidden together and share one φ. The columns of a table have
    no order and are hidden one at a time. Windows begin at 0, stride, 2·stride, …; the last one ends at the
    border, so every value is covered by whole windows. Several inputs are hidden one at a time.
    `auto` is a window of an eighth of each axis, and a stride of half a window.

When it misleads
    A hole is a shape of its own, which the model may react to; one window says nothing of what two would
    do together (of two copies of one clue, neither is missed). The map is as coarse as the window, and
    relative to the baseline: hiding black by black shows nothing.

Source
    Zeiler, Fergus 2014, Visualizing and Understanding Convolutional Networks, arXiv:1311.2901, section 4.2.

Differs from
    PAIR saliency, which sums over windows, so the middle, covered more often, seems to matter more; Xplique
    and zennit, which never cover what is left at the right and bottom; tf-explain, which shows 1 − p.
"""

import itertools
import re
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta

from saliency_cli.asking import ask_values
from saliency_cli.differentiable import Array, Arrays, Attributing, Explanation, Reduce, Sample
from saliency_cli.errors import InputError, UsageError
from saliency_cli.features import Absent
from saliency_cli.layout import is_table, places

__all__ = ["Occlusion"]

Window = tuple[slice, ...]


@dataclass(frozen=True)
class Occlusion:
    """φ = mean over windows of the fall of the target."""

    window: Annotated[str, Meta(description="size of the window: auto, a number, or one an axis: 16x8")] = "auto"
    stride: Annotated[str, Meta(description="step of the window: auto, a number, or one an axis: 8x4")] = "auto"
    baseline: Absent = "black"

    reduce: ClassVar[Reduce] = "mean"
    unit: ClassVar[str] = "target"
    signed: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name, text in (("window", self.window), ("stride", self.stride)):
            _sizes(name, text)

    def attribute(self, sample: Sample) -> Attributing:
        """Ask for the value with each window hidden, the sample itself first."""
        absent = sample.baseline(self.baseline)
        starts = {name: self._starts(sample, name) for name in sample.floating}
        counts = [int(np.prod([len(along) for along in axes])) for _, axes in starts.values()]
        ends = np.cumsum(counts)

        def window(i: int) -> tuple[str, Window]:
            at = int(np.searchsorted(ends, i, "right"))
            name = sample.floating[at]
            sizes, axes = starts[name]
            place = np.unravel_index(i - (int(ends[at]) - counts[at]), [len(along) for along in axes])
            firsts = [along[int(k)] for along, k in zip(axes, place, strict=True)]
            return name, tuple(slice(first, first + size) for first, size in zip(firsts, sizes, strict=True))

        def point(i: int, out: Arrays) -> None:
            sample.write(out)
            if i:
                name, hidden = window(i - 1)
                out[name][hidden] = absent[name][hidden]

        falls = {name: np.zeros(sample.inputs[name].shape) for name in sample.floating}
        covers = {name: np.zeros(sample.inputs[name].shape) for name in sample.floating}
        whole = 0.0

        def take(start: int, values: Array) -> None:
            nonlocal whole
            whole = float(values[0]) if start == 0 else whole
            for i in range(max(start, 1), start + len(values)):
                name, hidden = window(i - 1)
                falls[name][hidden] += whole - values[i - start]
                covers[name][hidden] += 1

        yield from ask_values(1 + sum(counts), point, take)
        values = {name: np.asarray(falls[name] / np.maximum(covers[name], 1), np.float32) for name in falls}
        same = all(np.array_equal(sample.inputs[name], absent[name]) for name in sample.floating)
        return Explanation(values, {"windows": float(sum(counts))}, ("baseline-is-input",) if same else ())

    def _starts(self, sample: Sample, name: str) -> tuple[list[int], list[list[int]]]:
        """Return the window's size and where it begins, for every axis of an input."""
        shape, axes = sample.inputs[name].shape, places(sample, name)
        table = is_table(sample, name)
        given = {"window": _sizes("window", self.window), "stride": _sizes("stride", self.stride)}
        for option, numbers in given.items():
            alone = all(is_table(sample, other) for other in sample.floating)
            if numbers and table and alone and set(numbers) != {1}:
                raise InputError(
                    f"occlusion: the input '{name}' is a table, whose columns are hidden one at a time; {option}="
                    f"{getattr(self, option)} came",
                    hint="-p window=1, or -m feature-ablation -p features=FILE.npy to hide columns together",
                    reason="wrong-window",
                )
            if numbers and not table and len(numbers) not in (1, len(axes)):
                raise InputError(
                    f"occlusion: {option}={getattr(self, option)} has {len(numbers)} numbers, and the input '{name}' "
                    f"{len(axes)} axes of places ({'×'.join(str(shape[axis]) for axis in axes)})",
                    hint=f"-p {option}={'x'.join(['8'] * len(axes))}",
                    reason="wrong-window",
                )
        sizes, starts = list(shape), [[0] for _ in shape]
        for position, axis in enumerate(axes):
            n = shape[axis]
            size = 1 if table else min(_at(given["window"], position) or -(-n // 8), n)
            stride = 1 if table else _at(given["stride"], position) or -(-size // 2)
            if stride > size:
                raise InputError(
                    f"occlusion: a stride of {stride} leaves gaps between windows of {size} in the input '{name}'",
                    hint=f"-p stride={size}, or less",
                    reason="wrong-window",
                )
            sizes[axis], starts[axis] = size, [*range(0, n - size, stride), n - size]
        return sizes, starts


def _sizes(option: str, text: str) -> tuple[int, ...]:
    """Return the numbers of `16x8`, none for `auto`. Raises `UsageError`."""
    if text == "auto":
        return ()
    parts = re.split("[x×]", text)
    if not all(part.isascii() and part.isdigit() and int(part) for part in parts):
        raise UsageError(f"{option}={text}: auto, a number, or numbers such as 16x8", reason="bad-option")
    return tuple(map(int, parts))


def _at(numbers: tuple[int, ...], position: int) -> int:
    """Return the number for an axis, 0 where none was given."""
    return next(itertools.islice(itertools.cycle(numbers), position, None)) if numbers else 0
