"""The samples that a plan's files hold, told by their headers and by what the model's file says it takes.

`--dry-run` opens no model; that its file is read takes a fraction of a second, and is done where an array or a table
may be a stack. What stays unknown is left as it is: a file is then one input of the plan.
"""

import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np

from saliency_cli.differentiable import Array
from saliency_cli.errors import SaliencyError
from saliency_cli.readers import Document
from saliency_cli.records import InputSpec
from saliency_cli.runs.checking import stacked
from saliency_cli.runs.engine import open_options
from saliency_cli.runs.fitting import fits, from_array, from_table
from saliency_cli.runs.reading import read_document
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.sources import Source

_LARGEST_TABLE = 4 << 20
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def unstacked(request: ComputeRequest, sources: list[Source]) -> list[Source]:
    """Return the inputs of a plan, with the samples of a stack in place of its file, where they can be counted."""
    may = [source for source in sources if source.error is None and source.parts and stacked(source)]
    specs = _specs(request) if may else {}
    if not specs:
        return sources
    counts = {source.id: _count(source, specs) for source in may}
    return [
        each
        for source in sources
        for each in (
            [source]
            if counts.get(source.id) is None
            else [replace(source, id=f"{source.id}#{row}") for row in range(counts[source.id] or 0)]
        )
    ]


def _specs(request: ComputeRequest) -> dict[str, InputSpec]:
    """Return the model's inputs as far as its file tells them."""
    from saliency_cli.models.describing import describe  # only a plan needs it, and every start would pay

    path = Path(request.model)
    if not path.exists():
        return {}
    try:
        ends = describe(path, open_options(request)).description.inputs
    except SaliencyError:  # told by the run itself, which opens it
        return {}
    return {end.name: InputSpec(end.name, _shape(end.shape), end.dtype) for end in ends if end.shape and end.dtype}


def _shape(text: str) -> tuple[int | None, ...]:
    return () if text == "scalar" else tuple(None if size == "?" else int(size) for size in text.split("×"))


def _count(source: Source, specs: Mapping[str, InputSpec]) -> int | None:
    """Return how many samples a source's first file that tells so holds, None where it is none of a stack."""
    for name, path in source.parts:
        try:
            document = _header(Path(path))
            if document is None:
                continue
            arrays = document.arrays
            named = name or next((key for key in arrays if key in specs), next(iter(specs)))
            array = arrays[named if named in arrays else next(iter(arrays))]
            return _samples(replace(document, arrays={"": array}), specs[named])
        except (SaliencyError, OSError, ValueError, KeyError, zipfile.BadZipFile):
            continue  # what is wrong with it is told when it is read
    return None


def _samples(document: Document, spec: InputSpec) -> int | None:
    array = document.arrays[""]
    if document.kind == "table":
        count = len(from_table(document, spec))
        return count if count > 1 else None
    picture = array.dtype == np.uint8 and len(spec.shape) == 3 and array.ndim in (2, 3)
    if picture and not fits(array, spec, 1):
        return None
    samples, several = from_array(array, spec)
    return len(samples) if several else None


def _header(path: Path) -> Document | None:
    """Return a file's arrays, of their shapes and types and without their numbers; of a small table all of it."""
    suffix = path.suffix.lower()
    if not path.is_file():
        return None
    if suffix == ".csv":
        return read_document(path.name, path.read_bytes()) if path.stat().st_size <= _LARGEST_TABLE else None
    with path.open("rb") as file:
        if suffix == ".npy":
            return Document("array", {"": _like(file)})
        with zipfile.ZipFile(file) as archive:
            arrays = {}
            for member in archive.namelist():
                with archive.open(member) as stream:
                    arrays[member.removesuffix(".npy")] = _like(stream)
    return Document("array", arrays)


def _like(file: IO[bytes]) -> Array:
    """Return an array of the shape and type that a header declares, which takes no room."""
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(version)
    shape, _, dtype = _HEADERS[version](file)
    return np.broadcast_to(np.zeros((), dtype), shape)
