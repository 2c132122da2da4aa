"""Gradients by the weights, of every row of a batch on its own: ∂s(xᵢ)/∂w, and their sum over the rows.

A row is a forward and a backward pass of its own in inference mode, inside one `tf.function` whose inputs are the
batch and the weights. What leaves the device are a few numbers for each weight and row, and one sum over the rows,
accumulated in float64; the gradients themselves only where they are asked for.

Rows are computed in one of two ways, told in `way`:

- `vectorised`: from one pass of the whole batch (`row_products.py`), where it is known how, where a batch of
  gradients fits, and where operations are small: the loop would spend its time on calling them.
- `loop`: one after another, several under way, inside the function. Any model, and no more memory than a few rows.
"""

import copy
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np

from saliency_cli.autodiff.compiled import Compiled
from saliency_cli.autodiff.model import Weight
from saliency_cli.autodiff.packing import Evaluation
from saliency_cli.autodiff.row_products import NotByRows, row_gradients
from saliency_cli.autodiff.runtime import tf
from saliency_cli.differentiable import VALUES, Array, Arrays, Trace
from saliency_cli.errors import ModelError

Tensor = Any

SQUARES, GRADIENT = "squares", "gradient"
"""What a row is told, as activations: Σg² of each weight, and where it was asked for the gradient, flat: the weights'
one after another."""

_ROOM = 512 * 2**20
# Values of one row that an operation gives, on average, beyond which the loop is faster: its native kernel gradients
# outweigh that it calls every operation for each row. MobileNetV2 has 30,000 at 96×96 pixels (2.2 : 4.2 times the
# summed gradient's time, by both ways), 120,000 at 224×224 (2.7 : 1.7).
_BUSY = 60_000
_UNDER_WAY = 4


class Summed(NamedTuple):
    """A batch's gradients summed over the rows that count, by weight, and those rows' Σg², `(rows, weights)`."""

    gradients: list[Array]
    squares: Array


