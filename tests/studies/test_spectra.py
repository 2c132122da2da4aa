"""Singular values and eigenvalues against NumPy's own, without TensorFlow."""

import math

import numpy as np
import pytest

from saliency_cli.studies import spectrum as module
from saliency_cli.studies.lanczos import top_eigenvalues
from saliency_cli.studies.spectrum import spectrum


def matrix(rows, columns, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, columns))


@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (5, 5), (1, 4)])
@pytest.mark.parametrize("direct", [True, False])
def test_singular_values_norm_and_condition(shape, direct, monkeypatch):
    monkeypatch.setattr(module, "_DIRECT", 1 << 20 if direct else 0)
    monkeypatch.setattr(module, "_BLOCK", 8)
    values = matrix(*shape)
    found = spectrum(values)
    assert np.allclose(found.values, np.linalg.svd(values, compute_uv=False), rtol=1e-7)
    assert found.norm == pytest.approx(np.linalg.norm(values))
    assert found.rank == min(shape)
    assert found.condition == pytest.approx(np.linalg.cond(values), rel=1e-6)


def test_a_matrix_without_full_rank_has_no_condition_number():
    values = matrix(4, 9).astype(np.float32)
    values[3] = values[0] - values[1]
    found = spectrum(values)
    assert found.rank == 3
    assert math.isinf(found.condition)


def test_a_matrix_of_zeros():
    found = spectrum(np.zeros((3, 4), np.float32))
    assert (found.norm, found.rank, found.condition) == (0, 0, None)


def test_a_matrix_too_large_to_decompose_still_has_its_norm(monkeypatch):
    monkeypatch.setattr(module, "_LARGEST", 3)
    values = matrix(6, 5)
    found = spectrum(values)
    assert (found.values.size, found.rank, found.condition) == (0, None, None)
    assert found.norm == pytest.approx(np.linalg.norm(values))


def solved(a, wanted, **options):
    search = top_eigenvalues(len(a), wanted, np.random.default_rng(3), **{"steps": 400, "tolerance": 1e-8, **options})
    vector, asked = next(search), 0
    while True:
        asked += 1
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
        try:
            vector = search.send(a @ vector)
        except StopIteration as stop:
            found = stop.value
            break
    assert found.steps == asked
    return found


def symmetric(size, values, seed=1):
    q, _ = np.linalg.qr(matrix(size, size, seed))
    return q @ np.diag(values) @ q.T


@pytest.mark.parametrize("size", [1, 2, 5, 40, 150])
@pytest.mark.parametrize("wanted", [1, 3])
def test_the_eigenvalues_of_largest_magnitude(size, wanted):
    a = matrix(size, size)
    a = a + a.T
    found = solved(a, wanted)
    expected = np.linalg.eigvalsh(a)
    expected = expected[np.argsort(-np.abs(expected))][: min(wanted, size)]
    assert found.settled
    assert np.allclose(found.values, expected, rtol=1e-7)
    for value, vector in zip(found.values, found.vectors, strict=True):
        assert np.allclose(a @ vector, value * vector, atol=1e-5 * abs(expected[0]))


def test_a_basis_that_must_be_begun_anew_many_times():
    values = np.concatenate([[10.0, -9.9, 9.8], np.linspace(-9.5, 9.5, 297)])
    found = solved(symmetric(300, values), 3, steps=2000)
    assert np.allclose(found.values, [10, -9.9, 9.8], atol=1e-6)
    assert found.steps > 24


def test_equal_eigenvalues_are_all_found():
    found = solved(symmetric(30, [5.0] * 3 + [1.0] * 27), 3)
    assert np.allclose(found.values, 5)
    assert np.allclose(found.vectors @ found.vectors.T, np.eye(3), atol=1e-8)


def test_too_few_steps_are_told():
    values = np.linspace(-1, 1, 200)
    found = solved(symmetric(200, values), 3, steps=12)
    assert not found.settled
    assert found.steps == 12
    assert (found.residuals > 0).all()


def test_residuals_are_what_they_say():
    a = symmetric(120, np.linspace(-2, 3, 120))
    found = solved(a, 2, steps=30)
    for value, vector, residual in zip(found.values, found.vectors, found.residuals, strict=True):
        assert np.linalg.norm(a @ vector - value * vector) == pytest.approx(residual, rel=1e-5, abs=1e-9)


def test_zero_is_an_answer():
    found = solved(np.zeros((20, 20)), 2)
    assert np.array_equal(found.values, [0, 0])


def test_of_a_large_matrix_of_float64_what_rounding_leaves_is_no_rank(monkeypatch):
    """The roots of eigenvalues of JJᵀ have an error of 1e-8, not of 1e-16."""
    monkeypatch.setattr(module, "_DIRECT", 0)
    for seed in range(20):
        values = matrix(6, 40, seed)
        values[5] = values[0] + values[1]
        found = spectrum(values)
        assert found.rank == 5
        assert math.isinf(found.condition)
