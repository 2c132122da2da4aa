"""What `jacobian` writes: the arrays with named axes, and a heat map for each class.

In the `.npz` `OUTPUT/INPUT` is the array, the output's axes first; `OUTPUT/INPUT.axes` says what each axis is;
`OUTPUT.values` holds the values that were differentiated, `OUTPUT.labels` what its classes are called, and
`INPUT` the input itself, prepared as the model got it.
"""

from typing import IO, Any

import numpy as np

from saliency_cli import __version__
from saliency_cli.differentiable import Array
from saliency_cli.rendering.encoding import encode_picture
from saliency_cli.rendering.figures import number_text
from saliency_cli.rendering.matrices import matrix, stacked
from saliency_cli.rendering.view import Style, View
from saliency_cli.runs.feeding import Fed
from saliency_cli.runs.study import File
from saliency_cli.studies.archive import write_npz
from saliency_cli.studies.jacobian_found import Block, Jacobian
from saliency_cli.studies.tiles import tiles

_TILES = 24
_UNIT = "output / input"


def archive(fed: Fed, found: Jacobian) -> File:
    """Return the arrays as a file; large ones go straight from disk to disk."""
    arrays: dict[str, Array] = {}
    whole = found.arrays()
    for block in found.blocks:
        output = block.end.output
        for name in block.matrices:
            arrays[f"{output}/{name}"] = whole[output, name]
            arrays[f"{output}/{name}.axes"] = np.array(found.axes(block, name))
        arrays[f"{output}.values"] = block.values.reshape(block.shape)
        if block.labels:
            arrays[f"{output}.labels"] = np.array(block.labels)
    arrays |= {name: fed.sample.inputs[name] for name in found.inputs if name not in arrays}
    return File(".npz", lambda stream: write_npz(stream, arrays))


def picture(fed: Fed, found: Jacobian, metadata: dict[str, Any]) -> File:
    """Return the heat maps as a file; they are drawn when it is written."""

    def write(stream: IO[bytes]) -> None:
        parts = [_panel(fed, found, block, name) for block in found.blocks for name in block.matrices]
        told = {"software": f"saliency {__version__}", **metadata}
        stream.write(encode_picture(stacked(parts), "PNG", told))

    return File(".png", write)


def _panel(fed: Fed, found: Jacobian, block: Block, name: str) -> Array:
    part, spec, shape = fed.parts[name], found.specs[name], found.inputs[name]
    values = block.matrices[name]
    names = f"∂ {block.end.output} ({block.end.space}) / ∂ {name}"
    caption = f"{fed.id.rpartition('/')[2]} · {names}"
    if not (block.labels and part.layout == "picture" and len(shape) in (2, 3)):
        rows, columns = block.labels, part.names if len(part.names) == values.shape[1] else ()
        axes = "class" if block.labels else "output", "input" if len(shape) > 1 else "feature"
        return matrix(values, rows, columns, axes, caption, _UNIT)
    chosen = np.arange(len(values))
    if len(chosen) > _TILES:
        chosen = np.sort(np.argsort(-block.values, kind="stable")[:_TILES])
        caption += f" · the {_TILES} largest of {len(values)}"
    views = [
        View(
            values=np.asarray(values[row]).reshape(shape),
            layout="picture",
            signed=True,
            style=Style("max"),
            channels=spec.channels if len(shape) == 3 else None,
            original=part.original,
            geometry=part.geometry,
            unit=f"max |v| over channels, {_UNIT}" if len(shape) == 3 else _UNIT,
        )
        for row in chosen
    ]
    return tiles(views, [f"{block.labels[row]}: {number_text(float(block.values[row]))}" for row in chosen], caption)
