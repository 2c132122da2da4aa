"""A Jacobian as it was found: what its axes are, and what is told of it in numbers."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from msgspec import Struct

from saliency_cli.differentiable import Array
from saliency_cli.records import InputSpec, PredictionRecord
from saliency_cli.studies.spectrum import Spectrum, spectrum

Mode = Literal["forward", "reverse"]

_SHOWN = 16
_NORMS = 64


@dataclass(frozen=True, eq=False)
class End:
    """One output: which of its values are differentiated, and by which inputs.

    `shape` is the output's own, without the batch axis, None where it varies; `chosen` the classes asked for, by
    index, averaged over places, or None for every value. `names`: what the classes are called, if they are.
    """

    output: str
    space: str
    shape: tuple[int | None, ...]
    classes: int
    inputs: tuple[str, ...]
    chosen: tuple[int, ...] | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Block:
    """The derivatives of one output: `matrices` input → `(rows, values of the input)`, `values` `(rows,)`.

    `shape`: that of the rows, the output's own or `(classes,)`. `labels`: what its classes are called, where the rows
    are classes.
    """

    end: End
    mode: Mode
    shape: tuple[int, ...]
    labels: tuple[str, ...]
    values: Array
    matrices: Mapping[str, Array]

    @cached_property
    def spectra(self) -> Mapping[str, Spectrum]:
        """The singular values by input."""
        return {name: spectrum(matrix) for name, matrix in self.matrices.items()}


@dataclass(frozen=True, eq=False)
class Jacobian:
    """The Jacobian of one sample, a block for each output, and the inputs it is by: name → shape."""

    prediction: PredictionRecord
    blocks: tuple[Block, ...]
    inputs: Mapping[str, tuple[int, ...]]
    specs: Mapping[str, InputSpec]
    layouts: Mapping[str, str]

    def arrays(self) -> dict[tuple[str, str], Array]:
        """Return (output, input) → the derivatives, `(*output's shape, *input's shape)`."""
        return {
            (block.end.output, name): matrix.reshape(*block.shape, *self.inputs[name])
            for block in self.blocks
            for name, matrix in block.matrices.items()
        }

    def axes(self, block: Block, name: str) -> tuple[str, ...]:
        """Return what each axis of one array is."""
        rows = ("class",) if block.labels else tuple(f"output {axis}" for axis in range(len(block.shape)))
        spec, shape = self.specs[name], self.inputs[name]
        places = _PLACES.get((self.layouts[name], len(shape) - (spec.channels is not None)))
        if places is None:
            return (*rows, *(f"input {axis}" for axis in range(len(shape))))
        named = list(places)
        if spec.channels is not None:
            named.insert(spec.channels, "channel")
        return (*rows, *named)


_PLACES = {
    ("picture", 2): ("row", "column"),
    ("signal", 1): ("time",),
    ("table", 1): ("feature",),
}


class PairRecord(Struct, kw_only=True, frozen=True):
    """The Jacobian of one output by one input in numbers.

    `norm` is the Frobenius norm; `singular_values` the largest ones, at most sixteen; `condition` the largest over
    the smallest, null where the rank is not full. `row_norms`: the ℓ2 norm of each class's gradient, of up to 64.
    """

    output: str
    input: str
    space: str
    shape: list[int]
    mode: str
    norm: float
    singular_values: list[float]
    smallest_singular_value: float | None
    rank: int | None
    condition: float | None
    row_norms: dict[str, float] = {}
    note: str = ""


def pairs(found: Jacobian) -> list[PairRecord]:
    """Return the record of every pair of an output and an input."""
    return [_pair(found, block, name) for block in found.blocks for name in block.matrices]


def _pair(found: Jacobian, block: Block, name: str) -> PairRecord:
    known = block.spectra[name]
    values = [float(value) for value in known.values]
    rows = len(block.values)
    note = ""
    if known.rank is None:
        note = "not decomposed: the shorter side is longer than 2048"
    elif known.rank < min(block.matrices[name].shape):
        note = f"rank {known.rank} of {min(block.matrices[name].shape)}: no condition number"
    norms = {}
    if block.labels and rows <= _NORMS:
        lengths = np.sqrt([np.square(row, dtype=np.float64).sum() for row in block.matrices[name]])
        norms = dict(zip(_distinct(block), map(float, lengths), strict=True))
    return PairRecord(
        output=block.end.output,
        input=name,
        space=block.end.space,
        shape=[*block.shape, *found.inputs[name]],
        mode=block.mode,
        norm=known.norm,
        singular_values=values[:_SHOWN],
        smallest_singular_value=values[-1] if values else None,
        rank=known.rank,
        condition=known.condition if known.condition is not None and math.isfinite(known.condition) else None,
        row_norms=norms,
        note=note,
    )


def _distinct(block: Block) -> list[str]:
    """Return the labels of the rows, those that several have with their index: names of classes may repeat."""
    indices = block.end.chosen or range(len(block.labels))
    return [
        label if block.labels.count(label) == 1 else f"{label} ({index})"
        for label, index in zip(block.labels, indices, strict=True)
    ]


def results(found: Jacobian, disconnected: Mapping[str, str]) -> dict[str, Any]:
    """Return what a sample's record holds: numbers that a run aggregates, each pair's own, and what is missing."""
    told = pairs(found)
    numbers: dict[str, Any] = {}
    for pair in told:
        suffix = f".{pair.output}/{pair.input}" if len(told) > 1 else ""
        numbers[f"norm{suffix}"] = pair.norm
        if pair.singular_values:
            numbers[f"spectral_norm{suffix}"] = pair.singular_values[0]
        if pair.condition is not None:
            numbers[f"condition{suffix}"] = pair.condition
    return {**numbers, "pairs": told, "disconnected": dict(disconnected)}
