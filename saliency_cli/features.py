"""Which values of a sample are present or absent together: cells of a grid, superpixels, columns, groups."""

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
from msgspec import Meta

from saliency_cli.asking import CHUNK, ask_values
from saliency_cli.differentiable import Answer, Array, Arrays, Ask, Sample
from saliency_cli.errors import InputError, UsageError, nearest
from saliency_cli.layout import channel_axis, is_picture, is_table, places
from saliency_cli.segmentation import superpixels

_MOST_SOLVED = 2048
KINDS = ("auto", "grid", "superpixels", "values")

# Options that several methods share, declared once.
Kind = Annotated[
    str,
    Meta(description="what is hidden together: auto, grid, superpixels, values, or an .npy or .npz of group numbers"),
]
Cells = Annotated[int, Meta(ge=1, le=4096, description="cells of the grid along each axis")]
Segments = Annotated[int, Meta(ge=2, le=10_000, description="superpixels of a picture, about")]
Absent = Annotated[
    str, Meta(description="what 'hidden' means: black, white, zero, mean, min, max, blur, noise, or a file")
]


@dataclass(frozen=True, eq=False)
class Features:
    """A sample's features: `labels` gives each value's feature, from 0 to `count` − 1 over all inputs.

    A label array has its input's shape, or a channel axis of length 1: a place's channels are one feature.
    """

    labels: Mapping[str, Array]
    count: int

    def keep(self, kept: Array, sample: Sample, absent: Arrays, out: Arrays) -> None:
        """Write the sample into `out` with only the features kept (`(count,)` bool), the others as when absent."""
        for name, labels in self.labels.items():
            np.copyto(out[name], absent[name])
            np.copyto(out[name], sample.inputs[name], where=kept[labels])

    def spread(self, shares: Array, sample: Sample) -> dict[str, Array]:
        """Return maps on which every value carries its feature's whole share, `(count,)`."""
        shapes = {name: sample.inputs[name].shape for name in self.labels}
        return {
            name: np.array(np.broadcast_to(shares[labels].astype(np.float32), shapes[name]))
            for name, labels in self.labels.items()
        }


def require_kind(kind: str) -> None:
    """Raise `UsageError` for features that are neither a known kind nor a file of group numbers."""
    if kind in KINDS or (Path(kind).suffix in (".npy", ".npz") and Path(kind).is_file()):
        return
    file = Path(kind).suffix in (".npy", ".npz")
    raise UsageError(
        f"there is no file '{kind}'" if file else f"no features are called '{kind}'",
        hint=nearest(kind, KINDS) or f"features={', features='.join(KINDS)}, or features=FILE.npy of group numbers",
        reason="unknown-features",
    )


def features_of(sample: Sample, kind: str, cells: int, segments: int, picture: str = "grid") -> Features:
    """Return a sample's features.

    `values`: each value by itself. `grid`: cells along each axis of places, a place's channels together.
    `superpixels`: of pictures, about `segments`; other inputs beside a picture as for auto. `auto`: each
    column of a table by itself, a picture as `picture` says, any other array by a grid. A file: `.npy` of
    whole numbers for a model of one input, or `.npz` with an array for each input by its name.

    Raises:
        InputError: the features don't fit the sample.
    """
    if kind == "superpixels" and not any(is_picture(sample, name) for name in sample.floating):
        raise InputError(
            "superpixels are parts of a picture, and the input is none",
            hint="-p features=grid, or -p features=values for the columns of a table",
            reason="not-a-picture",
        )
    found, count = {}, 0
    for name in sample.floating:
        if kind in KINDS:
            labels = _labels(sample, name, kind, cells, segments, picture)
        else:
            labels = _from_file(kind, sample, name)
        found[name] = labels + count
        count += int(labels.max(initial=-1)) + 1
    return Features(found, count)


