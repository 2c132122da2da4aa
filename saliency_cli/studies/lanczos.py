"""The eigenvalues of largest magnitude of a symmetric matrix that is known by its products with vectors.

Lanczos with full reorthogonalisation and thick restarts: the basis never holds more than `basis` vectors, so memory
does not grow with the number of steps. Source: Wu & Simon 2000, Thick-Restart Lanczos Method for Large Symmetric
Eigenvalue Problems, SIAM J. Matrix Anal. Appl. 22.
"""

from collections.abc import Generator
from typing import Any, NamedTuple

import numpy as np

from saliency_cli.differentiable import Array

_NOTHING_LEFT = 1e-12


class Eigen(NamedTuple):
    """Eigenvalues `(k,)`, the largest |λ| first, unit vectors `(k, n)`, residuals ‖Hv − λv‖ `(k,)`.

    `steps`: how many products were asked for; `settled`: every residual is within the tolerance.
    """

    values: Array
    vectors: Array
    residuals: Array
    steps: int
    settled: bool


def top_eigenvalues(
    size: int, wanted: int, rng: np.random.Generator, *, steps: int, tolerance: float, dtype: Any = np.float64
) -> Generator[Array, Array, Eigen]:
    """Yield vectors `(n,)` of length 1, go on with their products, and return the top eigenvalues and vectors.

    It ends when every residual is at most `tolerance` of the largest |λ|, or after `steps` products. A small residual
    says that there is such an eigenvalue, not that there is no larger one: so there are at least 2k + 10 products.
    """
    wanted = min(wanted, size)
    held = min(size, max(3 * wanted + 10, 24))
    basis: Array = np.empty((held + 1, size), dtype)
    projected = np.zeros((held, held))
    basis[0] = _unit(rng.standard_normal(size))
    m, step = 0, 0
    while True:
        w = np.array((yield basis[m]), np.float64)
        step += 1
        w, inner = _orthogonal(w, basis[: m + 1])
        projected[: m + 1, m] = projected[m, : m + 1] = inner
        m += 1
        length = float(np.linalg.norm(w))
        values, ritz = np.linalg.eigh(projected[:m, :m])
        order = np.argsort(-np.abs(values), kind="stable")
        values, ritz = values[order], ritz[:, order]
        scale = float(np.abs(values[0]))
        exhausted = length <= _NOTHING_LEFT * max(scale, np.finfo(float).tiny)
        residuals = np.zeros(m) if exhausted else length * np.abs(ritz[-1])
        settled = step >= _least(wanted) and bool((residuals[:wanted] <= tolerance * scale).all())
        if settled or m == size or step >= steps:
            break
        if exhausted:  # what was reached from the first vector is whole: go on with what wasn't
            w, _ = _orthogonal(rng.standard_normal(size), basis[:m])
        if m == held:
            m = wanted + (held - wanted) // 2
            basis[:m] = ritz[:, :m].T @ basis[:held]
            projected[:] = 0
            np.fill_diagonal(projected[:m, :m], values[:m])
        basis[m] = _unit(w)
    count = min(wanted, len(values))
    vectors = np.asarray(ritz[:, :count].T @ basis[: len(values)], np.float64)
    return Eigen(values[:count], vectors, residuals[:count], step, settled or m == size)


def _least(wanted: int) -> int:
    return 2 * wanted + 10


def _orthogonal(w: Array, basis: Array) -> tuple[Array, Array]:
    """Return what of a vector no basis vector has, and its products with them; twice, for the rounding."""
    total = np.zeros(len(basis))
    for _ in range(2):
        inner = np.asarray(basis @ w.astype(basis.dtype), np.float64)
        w = w - inner.astype(basis.dtype) @ basis
        total += inner
    return w, total


def _unit(vector: Array) -> Array:
    return np.asarray(vector / np.linalg.norm(vector))
