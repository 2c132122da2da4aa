"""What is asked of the engine for a second derivative: products with vectors, of which the rest is made.

The diagonal of a large one is a mean over random signs z of z ⊙ Hz, whose expectation it is, with the standard error
of that mean (Bekas, Kokiopoulou & Saad 2007, An estimator for the diagonal of a matrix; Hutchinson 1990 for the
trace). The curvature along a vector v is vᵀHv/‖v‖².
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np

from saliency_cli.autodiff.packing import Query, Reply
from saliency_cli.differentiable import Array, Arrays, Ask, Sample, Trace, against
from saliency_cli.runs.diagnosis import require_finite_map
from saliency_cli.runs.explaining import query
from saliency_cli.studies.hessian_found import Diagonal, Space
from saliency_cli.studies.lanczos import Eigen, top_eigenvalues
from saliency_cli.targets import Target

Asking = Generator[Query, Reply, Array]

_TOLERANCE = 1e-3
_WIDE_BASIS = 32 << 20
_CHUNK = 16 << 20


@dataclass(frozen=True, eq=False)
class Products:
    """H·v of one target at one sample, of the model with its ReLUs smoothed where `smooth` says so."""

    sample: Sample
    target: Target
    space: Space
    smooth: float | None
    batch: int

    def of(self, vectors: Callable[[int], Array], n: int) -> Asking:
        """Ask for H times `n` vectors `(size,)`; return `(n, size)`. Raises `InputError` where one is not finite."""
        sample = self.sample

        def point(i: int, out: Arrays) -> None:
            sample.write(out)
            for name, part in self.space.parts(vectors(i)).items():
                out[against(0, name)][...] = part

        trace = Trace(product="hessian", smooth=self.smooth)
        reply = yield query(Ask(n, point, np.zeros(n), each=True, trace=trace, references=1), self.target)
        require_finite_map("the second derivative", reply.answer.each)
        return np.stack(
            [self.space.flat({name: each[i] for name, each in reply.answer.each.items()}) for i in range(n)]
        )

    def one(self, vector: Array) -> Asking:
        """Ask for H times one vector."""
        (product,) = yield from self.of(lambda _: vector, 1)
        return np.asarray(product)

    @property
    def chunk(self) -> int:
        """How many products are held at once: whole batches."""
        return max(1, _CHUNK // (8 * self.space.size * self.batch)) * self.batch

    def matrix(self) -> Asking:
        """Ask for all of H, `(size, size)`, as it comes: symmetric but for rounding."""
        size = self.space.size
        columns = []
        for start in range(0, size, self.chunk):
            count = min(self.chunk, size - start)
            columns.append((yield from self.of(lambda i, start=start: _unit(size, start + i), count)))  # type: ignore[misc]
        return np.concatenate(columns).T

    def signs(self, draw: int) -> Array:
        """Return random signs that depend on (seed, content of the sample, draw) alone."""
        rng = self.sample.generator("hessian signs", draw)
        return rng.integers(0, 2, self.space.size) * 2.0 - 1.0

    def normal(self) -> Array:
        """Return a random vector of no special place: H times it is zero where all of H is."""
        return np.asarray(self.sample.generator("hessian flatness", 0).standard_normal(self.space.size))

    def diagonal(self, draws: int) -> Generator[Query, Reply, Diagonal]:
        """Estimate the diagonal from a number of random signs."""
        size = self.space.size
        total, squares, traces = np.zeros(size), np.zeros(size), []
        for start in range(0, draws, self.chunk):
            count = min(self.chunk, draws - start)
            products = yield from self.of(lambda i, start=start: self.signs(start + i), count)  # type: ignore[misc]
            for i, product in enumerate(products):
                drawn = self.signs(start + i) * product
                total += drawn
                squares += np.square(drawn)
                traces.append(float(drawn.sum()))
        mean = total / draws
        variance = np.maximum(squares / draws - np.square(mean), 0) * draws / (draws - 1)
        error = float(np.std(traces, ddof=1)) / np.sqrt(draws)
        return Diagonal(mean, np.sqrt(variance / draws), float(np.mean(traces)), float(error))

    def top(self, count: int, steps: int) -> Generator[Query, Reply, Eigen]:
        """Ask for the eigenvalues of largest magnitude, and their vectors."""
        size = self.space.size
        dtype = np.float64 if 8 * size * 24 <= _WIDE_BASIS else np.float32
        rng = self.sample.generator("hessian start", 0)
        search = top_eigenvalues(size, count, rng, steps=steps, tolerance=_TOLERANCE, dtype=dtype)
        vector = next(search)
        while True:
            product = yield from self.one(vector)
            try:
                vector = search.send(product)
            except StopIteration as stop:
                found: Eigen = stop.value
                return found


def _unit(size: int, place: int) -> Array:
    vector = np.zeros(size)
    vector[place] = 1
    return vector