def _labels(sample: Sample, name: str, kind: str, cells: int, segments: int, picture: str) -> Array:
    shape = sample.inputs[name].shape
    if kind == "auto" or (kind == "superpixels" and not is_picture(sample, name)):
        kind = "values" if is_table(sample, name) else picture if is_picture(sample, name) else "grid"
    if kind == "values":
        return np.arange(int(np.prod(shape))).reshape(shape)
    channels = channel_axis(sample, name)
    if kind == "superpixels":
        labels = superpixels(sample.inputs[name], channels, segments)
        return labels if channels is None else np.expand_dims(labels, channels)
    labels = np.zeros((1,) * len(shape), np.int64)
    for axis in places(sample, name):
        size, along = shape[axis], [-1 if other == axis else 1 for other in range(len(shape))]
        parts = min(cells, size)
        labels = labels * parts + (np.arange(size) * parts // max(size, 1)).reshape(along)
    return labels


def _from_file(path: str, sample: Sample, name: str) -> Array:
    held = load_groups(path)
    if "" in held and len(sample.floating) > 1:
        raise InputError(
            f"'{path}' holds one array, and the model has the inputs {', '.join(sample.floating)}",
            hint="an .npz with an array of group numbers for each input, by its name",
            reason="wrong-features",
        )
    groups = held.get("" if "" in held else name)
    if groups is None:
        raise InputError(f"'{path}' holds no groups for the input '{name}'", reason="wrong-features")
    shape, channels = sample.inputs[name].shape, channel_axis(sample, name)
    flat = tuple(size for axis, size in enumerate(shape) if axis != channels)
    if groups.shape == flat and channels is not None:
        groups = np.expand_dims(groups, channels)
    one = tuple(1 if axis == channels else size for axis, size in enumerate(shape))
    if groups.shape not in (shape, one):
        wanted = " or ".join(str(each) for each in dict.fromkeys((flat, shape)))
        raise InputError(
            f"the groups in '{path}' are {groups.shape}, and the input '{name}' takes {wanted}",
            reason="wrong-features",
        )
    return np.asarray(np.unique(groups, return_inverse=True)[1]).reshape(groups.shape)


def require_solvable(method: str, count: int, draws: int, least: int) -> None:
    """Raise `InputError` where a regression over `count` features would be too large, or `draws` too few for it."""
    if count > _MOST_SOLVED:
        raise InputError(
            f"{method} solves for all features at once: {count} came, and it takes up to {_MOST_SOLVED}",
            hint="fewer features: -p features=grid -p cells=8, or feature-ablation, which takes any number",
            reason="too-many-features",
        )
    if draws < least:
        raise InputError(
            f"{method}: {draws} draws can't tell {count} features apart",
            hint=f"-p draws={max(1000, 10 * count)}, or fewer features",
            reason="too-few-draws",
        )


def load_groups(path: str) -> dict[str, Array]:
    """Return a file's arrays of whole numbers by name, "" for the one of an `.npy`. Raises `UsageError`."""
    try:
        with Path(path).open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            arrays = {"": loaded} if isinstance(loaded, np.ndarray) else dict(loaded.items())
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(f"'{path}' can't be read as groups: {error}", reason="unknown-features") from None
    for array in arrays.values():
        if array.dtype.kind not in "iub":
            raise UsageError(
                f"'{path}' holds {array.dtype}, and groups are whole numbers",
                hint="numpy.save(path, groups.astype(int))",
                reason="unknown-features",
            )
    return arrays


def ask_kept(
    sample: Sample, features: Features, absent: Arrays, kept: Iterable[Array], take: Callable[[Array, Array], None]
) -> Generator[Ask, Answer, None]:
    """Ask for the target with these features kept, a chunk at a time; `take(kept, values)` gets each chunk."""
    rows = iter(kept)
    while chunk := list(islice(rows, CHUNK)):

        def point(i: int, out: Arrays, chunk: list[Array] = chunk) -> None:
            features.keep(chunk[i], sample, absent, out)

        def took(_: int, values: Array, chunk: list[Array] = chunk) -> None:
            take(np.array(chunk), values)

        yield from ask_values(len(chunk), point, took)
