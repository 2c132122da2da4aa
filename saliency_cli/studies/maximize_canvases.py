"""From what was read of a sample's files to the canvases that an ascent works on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from saliency_cli.differentiable import Sample
from saliency_cli.errors import InputError, UsageError
from saliency_cli.layout import is_table
from saliency_cli.maximizing.ascending import Canvas
from saliency_cli.maximizing.parametrizations import Fourier, Parametrization, Pixel
from saliency_cli.maximizing.ranges import Range
from saliency_cli.records import InputSpec
from saliency_cli.runs.feeding import Fed, Part
from saliency_cli.studies.maximize_starts import Bounds, Limits, channels_of, ends_of
from saliency_cli.studies.perturb_ranges import Range as ValidRange
from saliency_cli.studies.perturb_ranges import Ranges

Kind = Literal["auto", "fourier", "pixel"]
RATES: Mapping[str, float] = {"fourier": 0.05, "pixel": 0.02}
# A shift by default is up to this share of the shortest side.
_SHIFTED = 16


@dataclass(frozen=True)
class Manner:
    """How inputs are varied.

    `parametrization` `auto`: waves from noise, the values themselves from an input given. `jitter` None: a sixteenth
    of the shortest side. `rate` None: see `RATES`. `valid_range`: how far values may go, of all inputs that are no
    pictures, or by name; `range_of`: a file whose samples show it.
    """

    parametrization: Kind = "auto"
    jitter: int | None = None
    rate: float | None = None
    valid_range: ValidRange | Ranges | None = None
    range_of: str | None = None


def canvases_of(
    fed: Fed, specs: Mapping[str, InputSpec], names: Sequence[str], manner: Manner, bounds: Bounds, *, given: bool
) -> dict[str, Canvas]:
    """Return a canvas for each of the named inputs of a sample.

    Raises:
        InputError: reason `no-range` for an array whose range nobody told, `outside-range` for values beyond it.
        UsageError: waves or shifts were asked for, and no input has places.
    """
    canvases = {name: _canvas(fed, specs[name], manner, bounds, given=given) for name in names}
    if not any(canvas.places for canvas in canvases.values()):
        asked = "--parametrization fourier" if manner.parametrization == "fourier" else ""
        asked = asked or (f"--jitter {manner.jitter}" if manner.jitter else "")
        if asked:
            raise UsageError(
                f"{asked} is for inputs with places, rows and columns or steps, and '{names[0]}' has none",
                hint="leave it away",
                reason="no-places",
            )
    return canvases


def _canvas(fed: Fed, spec: InputSpec, manner: Manner, bounds: Bounds, *, given: bool) -> Canvas:
    name, sample = spec.name, fed.sample
    part = fed.parts[name]
    limits = bounds.limits(name, InputError, picture=is_picture(part))
    _require_inside(name, part, limits)
    shape = part.raw.shape
    channels = channels_of(spec)
    flipped = channels if part.preparing.channel_order == "bgr" else None
    places = places_of(sample, name)
    wanted = manner.parametrization if manner.parametrization != "auto" else "pixel" if given else "fourier"
    parametrization = _parametrization(shape, places, channels, wanted)
    kind = "fourier" if isinstance(parametrization, Fourier) else "pixel"
    shift = min((shape[axis] for axis in places), default=0) // _SHIFTED
    return Canvas(
        Range(*ends_of(part.preparing, shape, limits, channels), flipped),
        parametrization,
        places,
        RATES[kind] if manner.rate is None else manner.rate,
        given=given,
        jitter=shift if manner.jitter is None else manner.jitter,
    )


def is_picture(part: Part) -> bool:
    """Whether values are those of a picture's file, whole numbers from 0 to 255."""
    return part.whole and part.layout == "picture"


def places_of(sample: Sample, name: str) -> tuple[int, ...]:
    """Return the axes of an input that are rows and columns, or steps; none of a table."""
    if is_table(sample, name):
        return ()
    channels, dimensions = sample.channels.get(name), sample.inputs[name].ndim
    axis = None if channels is None else channels % dimensions
    return tuple(other for other in range(dimensions) if other != axis)


def _parametrization(
    shape: tuple[int, ...], places: tuple[int, ...], channels: int | None, kind: str
) -> Parametrization:
    if kind == "pixel" or not places:
        return Pixel(shape, places)
    coloured = channels is not None and shape[channels] == 3
    return Fourier(shape, places, channels if coloured else None)


def _require_inside(name: str, part: Part, limits: Limits) -> None:
    low, high = limits
    outside = np.argwhere((part.raw < low) | (part.raw > high))
    if len(outside):
        place = tuple(int(i) for i in outside[0])
        raise InputError(
            f"the input '{name}' holds {part.raw[place]:g} at [{', '.join(map(str, place))}], and there "
            f"{np.broadcast_to(low, part.raw.shape)[place]:g} to {np.broadcast_to(high, part.raw.shape)[place]:g} is "
            "its range",
            hint="--valid-range LOW,HIGH in the file's own units, or --range-of a FILE with more samples",
            reason="outside-range",
        )
