"""Reference samples of expected gradients: arrays in files, in the model's own units, or kinds of baseline."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from saliency_cli.differentiable import Array, Arrays, Sample
from saliency_cli.errors import InputError, UsageError

Shapes = tuple[tuple[str, tuple[int, ...]], ...]
KINDS = ("black", "white", "zero", "mean", "min", "max", "blur", "noise")


@dataclass(frozen=True, eq=False)
class References:
    """`count` reference samples; `get(i)` returns the i-th one's floating arrays."""

    count: int
    get: Callable[[int], Arrays]


def require_references(text: str) -> None:
    """Raise `UsageError` unless the text names a file, a folder, or kinds of baseline separated by commas."""
    if not text:
        raise UsageError(
            "reference samples to compare with are needed: -p baselines=FILE.npy (n × the input's "
            "shape, in the model's units, such as 100 training samples), FILE.npz, a folder of them, or kinds of "
            f"baseline separated by commas, such as black,white ({', '.join(KINDS)})",
            hint="-p baselines=FILE.npy",
            reason="missing-baselines",
        )
    require_kinds(text)


def require_kinds(text: str) -> None:
    """Raise `UsageError` for what is neither kinds of baseline, separated by commas, nor a file or folder."""
    unknown = [part for part in text.split(",") if part not in KINDS]
    if unknown and not Path(text).exists():
        raise UsageError(
            f"baselines={text}: there is no such file or folder, and '{unknown[0]}' is no kind of baseline",
            hint=f"a file, a folder, or of {', '.join(KINDS)}",
            reason="unknown-baseline",
        )


def references_of(sample: Sample, text: str) -> References:
    """Return the reference samples that `text` names, checked against the sample. Raises `InputError`."""
    if not Path(text).exists():
        kinds = [sample.baseline(kind) for kind in text.split(",")]
        return References(len(kinds), kinds.__getitem__)
    files = _files(text)
    stacks = [_stacks(str(file), file.stat().st_mtime_ns, _shapes(sample)) for file in files]
    starts = np.cumsum([0, *(count for count, _ in stacks)])

    def get(i: int) -> Arrays:
        at = int(np.searchsorted(starts, i, "right")) - 1
        row = {name: np.asarray(stack[i - int(starts[at])]) for name, stack in stacks[at][1].items()}
        if not all(np.isfinite(array).all() for array in row.values()):
            raise InputError(
                f"the reference {i - int(starts[at])} in '{files[at]}' holds NaN or infinity",
                reason="wrong-baselines",
            )
        return row

    return References(int(starts[-1]), get)


def _files(text: str) -> list[Path]:
    path = Path(text)
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if file.suffix in (".npy", ".npz"))
    if not files:
        raise UsageError(f"the folder '{text}' holds no .npy or .npz", reason="unknown-baseline")
    return files


def _shapes(sample: Sample) -> Shapes:
    return tuple((name, sample.inputs[name].shape) for name in sample.floating)


@lru_cache(maxsize=64)
def _stacks(path: str, _modified: int, shapes: Shapes) -> tuple[int, dict[str, Array]]:
    """Return how many references a file holds, and each input's as a stack; an `.npy` stays on the disk."""
    arrays = _load(path)
    single = "" in arrays
    if single and len(shapes) > 1:
        raise InputError(
            f"'{path}' holds one array, and the model has the inputs {', '.join(name for name, _ in shapes)}",
            hint="an .npz with an array for each input, by its name",
            reason="wrong-baselines",
        )
    stacks = {}
    for name, shape in shapes:
        found = arrays.get("" if single else name)
        if found is None and len(arrays) == len(shapes) == 1:
            (found,) = arrays.values()
        if found is None:
            raise InputError(
                f"'{path}' has no references for the input '{name}', only {', '.join(arrays)}",
                reason="wrong-baselines",
            )
        stack = found[None] if found.shape == shape else found
        if stack.shape[1:] != shape or stack.dtype.kind not in "fiub":
            raise InputError(
                f"the references in '{path}' are {found.shape} {found.dtype}, and the input '{name}' takes "
                f"(n, {', '.join(map(str, shape))}) numbers in the model's own units",
                reason="wrong-baselines",
            )
        stacks[name] = stack
    counts = {len(stack) for stack in stacks.values()}
    if len(counts) != 1 or not min(counts):
        raise InputError(f"'{path}' holds {sorted(counts)} references for its inputs", reason="wrong-baselines")
    return counts.pop(), stacks


def _load(path: str) -> dict[str, Array]:
    try:
        loaded = np.load(path, mmap_mode="r" if os.fspath(path).endswith(".npy") else None, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"": loaded}
        with loaded:
            return dict(loaded.items())
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"'{path}' can't be read as reference samples: {error}", hint=".npy or .npz", reason="wrong-baselines"
        ) from None
