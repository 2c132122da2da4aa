"""Continuous batching: many samples' asks packed into full batches of one shape.

Each sample is a generator that yields a `Query` (an `Ask` with the target it is about) and goes on
with the `Reply`. The packer runs many of them at once and fills the next batch while the device works
on this one, as inference servers do for language models. The last batch is padded with zeros. A
picture's bits do not depend on who shares its batch: rows are independent in inference, the shape is
always the same, and every sum is accumulated on its own, in the order of its points, in float64.
"""

import bisect
import itertools
from collections import deque
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np

from saliency_cli.differentiable import GRADIENT, Answer, Array, Arrays, Ask, Sample, Trace, against
from saliency_cli.errors import InputError, SaliencyError


class Evaluation(NamedTuple):
    """A batch's results as NumPy arrays.

    `values` `(batch,)` float64, `tops` `(batch,)` int (−1 without classes), `logits` and `scores`
    `(batch, classes)` (the scores as a user reads them: probabilities where the head gives them), and
    the gradient of each differentiated input, `(batch, *shape)`. A trace with layers gives theirs instead,
    beside `activations`, and tells which floating inputs each layer `depends` on.
    """

    values: Array
    tops: Array
    logits: Array
    scores: Array
    gradients: Mapping[str, Array]
    activations: Mapping[str, Array] = MappingProxyType({})
    depends: Mapping[str, tuple[str, ...]] = MappingProxyType({})


def placed(layer: str) -> str:
    """Return the name under which a batch holds what is written at a layer, beside its inputs."""
    return f"layer:{layer}"


class Evaluator(Protocol):
    """What the packer drives: the compiled function, or a stand-in without TensorFlow."""

    batch: int

    def __call__(self, inputs: Arrays, weights: Array, top: Array, truth: Array, trace: Trace) -> Evaluation:
        """Evaluate one batch of exactly `batch` rows by one trace."""
        ...


@dataclass(frozen=True, eq=False)
class Query:
    """An ask about one target: class `weights`, a loss's `truth`, or neither: the top class, chosen in the graph.

    An ask that tells its own target for each point goes before all three.
    """

    ask: Ask
    weights: Array | None = None
    truth: Array | None = None


class Reply(NamedTuple):
    """The answer, and the output's logits and readable scores at the ask's first point."""

    answer: Answer
    logits: Array
    scores: Array


Program = Generator[Query, Reply, Any]


class Job(NamedTuple):
    """One sample to work on: `key`, whatever it is, comes back with the result."""

    key: Any
    sample: Sample
    program: Program


class Outcome(NamedTuple):
    """A finished job: what its program returned, or the error it raised."""

    key: Any
    result: Any
    error: SaliencyError | None


