"""What methods that look at a layer share: its option, the ask for it, and the way of its map back onto the input.

A layer's output has places (rows and columns, steps) and channels, channels last. Its map, one value a place,
is resized bilinearly to the places of every input that the layer depends on and that has as many axes of
places; an input it doesn't depend on, or of another kind (numbers beside a picture), gets no map.
"""

from collections.abc import Generator, Mapping
from typing import Annotated, Literal, NamedTuple

import numpy as np
from msgspec import Meta

from saliency_cli.differentiable import Answer, Array, Ask, Sample, Trace
from saliency_cli.errors import InputError, UsageError
from saliency_cli.layout import channel_axis, is_table

AUTO = "auto"

Layer = Annotated[
    str, Meta(description="where it looks: auto (the last layer with places), a layer's path, or several joined by +")
]
Join = Annotated[
    Literal["mean", "scaled"],
    Meta(description="how several layers' maps are joined: their mean, or the mean of each over its largest |value|"),
]


class Looked(NamedTuple):
    """What was found at a sample: each layer's output and gradient there, float64, and the inputs behind it."""

    value: float
    activations: dict[str, Array]
    gradients: dict[str, Array]
    depends: Mapping[str, tuple[str, ...]]


def paths_of(layer: str) -> tuple[str, ...]:
    """Return the layers an option names. Raises `UsageError` for `auto`, which only an open model can resolve."""
    if layer == AUTO:
        raise UsageError(
            "layer=auto is resolved when a run opens its model", hint="name a layer: -p layer=PATH", reason="no-layer"
        )
    return tuple(layer.split("+"))


def look(sample: Sample, layer: str, *, gradient: bool = True) -> Generator[Ask, Answer, Looked]:
    """Ask for the layers' outputs at the sample, and the target's gradient with respect to them."""
    trace = Trace(layer=paths_of(layer), gradient=gradient)
    answer = yield Ask(1, lambda _, out: sample.write(out), np.ones(1), trace=trace, unperturbed=True)
    found = {path: np.asarray(array, np.float64) for path, array in answer.activations.items()}
    gradients = {path: np.asarray(array, np.float64) for path, array in answer.gradients.items()}
    for path, array in found.items():
        if not (np.isfinite(array).all() and np.isfinite(gradients.get(path, 0.0)).all()):
            raise InputError(
                f"the layer '{path}' has values or gradients that are NaN or infinite",
                hint="check the input's scale (--preprocess) and the model's weights",
                reason="non-finite-layer",
            )
    return Looked(float(answer.values[0]), found, gradients, answer.depends)


def onto_inputs(
    sample: Sample, maps: Mapping[str, Array], depends: Mapping[str, tuple[str, ...]], join: str = "mean"
) -> dict[str, Array]:
    """Return the layers' maps (one value a place) as maps of the inputs, float32, joined over layers.

    A place's channels share one value. Raises `InputError` where a layer fits none of the inputs it depends on.
    """
    found: dict[str, list[Array]] = {}
    for path, plane in maps.items():
        scale = np.abs(plane).max(initial=0.0) if join == "scaled" else 1
        fitting = require_fitting(sample, path, plane.shape, depends[path])
        for name, axes in fitting.items():
            large = resized(plane / scale if scale else plane, [sample.inputs[name].shape[axis] for axis in axes])
            found.setdefault(name, []).append(large)
    values = {}
    for name in (name for name in sample.floating if name in found):
        if len({large.ndim for large in found[name]}) > 1:
            raise InputError(
                f"the layers {', '.join(maps)} have different numbers of axes of places, and no mean",
                hint="one layer at a time",
                reason="no-places",
            )
        shape = sample.inputs[name].shape
        mean = np.asarray(sum(found[name]) / len(found[name]), np.float32)
        over = _places(sample, name, mean.ndim) or ()
        kept = [size if axis in over else 1 for axis, size in enumerate(shape)]
        values[name] = np.array(np.broadcast_to(mean.reshape(kept), shape))
    return values


def require_fitting(
    sample: Sample, path: str, places: tuple[int, ...], depends: tuple[str, ...]
) -> dict[str, tuple[int, ...]]:
    """Return the axes that are places, of every input that a layer's places lie over. Raises `InputError`."""
    axes = {name: _places(sample, name, len(places)) for name in sample.floating if name in depends}
    fitting = {name: found for name, found in axes.items() if found is not None}
    if fitting:
        return fitting
    shown = "×".join(map(str, places)) + " places" if places else "no places, only channels"
    inputs = ", ".join(f"'{name}' of {'×'.join(map(str, sample.inputs[name].shape))}" for name in axes) or "none"
    raise InputError(
        f"the output of the layer '{path}' has {shown}, and can't be laid over an input it depends on ({inputs})",
        hint="--layer PATH of a layer that keeps rows and columns, or steps; saliency inspect MODEL lists them",
        reason="no-places",
    )


def _places(sample: Sample, name: str, count: int) -> tuple[int, ...] | None:
    """Return the axes of an input that `count` axes of places lie over, None where they don't."""
    dimensions = sample.inputs[name].ndim
    if not count or is_table(sample, name):
        return None
    if dimensions == count:
        return tuple(range(dimensions))
    if dimensions != count + 1:
        return None
    channels = channel_axis(sample, name)
    channels = dimensions - 1 if channels is None else channels
    return tuple(axis for axis in range(dimensions) if axis != channels)


def resized(values: Array, sizes: list[int]) -> Array:
    """Resize the first axes of an array bilinearly, as `tf.image.resize` does: half-pixel centres, float64."""
    for axis, size in enumerate(sizes):
        n = values.shape[axis]
        at = np.clip((np.arange(size) + 0.5) * n / size - 0.5, 0, n - 1)
        weights = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(n)))
        values = np.moveaxis(np.tensordot(weights, values, (1, axis)), 0, axis)
    return np.asarray(values, np.float64)


def natives(maps: Mapping[str, Array]) -> dict[str, Array]:
    """Return the layers' maps as they are kept beside the input's, float32."""
    return {path: np.asarray(array, np.float32) for path, array in maps.items()}


def rectified(maps: Mapping[str, Array], *, relu: bool) -> tuple[dict[str, Array], tuple[str, ...]]:
    """Cut negative values off where `relu` is set, and return the flag it earns where nothing else was there."""
    if not relu:
        return dict(maps), ()
    gone = any(np.any(plane) for plane in maps.values()) and all(plane.max(initial=0) <= 0 for plane in maps.values())
    return {path: np.maximum(plane, 0) for path, plane in maps.items()}, ("all-negative",) if gone else ()
