"""What is known of a second derivative at a sample, as it was found."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from saliency_cli.differentiable import Array, Arrays, Sample
from saliency_cli.records import PredictionRecord, TargetRecord
from saliency_cli.studies.lanczos import Eigen


@dataclass(frozen=True)
class Space:
    """The floating inputs of a sample as one vector: their names, and shapes in that order."""

    shapes: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(cls, sample: Sample) -> "Space":
        """Return the space of a sample's differentiated inputs."""
        return cls({name: sample.inputs[name].shape for name in sample.floating})

    @property
    def size(self) -> int:
        """How many values there are."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def flat(self, arrays: Arrays) -> Array:
        """Return `(size,)` float64 of arrays by input."""
        return np.concatenate([np.asarray(arrays[name], np.float64).reshape(-1) for name in self.shapes])

    def parts(self, vectors: Array) -> dict[str, Array]:
        """Return `(…, size)` as `(…, *shape)` by input."""
        found, start = {}, 0
        for name, shape in self.shapes.items():
            size = math.prod(shape)
            found[name] = vectors[..., start : start + size].reshape(*vectors.shape[:-1], *shape)
            start += size
        return found


@dataclass(frozen=True, eq=False)
class Diagonal:
    """Every ∂²s/∂xⱼ² as one vector: exact, or a mean over random signs with its standard error.

    `trace` is its sum, with the standard error of that.
    """

    values: Array
    error: Array | None
    trace: float
    trace_error: float | None


@dataclass(frozen=True, eq=False)
class Smoothing:
    """What softplus(βx)/β in place of each ReLU changed: how many, and the target's value with it."""

    beta: float
    replaced: Mapping[str, int]
    value: float


@dataclass(frozen=True, eq=False)
class Curvature:
    """The second derivative at one sample, as far as it was asked for; vectors are over `space`.

    `product` is H times `direction`. `matrix` `(size, size)`, symmetric, where all of it was asked for. `along` is
    gᵀHg/‖g‖², None without a gradient. `flat`: H times a random vector is exactly zero.
    """

    space: Space
    prediction: PredictionRecord
    target: TargetRecord
    gradient: Array
    direction: Array
    product: Array
    along: float | None
    flat: bool
    kinks: Mapping[str, int]
    smoothing: Smoothing | None = None
    diagonal: Diagonal | None = None
    eigen: Eigen | None = None
    matrix: Array | None = None
    asymmetry: float | None = None
    flags: tuple[str, ...] = field(default=())


def results(found: Curvature) -> dict[str, Any]:
    """Return what a sample's record holds."""
    told: dict[str, Any] = {
        "target": found.target,
        "values": found.space.size,
        "gradient_norm": float(np.linalg.norm(found.gradient)),
        "product_norm": float(np.linalg.norm(found.product)),
        "curvature_along_direction": _quotient(found.direction, found.product),
        "curvature_along_gradient": found.along,
        "flat": found.flat,
        "kinks": dict(found.kinks),
    }
    if found.diagonal is not None:
        exact = found.diagonal.error is None
        told["diagonal"] = "exact" if exact else "estimate"
        told |= {"trace": found.diagonal.trace, "trace_error": found.diagonal.trace_error}
        if found.diagonal.error is not None:
            told["diagonal_norm"] = float(np.linalg.norm(found.diagonal.values))
            told["diagonal_error_norm"] = float(np.linalg.norm(found.diagonal.error))
    if found.eigen is not None:
        told["eigenvalues"] = [float(value) for value in found.eigen.values]
        told["residuals"] = [float(value) for value in found.eigen.residuals]
        told["steps"] = found.eigen.steps
        if len(found.eigen.values):
            told["top_eigenvalue"] = float(found.eigen.values[0])
    if found.asymmetry is not None:
        told["asymmetry"] = found.asymmetry
    if found.smoothing is not None:
        told["smoothed"] = {
            "beta": found.smoothing.beta,
            "replaced": dict(found.smoothing.replaced),
            "operations": sum(found.smoothing.replaced.values()),
            "value": found.smoothing.value,
        }
    return told


def _quotient(vector: Array, product: Array) -> float | None:
    """Return vᵀHv/‖v‖², None for a vector of zeros."""
    square = float(vector @ vector)
    return float(vector @ product) / square if square else None