class WeightGradients:
    """An evaluator for the packer whose answers are about the weights; of each point the trace is left aside.

    `weights`: those to differentiate by, at their values at the time of each batch. A row counts if its class
    weights or its choice of the top class say that it is about something (a loss takes any class weights), and if
    its target and its gradient are finite; `take` is handed the sum over the rows that count, batch by batch. Sums
    within a batch are in the precision of the weights. With `each` every row's gradient is told too, and the batch
    is made small enough that they fit.

    Raises `ModelError` where the target depends on none of the weights (reason `disconnected`).
    """

    def __init__(
        self,
        compiled: Compiled,
        weights: Sequence[Weight],
        take: Callable[[Summed], None] = lambda _: None,
        *,
        truth_shape: tuple[int, ...] = (),
        each: bool = False,
        way: Literal["vectorised", "loop"] | None = None,
    ) -> None:
        self.each = each
        self.batch = compiled.batch
        self._compiled = compiled
        self._all = tuple(weights)
        self._sizes = [int(np.prod(weight.shape)) for weight in self._all]
        self._type = tf.float64 if any(weight.dtype == "float64" for weight in self._all) else tf.float32
        room = max(1, _ROOM // max(4 * sum(self._sizes), 1))
        if each and compiled.model.batch is None:
            self.batch = min(compiled.batch, room)
        # A model that insists on a size of batch gets a row as often as it asks for.
        self._row = compiled.sized(compiled.model.batch or 1)
        self._truth_shape = truth_shape
        self._take = take
        self._lost: set[str] = set()
        if not self._all:
            raise _nothing("the model has no weights that are trained")
        self._function, self.way = self._compile(way, small=self.batch <= room)
        self.weights = tuple(weight for weight in self._all if weight.name not in self._lost)

    def handing(self, take: Callable[[Summed], None]) -> "WeightGradients":
        """Return the same, compiled already, with somebody else who is handed the sums."""
        other = copy.copy(self)
        other._take = take  # noqa: SLF001 - its own
        return other

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all weights that were asked for."""
        return tuple(weight.name for weight in self._all)

    @property
    def disconnected(self) -> tuple[str, ...]:
        """The names of the weights that the target doesn't depend on: answers leave them out, as `weights` does."""
        return tuple(weight.name for weight in self._all if weight.name in self._lost)

    def __call__(self, inputs: Arrays, weights: Array, top: Array, truth: Array, trace: Trace = VALUES) -> Evaluation:
        """Evaluate one full batch."""
        del trace
        about = top | np.any(weights != 0, axis=-1)
        values, tops, logits, readable, squares, *flat, totals = self._run(inputs, weights, top, truth, about)
        counts = about & np.isfinite(values) & np.isfinite(squares.sum(-1))
        if not np.array_equal(counts, about) and counts.any():
            totals = self._run(inputs, weights, top, truth, counts)[-1]
        if counts.any():
            self._take(Summed([total.numpy() for total in totals], squares[counts]))
        told = {SQUARES: squares, **({GRADIENT: flat[0]} if self.each else {})}
        return Evaluation(values.astype(np.float64), tops, logits, readable, {}, told)

    def _run(self, inputs: Arrays, weights: Array, top: Array, truth: Array, counts: Array) -> list[Any]:
        """Return the parts of a batch as arrays, and the sums over the rows that count as tensors.

        The others are filled with what the first that counts is given: where zeros stand a root has no finite slope,
        and NaN times 0 is NaN.
        """
        rows = np.where(counts, np.arange(len(counts)), np.argmax(counts))
        if not counts.all():
            inputs = {name: array[rows] for name, array in inputs.items()}
            weights, top, truth = weights[rows], top[rows], truth[rows]
        with tf.device(self._compiled.device):
            batch = [tf.constant(inputs[spec.name], spec.dtype) for spec in self._compiled.model.inputs]
            given = [tf.constant(part) for part in (weights, top, truth, counts)]
            *parts, totals = self._function(batch, *given, *(weight.read() for weight in self._all))
        return [*(part.numpy() for part in parts), totals]

    def _compile(self, way: str | None, *, small: bool) -> tuple[Any, Literal["vectorised", "loop"]]:
        if way == "vectorised" or (way is None and small and self.batch > 1):
            try:
                return self._traced(partial(self._at_once, largest=_BUSY if way is None else math.inf)), "vectorised"
            except NotByRows:
                if way is not None:
                    raise
        return self._traced(self._one_by_one), "loop"

    def _traced(self, emit: Callable[..., Any]) -> Any:
        model, n, classes = self._compiled.model, self.batch, self._compiled.facts.classes
        inputs = [tf.TensorSpec(shape, dtype, name) for name, (shape, dtype) in model.signature(n).items()]
        rows = [
            tf.TensorSpec((n, classes)),
            tf.TensorSpec((n,), tf.bool),
            tf.TensorSpec((n, *self._truth_shape)),
            tf.TensorSpec((n,), tf.bool),
        ]
        weights = [tf.TensorSpec(weight.shape, weight.dtype) for weight in self._all]
        self._lost = set()

        def traced(inputs: list[Tensor], *given: Tensor) -> Any:
            return emit((*inputs, *given[: len(rows)]), list(given[len(rows) :]))

        with tf.device(self._compiled.device):
            return tf.function(traced, autograph=False).get_concrete_function(inputs, *rows, *weights)

    def _emitted(self, compiled: Compiled, rows: Sequence[Tensor], values: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Emit the forward pass: each row's target (0 where it doesn't count), top class, logits, readable scores."""
        *inputs, weights, top, truth, counts = rows
        named = dict(zip((spec.name for spec in compiled.model.inputs), inputs, strict=True))
        # A tensor of the graph being traced, which may be the loop's: an imported graph takes no other.
        given = {weight.name: tf.identity(value) for weight, value in zip(self._all, values, strict=True)}
        target, *told = compiled.emitted(named, given, weights, top, truth)
        return tf.where(counts, target, tf.zeros_like(target)), *told

    def _target(self, row: Sequence[Tensor], values: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Emit the forward pass of one row, without an axis of rows."""
        n = self._row.batch
        rows = [tf.repeat(part[None], n, axis=0) if n > 1 else part[None] for part in row]
        return tuple(part[0] for part in self._emitted(self._row, rows, values))

    def _dense(self, gradients: Sequence[Any]) -> list[Tensor]:
        """Return the gradients by the weights that the target depends on, in a precision that NumPy has."""
        found = []
        for weight, gradient in zip(self._all, gradients, strict=True):
            if gradient is None:
                self._lost.add(weight.name)
            else:
                dense = tf.convert_to_tensor(gradient)
                found.append(dense if dense.dtype == tf.float64 else tf.cast(dense, tf.float32))
        if not found:
            raise _nothing("the target doesn't depend on any of the weights")
        return found

    def _at_once(self, rows: Sequence[Tensor], values: list[Tensor], *, largest: float) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            told = self._emitted(self._compiled.sized(self.batch), rows, values)
        if _values_an_operation(told[0].graph, self.batch) > largest:
            raise NotByRows("operations are busy enough")
        found = self._dense(row_gradients(told[0], rows, values, lambda sources: tape.gradient(told[0], sources)))
        squares = [tf.reduce_sum(tf.square(g), axis=list(range(1, g.shape.rank))) for g in found]
        flat = [self._joined([tf.reshape(g, (self.batch, -1)) for g in found])] if self.each else []
        return (*told, self._joined([s[:, None] for s in squares]), *flat, [tf.reduce_sum(g, axis=0) for g in found])

    def _one_by_one(self, rows: Sequence[Tensor], values: list[Tensor]) -> Any:
        n = self.batch
        kinds, sums = self._sketch(rows, values)

        def body(i: Tensor, sums: list[Tensor], told: list[Any]) -> Any:
            parts, found = self._one(rows, values, i)
            squares = self._joined([2 * tf.nn.l2_loss(g)[None] for g in found])
            flat = [self._joined([tf.reshape(g, (-1,)) for g in found])] if self.each else []
            written = [array.write(i, part) for array, part in zip(told, (*parts, squares, *flat), strict=True)]
            return i + 1, [total + g for total, g in zip(sums, found, strict=True)], written

        kinds += [self._type, self._type] if self.each else [self._type]
        start = tf.constant(0), sums, [tf.TensorArray(kind, n) for kind in kinds]
        _, totals, arrays = tf.while_loop(
            lambda i, *_: i < n, body, start, parallel_iterations=_UNDER_WAY, maximum_iterations=n
        )
        return (*(array.stack() for array in arrays), totals)

    def _one(
        self, rows: Sequence[Tensor], values: list[Tensor], i: Tensor
    ) -> tuple[tuple[Tensor, ...], list[Tensor]]:
        """Emit what is told of row i, and its gradients."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            parts = self._target([part[i] for part in rows], values)
        return parts, self._dense(tape.gradient(parts[0], values))

    def _sketch(self, rows: Sequence[Tensor], values: list[Tensor]) -> tuple[list[Any], list[Tensor]]:
        """Return the types of what a row tells, and zeros like its gradients, from a trace that is thrown away."""

        def sketched() -> Any:
            return self._one(rows, values, tf.constant(0))

        parts, found = tf.function(sketched, autograph=False).get_concrete_function().structured_outputs
        return [part.dtype for part in parts], [tf.zeros(g.shape, g.dtype) for g in found]

    def _joined(self, parts: Sequence[Tensor]) -> Tensor:
        return tf.concat([part if part.dtype == self._type else tf.cast(part, self._type) for part in parts], axis=-1)


def _nothing(what: str) -> ModelError:
    return ModelError(what, hint="saliency inspect MODEL shows the layers and their weights", reason="disconnected")


def _values_an_operation(graph: Any, rows: int) -> float:
    """Return how many values of one row an operation gives on average."""
    shapes = [
        operation.outputs[0].shape
        for operation in graph.get_operations()
        if operation.outputs and operation.outputs[0].dtype.is_floating and operation.type != "Identity"
    ]
    sizes = [shape.num_elements() for shape in shapes if shape.rank and shape[0] == rows]
    return sum(size or 0 for size in sizes) / rows / max(len(sizes), 1)
