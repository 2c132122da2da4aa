"""A perturbed input as a file, read back as this tool reads any file, and what is drawn of it."""

from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np

from saliency_cli.differentiable import Array
from saliency_cli.records import InputSpec
from saliency_cli.rendering.encoding import encode_picture
from saliency_cli.rendering.panel import panel
from saliency_cli.rendering.perturbation import difference_pixels, perturbation_panel, scale_of
from saliency_cli.rendering.view import Style, View
from saliency_cli.runs.feeding import Feeder, Part
from saliency_cli.runs.reading import read_document
from saliency_cli.runs.study import File


def is_picture(part: Part) -> bool:
    """Whether an input was read from a picture, and its perturbed form is one too; else it is an array."""
    return part.geometry is not None


def encoded(values: Array, part: Part, spec: InputSpec, metadata: Mapping[str, Any]) -> File:
    """Return file values as a file like the one they came from: a PNG at the model's size, or an array."""
    if is_picture(part):
        return File(".png", encode_picture(pixels(values, spec), "PNG", metadata))
    return array_file(values.astype(np.uint8) if part.whole else values)


def array_file(values: Array) -> File:
    """Return an array as a file: bytes as they are, anything else as float32."""
    stream = BytesIO()
    np.save(stream, values if values.dtype == np.uint8 else values.astype(np.float32), allow_pickle=False)
    return File(".npy", stream.getvalue())


def read_back(file: File, feeder: Feeder, name: str) -> Array:
    """Return what the model gets of an input when a file's bytes are read and prepared as any other's."""
    assert isinstance(file.data, bytes)
    return feeder.part(read_document(f"{name}{file.suffix}", file.data), name).values


def pixels(values: Array, spec: InputSpec) -> Array:
    """Return whole file values of a picture as pixels, uint8 `(height, width)` or `(height, width, 3|4)`."""
    shown = values if spec.channels is None else np.moveaxis(values, spec.channels, -1)
    shown = shown[..., 0] if shown.ndim == 3 and shown.shape[-1] == 1 else shown
    return np.ascontiguousarray(shown, np.uint8)


def drawn_files(
    before: Array, after: Array, part: Part, spec: InputSpec, *, titles: tuple[str, str], view: View
) -> dict[str, File]:
    """Return the pictures of one perturbed input, by kind: before, difference and panel, or an array's difference.

    `view` says what they are about: its caption and metadata are taken.
    """
    metadata = dict(view.metadata)
    if not is_picture(part):
        return {"difference": File(".png", encode_picture(panel(view), "PNG", metadata))}
    first, second = pixels(before, spec), pixels(after, spec)
    difference = second.astype(np.float64) - first
    scale = scale_of(difference)
    shown = difference_pixels(difference[..., :3] if difference.ndim == 3 else difference, scale)
    figure = perturbation_panel(first, second, titles, view.caption)
    return {
        "before": File(".png", encode_picture(first, "PNG", metadata)),
        "difference": File(".png", encode_picture(shown, "PNG", {**metadata, "difference_scale": scale})),
        "panel": File(".png", encode_picture(figure, "PNG", metadata)),
    }


def view_of(before: Array, after: Array, part: Part, spec: InputSpec, caption: str, metadata: dict[str, Any]) -> View:
    """Return the view of what was added to an input, in the units of its file."""
    return View(
        values=np.asarray(after - before, np.float32),
        layout=part.layout,
        signed=True,
        style=Style(clip_percentile=100.0),
        channels=spec.channels if part.layout in ("picture", "signal") and len(spec.shape) > 1 else None,
        raw=np.asarray(before, np.float32),
        names=part.names,
        caption=caption,
        unit="change, in the file's units",
        metadata=metadata,
    )