@dataclass(eq=False)
class _Running:
    """A job with the query it waits for, and what has come back so far."""

    job: Job
    turn: int
    query: Query
    placed: int = 0
    returned: int = 0
    values: Array = field(default_factory=lambda: np.empty(0))
    tops: Array = field(default_factory=lambda: np.empty(0, np.int64))
    gradients: dict[str, Array] = field(default_factory=dict)
    squares: dict[str, Array] = field(default_factory=dict)
    each: dict[str, Array] = field(default_factory=dict)
    activations: dict[str, Array] = field(default_factory=dict)
    each_activation: dict[str, Array] = field(default_factory=dict)
    depends: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    logits: Array = field(default_factory=lambda: np.empty(0))
    scores: Array = field(default_factory=lambda: np.empty(0))
    key: Hashable = ()
    kind: int = 0
    lone: bool = False

    def begin(self, query: Query) -> None:
        ask, sample = query.ask, self.job.sample
        by_inputs = ask.trace.gradient and not ask.trace.layer
        shapes = {name: sample.inputs[name].shape for name in sample.floating} if by_inputs else {}
        self.query, self.placed, self.returned = query, 0, 0
        self.key = self._key()
        # The sample itself, once a sample: no sum to begin with zeros, and no page of memory but the gradient's own.
        self.lone = ask.n == 1 and not (ask.trace.layer or ask.squares or ask.each) and float(ask.weights[0]) == 1
        self.values, self.tops = np.empty(ask.n), np.empty(ask.n, np.int64)
        self.gradients = {name: _NONE if self.lone else np.zeros(shape) for name, shape in shapes.items()}
        self.squares = {name: np.zeros(shape) for name, shape in shapes.items()} if ask.squares else {}
        self.each = (
            {name: np.empty((ask.n, *shape), _wide(sample.inputs[name])) for name, shape in shapes.items()}
            if ask.each
            else {}
        )
        self.activations, self.each_activation, self.depends = {}, {}, {}

    def _make_room(self, found: Evaluation) -> None:
        """Hold arrays for what is told of layers, whose shapes the first answer tells."""
        ask, n = self.query.ask, self.query.ask.n
        for name, array in found.activations.items():
            self.activations[name] = np.zeros(array.shape[1:])
            if ask.each:
                self.each_activation[name] = np.empty((n, *array.shape[1:]), _wide(array))
        for name, array in found.gradients.items() if ask.trace.layer else ():
            self.gradients[name] = np.zeros(array.shape[1:])
            if ask.squares:
                self.squares[name] = np.zeros(array.shape[1:])
            if ask.each:
                self.each[name] = np.empty((n, *array.shape[1:]), _wide(array))
        self.depends = found.depends

    def take(self, point: int, row: int, found: Evaluation) -> None:
        ask = self.query.ask
        self.values[point], self.tops[point] = found.values[row], found.tops[row]
        weight = float(ask.weights[point])
        if not self.returned and (ask.trace.layer or found.activations):
            self._make_room(found)
        if self.lone:
            self._take_lone(row, found)
        for name, outputs in found.activations.items():
            self._take_activation(name, point, outputs[row], weight)
        for name, gradients in found.gradients.items() if not self.lone else ():
            gradient = gradients[row]
            if weight == 1:
                self.gradients[name] += gradient
            elif weight != 0:
                _add(self.gradients[name], gradient, weight)
            if ask.squares and weight:
                self.squares[name] += weight * np.square(gradient, dtype=np.float64)
            if ask.each:
                self.each[name][point] = gradient
        if point == 0:
            self.logits, self.scores = np.array(found.logits[row]), np.array(found.scores[row])
        self.returned += 1

    def _take_lone(self, row: int, found: Evaluation) -> None:
        """Take the gradient as it is; that of an input that the target ignores is zero."""
        for name in self.gradients:
            given = found.gradients.get(name)
            shape = self.job.sample.inputs[name].shape
            self.gradients[name] = np.zeros(shape, np.float32) if given is None else np.array(given[row])

    def _take_activation(self, name: str, point: int, output: Array, weight: float) -> None:
        self.activations[name] += np.multiply(output, weight, dtype=np.float64)
        if self.query.ask.each:
            self.each_activation[name][point] = output

    def reply(self) -> Reply:
        answer = Answer(
            self.values,
            self.tops,
            self.gradients,
            self.squares,
            self.each,
            self.logits,
            self.activations,
            self.each_activation,
            self.depends,
        )
        return Reply(answer, self.logits, self.scores)

    def _key(self) -> Hashable:
        """Return what two points of one batch have in common beside their trace: the shapes of all that is given."""
        shapes = {name: array.shape for name, array in self.job.sample.inputs.items()}
        shapes |= {placed(layer): shape for layer, shape in self.query.ask.shapes.items()}
        shapes |= {other: self.job.sample.inputs[name].shape for other, name in self.references.items()}
        return (self.width, *sorted(shapes.items()))

    @property
    def width(self) -> int:
        """How many weights a point has, where it is about another output than the run's or all of it; else 0."""
        ask = self.query.ask
        if not (ask.trace.whole or ask.trace.output):
            return 0
        weights = ask.abouts[0] if ask.abouts is not None else self.query.weights
        return 0 if weights is None else len(weights)

    @property
    def references(self) -> dict[str, str]:
        """The names of the inputs of the points it is compared with → the input's own."""
        floating = self.job.sample.floating
        return {against(k, name): name for k in range(self.query.ask.references) for name in floating}


@dataclass(eq=False)
class _Batch:
    """A batch buffer being filled, of the shapes that `key` tells, and whose points its rows are."""

    key: Hashable
    inputs: dict[str, Array]
    weights: Array
    top: Array
    truth: Array
    trace: Trace = GRADIENT
    rows: list[tuple[_Running, int]] = field(default_factory=list)


