"""What `hessian` writes: arrays by name and input, and what of them can be drawn.

In the `.npz`: `gradient/INPUT`, `direction/INPUT`, `product/INPUT` (H times the direction), `diagonal/INPUT` and
`diagonal_error/INPUT`, `eigenvalues` with `eigenvectors/INPUT` `(k, *shape)` and `residuals`, and where all of it was
asked for `hessian/INPUT/INPUT` `(*shape, *shape)`.
"""

from collections.abc import Mapping
from typing import IO, Any

import numpy as np

from saliency_cli import __version__
from saliency_cli.differentiable import Array
from saliency_cli.records import InputSpec
from saliency_cli.rendering.encoding import encode_picture
from saliency_cli.rendering.figures import number_text
from saliency_cli.rendering.matrices import matrix, stacked
from saliency_cli.rendering.view import Style, View
from saliency_cli.runs.feeding import Fed
from saliency_cli.runs.study import File
from saliency_cli.studies.archive import write_npz
from saliency_cli.studies.captions import class_text
from saliency_cli.studies.hessian_found import Curvature
from saliency_cli.studies.tiles import tiles

_MOST_DRAWN = 512
_UNIT = "target / input²"


def archive(found: Curvature) -> File:
    """Return the arrays as a file, float32; eigenvalues and residuals in float64."""
    arrays: dict[str, Array] = {}

    def add(what: str, vectors: Array | None) -> None:
        if vectors is not None:
            parts = found.space.parts(vectors)
            arrays.update({f"{what}/{name}": np.asarray(part, np.float32) for name, part in parts.items()})

    add("gradient", found.gradient)
    add("direction", found.direction)
    add("product", found.product)
    if found.diagonal is not None:
        add("diagonal", found.diagonal.values)
        add("diagonal_error", found.diagonal.error)
    if found.eigen is not None:
        arrays["eigenvalues"], arrays["residuals"] = found.eigen.values, found.eigen.residuals
        add("eigenvectors", found.eigen.vectors)
    if found.matrix is not None:
        for name, part in found.space.parts(found.matrix).items():
            turned = np.moveaxis(part, 0, -1)  # symmetric: the first axis may as well come last
            for other, block in found.space.parts(turned).items():
                arrays[f"hessian/{name}/{other}"] = np.asarray(block, np.float32)
    return File(".npz", lambda stream: write_npz(stream, arrays))


def picture(fed: Fed, found: Curvature, specs: Mapping[str, InputSpec], metadata: dict[str, Any]) -> File:
    """Return what is drawn as a file: the matrix where it is small, eigenvectors, diagonal and product by input."""

    def write(stream: IO[bytes]) -> None:
        caption = f"{fed.id.rpartition('/')[2]} · ∂² {class_text(found.target.label)} ({found.target.space})"
        parts = []
        if found.matrix is not None and found.space.size <= _MOST_DRAWN:
            names = _names(fed, found)
            parts.append(matrix(found.matrix, names, names, ("input", "input"), f"{caption} · H", _UNIT))
        for name, shape in found.space.shapes.items():
            for title, unit, labels, values in _drawn(found, name):
                told = f"{caption} · {title}" + (f" · {name}" if len(found.space.shapes) > 1 else "")
                parts.append(_panel(fed, specs[name], shape, values, labels, told, unit))
        stream.write(encode_picture(stacked(parts), "PNG", {"software": f"saliency {__version__}", **metadata}))

    return File(".png", write)


def _drawn(found: Curvature, name: str) -> list[tuple[str, str, list[str], Array]]:
    """Return (title, unit, labels, values `(n, *shape)`) of all that is drawn of an input."""
    panels = []
    if found.eigen is not None and len(found.eigen.vectors):
        labels = [f"λ = {number_text(float(value))}" for value in found.eigen.values]
        panels.append(("eigenvectors", "eigenvector", labels, found.space.parts(found.eigen.vectors)[name]))
    if found.diagonal is not None:
        what = "diagonal" if found.diagonal.error is None else "diagonal, estimated"
        panels.append((what, _UNIT, [""], found.space.parts(found.diagonal.values)[name][None]))
    panels.append(("H·v", "H·v", [""], found.space.parts(found.product)[name][None]))
    return panels


def _panel(
    fed: Fed, spec: InputSpec, shape: tuple[int, ...], values: Array, labels: list[str], caption: str, unit: str
) -> Array:
    part = fed.parts[spec.name]
    if part.layout != "picture" or len(shape) not in (2, 3):
        names = part.names if len(part.names) == values[0].size else ()
        return matrix(values.reshape(len(values), -1), labels, names, ("", "input"), caption, unit)
    channels = spec.channels if len(shape) == 3 else None
    views = [
        View(each, "picture", True, Style("max"), channels, part.original, geometry=part.geometry, unit=unit)
        for each in values
    ]
    return tiles(views, labels, caption)


def _names(fed: Fed, found: Curvature) -> tuple[str, ...]:
    """Return what the rows of a matrix are called, where every input is a table with names."""
    named = [fed.parts[name].names for name in found.space.shapes]
    whole = tuple(column for names in named for column in names)
    return whole if len(whole) == found.space.size else ()
