"""Singular values of a matrix, and what they tell: its norm, rank and condition number."""

import math
from typing import NamedTuple

import numpy as np

from saliency_cli.differentiable import Array

_DIRECT = 1 << 20
_LARGEST = 2048
_BLOCK = 1 << 20


class Spectrum(NamedTuple):
    """`values` the singular values, the largest first; empty where there are too many to find.

    `norm` is the Frobenius norm, √Σ J². `rank` counts the values above what rounding leaves of a zero, 8 ε ‖J‖
    with the ε of the matrix's own precision, or of the way the values were found; `condition` is the largest over the
    smallest, infinite where the rank is not full; both None where the values weren't found.
    """

    values: Array
    norm: float
    rank: int | None
    condition: float | None


def spectrum(matrix: Array) -> Spectrum:
    """Return the singular values of a real matrix `(m, n)`, in float64.

    A small one's by its decomposition, others' as square roots of the eigenvalues of the smaller of JJᵀ and JᵀJ,
    summed in blocks; a value below 1e-8 of the largest is then lost in rounding, which a matrix of float32 can't show
    either, and counts as zero in one of float64. Where the smaller side is longer than 2,048 they are not found.
    Source: Golub & Van Loan, Matrix Computations, section 8.6.
    """
    if matrix.shape[0] > matrix.shape[1]:
        matrix = matrix.T
    rows, columns = matrix.shape
    if rows > _LARGEST:
        return Spectrum(np.empty(0), _norm(matrix), None, None)
    if matrix.size <= _DIRECT:
        values = np.linalg.svd(np.asarray(matrix, np.float64), compute_uv=False)
        precision = float(np.finfo(matrix.dtype).eps)
    else:
        values = np.sqrt(np.maximum(np.linalg.eigvalsh(_gram(matrix)), 0))[::-1]
        precision = max(float(np.finfo(matrix.dtype).eps), math.sqrt(float(np.finfo(np.float64).eps)))
    norm = math.sqrt(float(np.square(values).sum()))
    floor = 8 * precision * norm
    rank = int((values > floor).sum())
    if not rows * columns or not norm:
        return Spectrum(values, norm, rank, None)
    return Spectrum(values, norm, rank, float(values[0] / values[-1]) if rank == rows else math.inf)


def _gram(matrix: Array) -> Array:
    """Return JJᵀ in float64."""
    rows, columns = matrix.shape
    total = np.zeros((rows, rows))
    width = max(1, _BLOCK // rows)
    for start in range(0, columns, width):
        part = np.asarray(matrix[:, start : start + width], np.float64)
        total += part @ part.T
    return total


def _norm(matrix: Array) -> float:
    rows = max(1, _BLOCK // max(1, matrix.shape[1]))
    parts = (matrix[start : start + rows] for start in range(0, len(matrix), rows))
    return math.sqrt(sum(float(np.square(part, dtype=np.float64).sum()) for part in parts))