class Packer:
    """Runs jobs over one evaluator. `classes` is the width of a weights row; `truth_shape` a label's shape.

    `check` is called before each batch, and may raise to break the run off.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        *,
        classes: int,
        truth_shape: tuple[int, ...] = (),
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.evaluator = evaluator
        self.check = check
        self.size = evaluator.batch
        self.classes = classes
        self.truth_shape = truth_shape
        self._spare: dict[Hashable, list[_Batch]] = {}
        self._kinds: dict[Hashable, int] = {}
        self._next_kind = itertools.count()

    def run(self, jobs: Iterable[Job | None]) -> Iterator[Outcome]:
        """Run every job, yielding outcomes as they finish (in order, for jobs of equal length).

        A None among the jobs says that nothing more is there for the moment: what has been gathered is
        then sent off, padded, instead of waiting for company. A `SaliencyError` raised by a program ends
        that job alone.
        """
        source, turns = iter(jobs), itertools.count()
        exhausted = idle = False
        waiting: list[_Running] = []
        finished: deque[Outcome] = deque()
        flight: tuple[Future[Evaluation], _Batch] | None = None
        with ThreadPoolExecutor(1, "device") as device:
            while True:
                batch: _Batch | None = None
                while batch is None or len(batch.rows) < self.size:
                    last = exhausted or idle or len(waiting) >= _ALIVE * self.size
                    chosen = self._chosen(batch, waiting, last=last)
                    if chosen is not None:
                        batch = self._fill(batch or self._buffer(chosen), waiting)
                        continue
                    if last or (finished and batch is None):
                        break
                    job = next(source, _END)
                    exhausted, idle = job is _END, job is None
                    if isinstance(job, Job):
                        self._advance(_Running(job, next(turns), _NOTHING), None, waiting, finished)
                sent = self._send(device, batch) if batch is not None else None
                if flight is not None:
                    self._collect(device, *flight, waiting, finished)
                flight = sent
                while finished:
                    yield finished.popleft()
                if flight is None and not waiting:
                    idle = False
                    if exhausted:
                        return

    def _send(self, device: ThreadPoolExecutor, batch: _Batch) -> "tuple[Future[Evaluation], _Batch]":
        self.check()
        used = len(batch.rows)
        if used < self.size:
            for array in (*batch.inputs.values(), batch.weights, batch.truth, batch.top):
                array[used:] = 0
        arguments = batch.inputs, batch.weights, batch.top, batch.truth, batch.trace
        return device.submit(self.evaluator, *arguments), batch

    def _chosen(self, batch: _Batch | None, waiting: list[_Running], *, last: bool) -> _Running | None:
        """Return whose points go into a batch next: those that fit it, or for a new one those that fill it.

        Points of another trace or shape wait until they fill a batch of their own: one loss gradient a
        sample among fifty of SmoothGrad would be one padded batch a sample. With `last`, nobody is left to
        wait for.
        """
        if batch is not None:
            return next((running for running in waiting if _fits(running, batch)), None)
        unplaced: dict[int, int] = {}
        for running in waiting:
            unplaced[running.kind] = unplaced.get(running.kind, 0) + running.query.ask.n - running.placed
        open_ = [running for running in waiting if running.placed < running.query.ask.n]
        full = (each for each in open_ if unplaced[each.kind] >= self.size)
        return next(full, open_[0] if last and open_ else None)

    def _fill(self, batch: _Batch, waiting: list[_Running]) -> _Batch:
        """Place as many points as fit, first come first served."""
        for running in waiting:
            if not _fits(running, batch):
                continue
            query, sample = running.query, running.job.sample
            while running.placed < query.ask.n and len(batch.rows) < self.size:
                row = len(batch.rows)
                written = () if query.ask.shapes else sample.floating
                # The dots make a view of a single number too.
                out = {name: batch.inputs[name][row, ...] for name in written}
                out |= {layer: batch.inputs[placed(layer)][row, ...] for layer in query.ask.shapes}
                out |= {other: batch.inputs[other][row, ...] for other in running.references}
                query.ask.point(running.placed, out)
                for name, array in sample.inputs.items():
                    if name not in written:
                        batch.inputs[name][row] = array
                abouts, about = query.ask.abouts, query.weights
                batch.top[row] = about is None and query.truth is None and abouts is None
                batch.weights[row] = abouts[running.placed] if abouts is not None else 0 if about is None else about
                batch.truth[row] = 0 if query.truth is None else query.truth
                batch.rows.append((running, running.placed))
                running.placed += 1
            if len(batch.rows) == self.size:
                break
        return batch

    def _buffer(self, running: _Running) -> _Batch:
        spare = self._spare.setdefault(running.key, [])
        # Inputs of open size may all differ: buffers of a few shapes are kept, not of every shape seen.
        while len(self._spare) > _SHAPES_KEPT:
            del self._spare[next(iter(self._spare))]
        trace = running.query.ask.trace
        if spare:
            batch = spare.pop()
            batch.trace = trace
            return batch
        arrays = running.job.sample.inputs
        inputs = {name: np.zeros((self.size, *array.shape), array.dtype) for name, array in arrays.items()}
        for layer, shape in running.query.ask.shapes.items():
            inputs[placed(layer)] = np.zeros((self.size, *shape), np.float32)
        for other, name in running.references.items():
            inputs[other] = np.zeros_like(inputs[name])
        weights = np.zeros((self.size, running.width or self.classes), np.float32)
        truth = np.zeros((self.size, *self.truth_shape), np.float32)
        return _Batch(running.key, inputs, weights, np.zeros(self.size, bool), truth, trace)

    def _collect(
        self,
        device: ThreadPoolExecutor,
        future: "Future[Evaluation]",
        batch: _Batch,
        waiting: list[_Running],
        finished: deque[Outcome],
    ) -> None:
        try:
            found = future.result()
        except InputError as error:
            self._apart(device, batch, error, waiting, finished)
            return
        self._hand_out(batch, found, None, waiting, finished)
        self._spare.setdefault(batch.key, []).append(batch)
        batch.rows.clear()

    def _apart(
        self,
        device: ThreadPoolExecutor,
        batch: _Batch,
        error: InputError,
        waiting: list[_Running],
        finished: deque[Outcome],
    ) -> None:
        """Evaluate a batch that failed once more for each of its samples, the others' rows zero: who is at fault?"""
        owners = [running for running in dict.fromkeys(running for running, _ in batch.rows) if running in waiting]
        for owner in owners:
            found, own = None, error
            if len(owners) > 1:
                others = [row for row, (running, _) in enumerate(batch.rows) if running is not owner]
                weights, top, truth = (array.copy() for array in (batch.weights, batch.top, batch.truth))
                inputs = {name: array.copy() for name, array in batch.inputs.items()}
                for array in (*inputs.values(), weights, top, truth):
                    array[others] = 0
                try:
                    found = device.submit(self.evaluator, inputs, weights, top, truth, batch.trace).result()
                except InputError as again:
                    own = again
            if found is not None:
                self._hand_out(batch, found, owner, waiting, finished)
                continue
            waiting.remove(owner)
            owner.job.program.close()
            finished.append(Outcome(owner.job.key, None, own))

    def _hand_out(
        self,
        batch: _Batch,
        found: Evaluation,
        only: _Running | None,
        waiting: list[_Running],
        finished: deque[Outcome],
    ) -> None:
        """Give the rows of a batch to whose points they are, or to one of them alone."""
        for row, (running, point) in enumerate(batch.rows):
            # Of one that is no longer waiting an earlier batch of its points failed.
            if only not in (None, running) or running not in waiting:
                continue
            running.take(point, row, found)
            if running.returned == running.query.ask.n:
                waiting.remove(running)
                self._advance(running, running.reply(), waiting, finished)

    def _kind(self, running: _Running) -> int:
        """Return a number for a trace and shapes: of a hundred waiting, hashing those anew each time would show."""
        if len(self._kinds) > _KINDS_KNOWN:  # two numbers for one kind are no fault: they only wait apart
            self._kinds.clear()
        kind = running.query.ask.trace, running.key
        if kind not in self._kinds:
            self._kinds[kind] = next(self._next_kind)
        return self._kinds[kind]

    def _advance(
        self, running: _Running, reply: Reply | None, waiting: list[_Running], finished: deque[Outcome]
    ) -> None:
        """Hand a program its reply and queue its next query, or its outcome."""
        job = running.job
        try:
            running.begin(next(job.program) if reply is None else job.program.send(reply))
            while not running.query.ask.n:  # an ask of no points has its answer already
                running.begin(job.program.send(running.reply()))
        except StopIteration as stop:
            finished.append(Outcome(job.key, stop.value, None))
        except SaliencyError as error:
            finished.append(Outcome(job.key, None, error))
        else:
            running.kind = self._kind(running)
            # Whoever came first goes first, so that samples finish in order and few are alive at once.
            bisect.insort(waiting, running, key=lambda other: other.turn)


def _add(total: Array, gradient: Array, weight: float) -> None:
    """Add `weight·gradient` in float64, in pieces that stay in the cache."""
    flat, given = total.reshape(-1), gradient.reshape(-1)
    product = np.empty(min(flat.size, _PIECE))
    for start in range(0, flat.size, _PIECE):
        piece = flat[start : start + _PIECE]
        out = product[: piece.size]
        np.multiply(given[start : start + _PIECE], weight, out=out)
        piece += out


def _wide(array: Array) -> type[np.floating[Any]]:
    """Return the precision in which single gradients are told."""
    return np.float64 if array.dtype == np.float64 else np.float32


def _fits(running: _Running, batch: _Batch) -> bool:
    ask = running.query.ask
    return running.placed < ask.n and ask.trace == batch.trace and running.key == batch.key


_NONE = np.empty(0)
_SHAPES_KEPT = 4
_KINDS_KNOWN = 1000
_PIECE = 32_768
_ALIVE = 2
"""How many batches' worth of samples may be under way at once."""

_END = object()
_NOTHING = Query(Ask(0, lambda _, __: None, np.empty(0)))
