"""Samples that no file holds: the middle of every input's range, for an ascent that begins with noise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from saliency_cli.differentiable import Array
from saliency_cli.errors import InputError, UsageError
from saliency_cli.preprocessing import Preparing
from saliency_cli.records import InputSpec, SourceRecord
from saliency_cli.runs.feeding import Fed, Feeder, Part, Unfit
from saliency_cli.runs.fitting import as_dtype, layout_of
from saliency_cli.runs.preparing import Prepared
from saliency_cli.runs.sources import Source
from saliency_cli.studies.perturb_ranges import Range, Ranges, in_units, of_bytes, ranges_of

Limits = tuple[Array | float, Array | float]


@dataclass(frozen=True, eq=False)
class Bounds:
    """How far values may go, in file units: `ranges` as they were told, `by_input` what samples showed."""

    ranges: Ranges = field(default_factory=dict)
    by_input: Mapping[str, tuple[Array, Array]] = field(default_factory=dict)

    @classmethod
    def of(cls, feeder: Feeder, told: Range | Ranges | None, samples: str | None) -> "Bounds":
        """Return the bounds that were told, or the lowest and highest of every value among a file's samples.

        Raises `InputError` where the file can't be read or doesn't fit the model.
        """
        ranges = ended_ranges(told, samples)
        if samples is None:
            return cls(ranges)
        found = feeder.feed(Source(samples, (("", samples),)))
        for each in found:
            if isinstance(each, Unfit):
                raise each.error
        names = [spec.name for spec in feeder.specs if spec.floating]
        stacks = {name: np.stack([each.parts[name].raw for each in found if isinstance(each, Fed)]) for name in names}
        return cls(ranges, {name: (stack.min(axis=0), stack.max(axis=0)) for name, stack in stacks.items()})

    def limits(self, name: str, error: type[UsageError | InputError], *, picture: bool) -> Limits:
        """Return the lowest and highest value of an input: by its name, by samples, or as every other's.

        Raises `error` where nobody told, and `InputError` where no whole steps of a picture are in it.
        """
        told = self.ranges.get(name)
        if picture:
            return (0.0, 255.0) if told is None else of_bytes(name, told)
        if told is not None:
            return told
        if name in self.by_input:
            return self.by_input[name]
        if "" not in self.ranges:
            raise error(
                f"how far a value of the input '{name}' may go is not known",
                hint=f"{in_units(name, several=bool(self.ranges))}, or --range-of a FILE of samples",
                reason="no-range",
            )
        return self.ranges[""]


def ended_ranges(told: Range | Ranges | None, samples: str | None) -> Ranges:
    """Return ranges by name. Raises `UsageError` for what is no range with two ends, or one that plays no part."""
    ranges = ranges_of(told)
    for name, ends in ranges.items():
        if not np.isfinite(ends).all():
            raise UsageError(
                f"the valid range{f' of {name}' if name else ''} goes from {ends[0]:g} to {ends[1]:g}, and an ascent "
                "needs both ends",
                hint="--valid-range LOW,HIGH with numbers",
                reason="bad-option",
            )
    if samples is not None and "" in ranges:
        raise UsageError(
            "--valid-range and --range-of both tell how far values may go",
            hint="leave one of them away, or name the input of the first: --valid-range NAME=LOW,HIGH",
            reason="bad-option",
        )
    return ranges


def takes_pictures(spec: InputSpec) -> bool:
    """Whether an input is of the shape of a grey or coloured picture, so that a file of 8 bits can hold it."""
    if layout_of(spec) != "picture":
        return False
    return spec.channels is None or spec.shape[spec.channels] in (None, 1, 3)


@dataclass(frozen=True, eq=False)
class StartingFeeder(Feeder):
    """A feeder that makes a sample of a source without files. `sizes` are for the places a model leaves open."""

    sizes: tuple[int, ...] = ()
    bounds: Bounds = field(default_factory=Bounds)

    @classmethod
    def of(cls, prepared: Prepared, sizes: tuple[int, ...], bounds: Bounds) -> "StartingFeeder":
        """Return a feeder like a run's own. Raises `UsageError` where it could make no sample."""
        given = prepared.feeder
        found = cls(
            given.specs,
            given.preparing,
            given.declared,
            given.resize,
            given.seed,
            given.differentiated,
            sizes=sizes,
            bounds=bounds,
        )
        for spec in given.specs:
            found.start(spec)
        most = max((_open_places(spec) for spec in given.specs), default=0)
        if len(sizes) > most:
            shapes = ", ".join(f"'{spec.name}' {spec.describe()}" for spec in given.specs)
            raise UsageError(
                f"--size is for sizes that a model leaves open, and this takes {shapes}",
                hint=f"--size with {'one number' if most == 1 else f'{most} numbers'}"
                if most
                else "leave --size away",
            )
        return found

    def feed(self, source: Source, held: Mapping[str, bytes] | None = None) -> "list[Fed | Unfit]":
        """Return a source's samples as any feeder does, or the one made for a source without files."""
        if source.parts:
            return super().feed(source, held)
        parts = {spec.name: self.start(spec) for spec in self.specs}
        records = {name: SourceRecord(path="") for name in parts}
        return [self._fed(source.id, parts, records, 0)]

    def start(self, spec: InputSpec) -> Part:
        """Return the middle of one input's range. Raises `UsageError` where the range or the size isn't known."""
        if not spec.floating:
            raise UsageError(
                f"the input '{spec.name}' takes {spec.dtype}, which can't be raised step by step, nor made up",
                hint=f"give files: --input {spec.name}=FILE for every input",
                reason="integer-input",
            )
        shape = self._shape(spec)
        picture = takes_pictures(spec)
        preparing = self.preparing[spec.name] if picture else self._given(spec)
        low, high = self.bounds.limits(spec.name, UsageError, picture=picture)
        raw = np.array(np.broadcast_to(np.add(low, high) / 2, shape), np.float32)
        values = preparing.apply(raw, channels_of(spec))
        return Part(as_dtype(values, spec), raw, layout_of(spec), preparing, whole=picture)

    def _shape(self, spec: InputSpec) -> tuple[int, ...]:
        waiting = list(self.sizes)
        shape = []
        for axis, size in enumerate(spec.shape):
            if size is None and axis == spec.channels:
                size = 3  # open channels take colours as well as anything
            elif size is None:
                if not waiting:
                    came = f", and --size has {len(self.sizes)} of {_open_places(spec)} numbers" if self.sizes else ""
                    raise UsageError(
                        f"the input '{spec.name}' takes {spec.describe()}: its size is open{came}",
                        hint="--size 224,224 (rows, columns)",
                        reason="open-size",
                    )
                size = waiting.pop(0)
            shape.append(size)
        return tuple(shape)


def _open_places(spec: InputSpec) -> int:
    return sum(size is None and axis != spec.channels for axis, size in enumerate(spec.shape))


def channels_of(spec: InputSpec) -> int | None:
    """Return the channel axis that a preparing goes by: that of inputs of three axes."""
    return spec.channels if len(spec.shape) == 3 else None


def ends_of(preparing: Preparing, shape: Sequence[int], limits: Limits, channels: int | None) -> tuple[Array, Array]:
    """Return what the lowest and the highest value of a file become in the model's units."""
    low, high = (preparing.apply(np.array(np.broadcast_to(end, shape), np.float32), channels) for end in limits)
    return low, high
