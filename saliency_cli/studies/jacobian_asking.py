"""What is asked of the engine for one output's Jacobian, a row or a column at a time, in chunks of bounded size.

Reverse: a row is the gradient of one value of the output, so all rows are points of one trace with other weights.
Forward: a column is the derivative along one value of the input, J·e. Its inner gradient is at zero, and what is left
of it when it is compiled is a second, linear forward pass: a column costs no more than a row (0.65 to 0.8 of it on
MobileNetV2). So `auto` goes forward where the output has more values than the inputs.
"""

import contextlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from saliency_cli.autodiff.packing import Query, Reply
from saliency_cli.differentiable import Array, Arrays, Ask, Sample, Trace, against
from saliency_cli.runs.diagnosis import require_finite_map, require_finite_values
from saliency_cli.studies.jacobian_found import Block, End, Mode
from saliency_cli.studies.jacobian_rows import Rows

_CHUNK = 12 << 20


class Way(NamedTuple):
    """How far the Jacobian of one output has got: `done` of `total` rows or columns, of `size` bytes in all."""

    output: str
    mode: Mode
    done: int
    total: int
    shape: tuple[int, int]
    size: int


Watch = Callable[[Way], None]


def ask_block(
    sample: Sample,
    end: End,
    asked: Literal["auto", "forward", "reverse"],
    *,
    batch: int,
    other: bool,
    folder: Path,
    watch: Watch,
) -> Generator[Query, Reply, tuple[Block, Reply]]:
    """Ask for the derivatives of one output, and return them with a reply about the sample itself.

    `other`: it is not the output that the run is about. What is larger than memory allows goes to `folder`. `watch`
    hears of what takes several chunks, before each of them.

    Raises:
        InputError: a value or derivative is not finite. OutputError: the disk has no room.
    """
    trace = Trace(output=end.output if other else None, whole=end.chosen is None)
    shape = tuple(size for size in end.shape if size is not None)
    looked: Reply | None = None
    if end.chosen is None and len(shape) < len(end.shape):
        looked = yield from _look(sample, trace)
        shape = looked.answer.activations["output"].shape
    shape = shape if end.chosen is None else (len(end.chosen),)
    rows = int(np.prod(shape))
    columns = sum(sample.inputs[name].size for name in end.inputs)
    mode: Mode = "reverse"
    if asked == "forward" or (asked == "auto" and end.chosen is None and rows > columns):
        mode = "forward"
    size = rows * sum(sample.inputs[name].size * np.dtype(_dtype(sample, name)).itemsize for name in end.inputs)
    way = Way(end.output, mode, 0, rows if mode == "reverse" else columns, (rows, columns), size)
    with contextlib.ExitStack() as stack:

        def kept(name: str, count: int, width: int) -> Rows:
            what = f"the Jacobian of '{end.output}' by '{name}' ({rows} × {sample.inputs[name].size})"
            store = Rows(count, width, _dtype(sample, name), folder, what)
            stack.callback(store.close)
            return store

        if mode == "reverse":
            stores = {name: kept(name, rows, sample.inputs[name].size) for name in end.inputs}
            values, first = yield from _by_rows(sample, end, trace, rows, batch, stores, way, watch)
            matrices = {name: store.whole() for name, store in stores.items()}
        else:
            looked = looked or (yield from _look(sample, trace))
            values, first = looked.answer.activations["output"].reshape(-1), looked
            matrices = {}
            for name in end.inputs:
                store = kept(name, sample.inputs[name].size, rows)
                yield from _by_columns(sample, end, trace, name, batch, store, way, watch)
                way = way._replace(done=way.done + store.shape[0])
                matrices[name] = store.whole().T
    return Block(end, mode, shape, _labels(end, shape), values, matrices), first


def _labels(end: End, shape: Sequence[int]) -> tuple[str, ...]:
    if end.chosen is not None:
        return tuple(end.names[index] if end.names else str(index) for index in end.chosen)
    if len(shape) > 1:
        return ()
    if shape[0] == 1 and end.classes == 2:
        return (end.names[1] if end.names else end.output,)
    return end.names if len(end.names) == shape[0] else tuple(map(str, range(shape[0])))


def _dtype(sample: Sample, name: str) -> Any:
    return np.float64 if sample.inputs[name].dtype == np.float64 else np.float32


def _look(sample: Sample, trace: Trace) -> Generator[Query, Reply, Reply]:
    """Ask for the output itself."""
    seen = Trace(output=trace.output, whole=True, gradient=False)
    reply = yield Query(Ask(1, lambda _, out: sample.write(out), np.ones(1), trace=seen))
    require_finite_values(float(np.sum(reply.answer.activations["output"])))
    return reply


def _chunks(count: int, width: int, batch: int) -> Generator[tuple[int, int], None, None]:
    """Yield (first, number) of chunks: whole batches, as many as are held at once."""
    size = max(1, _CHUNK // (4 * max(1, width) * batch)) * batch
    for start in range(0, count, size):
        yield start, min(size, count - start)


def _by_rows(
    sample: Sample,
    end: End,
    trace: Trace,
    count: int,
    batch: int,
    stores: dict[str, Rows],
    way: Way,
    watch: Watch,
) -> Generator[Query, Reply, tuple[Array, Reply]]:
    values = np.empty(count)
    first: Reply | None = None
    width = count if end.chosen is None else end.classes
    indices = np.arange(count) if end.chosen is None else np.array(end.chosen)
    for start, number in _chunks(count, width + sum(store.shape[1] for store in stores.values()), batch):
        if number < count:
            watch(way._replace(done=start))
        abouts = np.zeros((number, width), np.float32)
        abouts[np.arange(number), indices[start : start + number]] = 1
        ask = Ask(number, lambda _, out: sample.write(out), np.zeros(number), each=True, abouts=abouts, trace=trace)
        reply = yield Query(ask)
        # Only what is said of the sample: the rows are copied, and would be held twice.
        first = first or reply._replace(answer=replace(reply.answer, each={}))
        values[start : start + number] = reply.answer.values
        require_finite_values(float(reply.answer.values.sum()))
        _take(reply.answer.each, stores)
    assert first is not None
    return values, first


def _by_columns(
    sample: Sample, end: End, trace: Trace, name: str, batch: int, store: Rows, way: Way, watch: Watch
) -> Generator[Query, Reply, None]:
    product = Trace(output=trace.output, product="jacobian", gradient=False)
    for start, number in _chunks(*store.shape, batch):
        if number < way.total:
            watch(way._replace(done=way.done + start))

        def point(i: int, out: Arrays, start: int = start) -> None:
            sample.write(out)
            for other in sample.floating:
                out[against(0, other)][...] = 0
            out[against(0, name)].reshape(-1)[start + i] = 1

        reply = yield Query(Ask(number, point, np.zeros(number), each=True, trace=product, references=1))
        _take({end.output: reply.answer.each_activation["output"]}, {end.output: store})


def _take(found: Arrays, stores: dict[str, Rows]) -> None:
    require_finite_map("the Jacobian", {name: found[name] for name in stores})
    for name, store in stores.items():
        store.append(found[name].reshape(len(found[name]), -1))
