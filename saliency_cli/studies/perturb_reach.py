"""How far a sample may be moved: from what was read of its files to the ball that an attack searches."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from saliency_cli.differentiable import Array
from saliency_cli.errors import InputError
from saliency_cli.records import InputSpec
from saliency_cli.runs.feeding import Fed, Part
from saliency_cli.runs.fitting import as_dtype
from saliency_cli.studies.perturb_ranges import Ranges, in_units, range_of
from saliency_cli.threat import Ball, Norm, Reach

# Of the valid range: 8 steps of a picture in ℓ∞, and a root mean square of 2 of them in ℓ2.
DEFAULT_SHARE: Mapping[Norm, float] = {"inf": 8 / 255, "2": 2 / 255}


def ball_of(
    fed: Fed,
    specs: Mapping[str, InputSpec],
    moved: Sequence[str],
    *,
    norm: Norm,
    epsilon: float | None,
    ranges: Ranges,
    bounded: bool,
) -> Ball:
    """Return what a sample may become when its `moved` inputs are.

    `epsilon` is in the units of the files; None is a share of each input's valid range. A picture that was
    resized starts from whole steps at the model's size.

    Raises:
        InputError: reason `outside-range` for values beyond an input's range, `epsilon` where ε is less than a
            step, or one of `range_of`.
    """
    reaches = {}
    for name in moved:
        part, spec = fed.parts[name], specs[name]
        low, high = range_of(name, part, ranges)
        start = np.asarray(part.raw, np.float64)
        start = np.rint(start) if part.whole else start
        if start.min(initial=low) < low or start.max(initial=high) > high:
            raise InputError(
                f"the input '{name}' holds values from {start.min():g} to {start.max():g}, not {low:g} to {high:g}",
                hint=in_units(name, several=len(moved) > 1),
                reason="outside-range",
            )
        radius = _radius(name, epsilon, norm, (high - low) if norm == "inf" else (high - low) * math.sqrt(start.size))
        if part.whole and bounded:
            radius = _steps(name, radius, norm)
        reaches[name] = _reach(part, spec, start, (low, high), radius)
    return Ball(fed.sample, reaches, norm, bounded)


def _radius(name: str, epsilon: float | None, norm: Norm, span: float) -> float:
    if epsilon is None and not math.isfinite(span):
        raise InputError(
            f"ε is a share of the valid range where none is told, and that of the input '{name}' has no end",
            hint="--epsilon N in the file's own units",
            reason="epsilon",
        )
    radius = DEFAULT_SHARE[norm] * span if epsilon is None else epsilon
    if not radius > 0:
        raise InputError(f"the input '{name}' holds no value that could be moved", reason="epsilon")
    return radius


def _steps(name: str, radius: float, norm: Norm) -> float:
    """Return the radius that is left on whole steps: in ℓ∞ a whole number."""
    if radius < 1:
        raise InputError(
            f"the input '{name}' holds whole steps of 0 to 255, and an ε of {radius:g} is less than one",
            hint="--epsilon 1, or more",
            reason="epsilon",
        )
    return float(math.floor(radius + 1e-9)) if norm == "inf" else radius


def _reach(part: Part, spec: InputSpec, start: Array, ends: tuple[float, float], radius: float) -> Reach:
    # As `feeding` prepares: a channel axis counts where there are three axes.
    channels = spec.channels if len(spec.shape) == 3 else None

    def apply(values: Array) -> Array:
        return as_dtype(part.preparing.apply(np.asarray(values, np.float32), channels), spec)

    def pull(gradient: Array) -> Array:
        return part.preparing.pulled_back(gradient, channels)

    return Reach(start, *ends, radius, part.whole, apply, pull)
