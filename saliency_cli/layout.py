"""Which axes of an input are places and which one holds channels, and whether it has places at all."""

from saliency_cli.differentiable import Sample

_LONGEST_TABLE = 64  # a longer row of numbers is a signal, as when it is drawn


def channel_axis(sample: Sample, name: str) -> int | None:
    """Return the axis whose values belong to one place, by what the model tells, else by the shape.

    By the shape: of three axes or more the last of at most 4 values, or for three the first, or else the
    last; of two the last if it has at most 4 values; none of fewer.
    """
    shape = sample.inputs[name].shape
    known: dict[str, int | None] = dict(sample.channels)
    if name in known:
        axis = known[name]
        return None if axis is None else axis % len(shape)
    if len(shape) == 3:
        return next((axis for axis in (2, 0) if shape[axis] <= 4), 2)
    return len(shape) - 1 if len(shape) > 1 and shape[-1] <= 4 else None


def places(sample: Sample, name: str) -> tuple[int, ...]:
    """Return the axes of an input that are places: rows and columns, time steps, or a table's one axis."""
    channels = channel_axis(sample, name)
    return tuple(axis for axis in range(sample.inputs[name].ndim) if axis != channels)


def is_table(sample: Sample, name: str) -> bool:
    """Whether an input is a row of features without order or neighbourhood, or a single number."""
    shape = sample.inputs[name].shape
    return len(shape) == 0 or (len(shape) == 1 and shape[0] <= _LONGEST_TABLE)


def is_picture(sample: Sample, name: str) -> bool:
    """Whether an input has two axes of places."""
    return len(places(sample, name)) == 2
