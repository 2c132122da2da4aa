"""A perturbed input as a file, read back as this tool reads any file, and what is drawn of it."""

from collections.abc import Callable, Collection, Mapping
from io import BytesIO
from typing import IO, Any

import numpy as np

from saliency_cli.differentiable import Array
from saliency_cli.records import InputSpec
from saliency_cli.rendering.encoding import encode_picture
from saliency_cli.rendering.panel import panel
from saliency_cli.rendering.perturbation import difference_pixels, perturbation_panel, scale_of
from saliency_cli.rendering.view import Style, View
from saliency_cli.runs.feeding import Part
from saliency_cli.runs.study import File
from saliency_cli.studies.remade import pixels

Kinds = Collection[str]
PICTURES = ("before", "difference", "panel")
"""What is drawn of a perturbed input, beside itself. The panel is a figure with text, and costs most of it."""


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


def drawn_files(
    before: Array, after: Array, part: Part, spec: InputSpec, *, titles: tuple[str, str], view: View, kinds: Kinds
) -> dict[str, File]:
    """Return the pictures of one perturbed input, by kind: those of `kinds`, of an array `panel` alone.

    `view` says what they are about: its caption and metadata are taken. The panel is drawn when it is written.
    """
    metadata = dict(view.metadata)
    if not is_picture(part):
        return {"panel": _figure(lambda: panel(view), metadata)} if "panel" in kinds else {}
    first, second = pixels(before, spec), pixels(after, spec)
    files = {}
    if "before" in kinds:
        files["before"] = File(".png", encode_picture(first, "PNG", metadata))
    if "difference" in kinds:
        difference = second.astype(np.float64) - first
        scale = scale_of(difference)
        shown = difference_pixels(difference[..., :3] if difference.ndim == 3 else difference, scale)
        files["difference"] = File(".png", encode_picture(shown, "PNG", {**metadata, "difference_scale": scale}))
    if "panel" in kinds:
        files["panel"] = _figure(lambda: perturbation_panel(first, second, titles, view.caption), metadata)
    return files


def _figure(draw: Callable[[], Array], metadata: Mapping[str, Any]) -> File:
    def write(stream: IO[bytes]) -> None:
        stream.write(encode_picture(draw(), "PNG", metadata))

    return File(".png", write)


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
        unit="in the file's units",
        quantity="change",
        metadata=metadata,
    )
