"""What becomes of a batch that memory doesn't hold: it is evaluated in smaller ones, and whoever asked is told.

Whoever asks goes on with batches of the size that was planned, so that nothing under way is lost.
"""

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import numpy as np

from saliency_cli.autodiff.packing import Evaluation, Evaluator
from saliency_cli.differentiable import GRADIENT, Array, Arrays, Trace
from saliency_cli.errors import ModelError

Sized = TypeVar("Sized", bound=Evaluator)
Found = TypeVar("Found")


def halved(batch: int) -> int:
    """Return the next smaller batch size that a map's bits don't depend on company in: a multiple of 8, or 1."""
    return batch // 2 // 8 * 8 or 1


class Halving(Generic[Sized]):
    """An evaluator of one size whose batches are evaluated in parts, once memory has run out.

    `build(size)` gives an evaluator of another size, `compile_(evaluator, trace)` has one compile a trace. `note`
    says so from then on.
    """

    def __init__(
        self,
        evaluator: Sized,
        build: Callable[[int], Sized],
        compile_: Callable[[Sized, Trace], object] = lambda *_: None,
    ) -> None:
        self.batch = evaluator.batch
        self.note = ""
        self._build = build
        self._compile = compile_
        self._evaluator = evaluator

    def __call__(
        self, inputs: Arrays, weights: Array, top: Array, truth: Array, trace: Trace = GRADIENT
    ) -> Evaluation:
        """Evaluate one full batch. Raises `ModelError` (reason `memory`) where memory doesn't hold one sample."""
        return self._holding(lambda: self._evaluated(inputs, weights, top, truth, trace))

    def trace(self, trace: Trace) -> None:
        """Compile a trace now, at a size that memory holds. Raises as an evaluation does."""
        self._holding(lambda: self._compile(self._evaluator, trace))

    def _holding(self, work: Callable[[], Found]) -> Found:
        while True:
            try:
                return work()
            except (MemoryError, ModelError) as error:
                size = self._evaluator.batch
                if size == 1 or (isinstance(error, ModelError) and error.reason != "memory"):
                    raise
            smaller = halved(size)
            self.note = f"in batches of {smaller}, not {self.batch}: memory ran out"
            self._evaluator = self._build(smaller)

    def _evaluated(self, inputs: Arrays, weights: Array, top: Array, truth: Array, trace: Trace) -> Evaluation:
        size = self._evaluator.batch
        if size == self.batch:
            return self._evaluator(inputs, weights, top, truth, trace)
        parts = []
        for start in range(0, self.batch, size):
            named = {name: _part(array, start, size) for name, array in inputs.items()}
            one, two, three = (_part(row, start, size) for row in (weights, top, truth))
            parts.append(self._evaluator(named, one, two, three, trace))
        return _joined(parts, self.batch)


def _part(array: Array, start: int, size: int) -> Array:
    """Return some rows of an array, zeros behind the last."""
    found = array[start : start + size]
    if len(found) == size:
        return found
    padded = np.zeros((size, *array.shape[1:]), array.dtype)
    padded[: len(found)] = found
    return padded


def _joined(parts: list[Evaluation], batch: int) -> Evaluation:
    """Return the results of consecutive parts as those of one batch."""

    def one(arrays: Iterable[Array]) -> Array:
        return np.concatenate(list(arrays))[:batch]

    return Evaluation(
        one(part.values for part in parts),
        one(part.tops for part in parts),
        one(part.logits for part in parts),
        one(part.scores for part in parts),
        {name: one(part.gradients[name] for part in parts) for name in parts[0].gradients},
        {name: one(part.activations[name] for part in parts) for name in parts[0].activations},
        parts[0].depends,
    )
