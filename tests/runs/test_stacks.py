"""Maps as float16 with a scale each: what is lost, and that NumPy reads the stack."""

import numpy as np
import pytest

from saliency_cli.runs.stacks import Stack, halve, header


@pytest.mark.parametrize("magnitude", [1e-38, 1e-30, 1e-8, 1.0, 6e4, 1e30, 3e38])
@pytest.mark.parametrize("shape", [(28, 28, 1), (4,), (), (3, 2, 5, 1)])
def test_a_map_comes_back_to_within_half_a_step_of_its_maximum(magnitude, shape):
    wide = np.random.default_rng(len(shape)).standard_normal(shape)
    values = np.asarray(wide / np.abs(wide).max() * magnitude, np.float32)
    halves, scale = halve(values)
    assert (halves.dtype, halves.shape) == (np.float16, shape)
    assert scale == float(np.abs(values).max())
    error = np.abs(halves.astype(np.float64) * scale - values).max()
    # Half a unit in the last place of [½, 1): 2⁻¹², twice as good as the promised 2⁻¹¹.
    assert error <= scale * 2**-12 * (1 + 1e-6)


def test_the_bound_is_reached_and_values_of_every_size_keep_it():
    values = np.float32([1, *np.linspace(0.5, 1, 4099), *np.logspace(-12, 0, 999), -0.75])
    halves, scale = halve(values)
    error = np.abs(halves.astype(np.float64) * scale - values)
    assert 2**-12.1 < error.max() <= 2**-12
    small = values < 2**-14  # below float16's normal range: steps of 2⁻²⁴, still of the maximum
    assert error[small].max() <= 2**-25


def test_the_largest_magnitude_is_exact_and_signs_stay():
    halves, scale = halve(np.float32([[-7e-9, 3e-9], [0, 1e-9]]))
    assert halves[0, 0] == -1
    assert halves[0, 0].astype("float32") * scale == np.float32(-7e-9)
    assert halves[1, 0] == 0
    assert (np.sign(halves) == np.sign([[-7, 3], [0, 1]])).all()


def test_a_map_of_zeros_is_zeros():
    halves, scale = halve(np.zeros((2, 3), np.float32))
    assert (scale, halves.tolist()) == (0.0, [[0, 0, 0], [0, 0, 0]])


@pytest.mark.parametrize("shape", [(), (4,), (28, 28, 1), (224, 224, 3), (7,) * 12])
@pytest.mark.parametrize("count", [0, 3, 10**12])
def test_a_header_is_aligned_and_of_a_length_that_no_count_changes(shape, count):
    found = header(count, shape)
    assert len(found) == len(header(0, shape))
    assert len(found) % 64 == 0
    assert found.endswith(b" \n")


@pytest.mark.parametrize("shape", [(), (4,), (5, 6, 1)])
def test_a_stack_is_an_npy(tmp_path, shape):
    rng = np.random.default_rng(0)
    maps = [np.asarray(rng.standard_normal(shape), np.float16) for _ in range(5)]
    stack = Stack(tmp_path / "s.npy", shape)
    assert [stack.append(each) for each in maps] == [0, 1, 2, 3, 4]
    stack.end()
    for mode in (None, "r"):
        found = np.load(tmp_path / "s.npy", mmap_mode=mode)
        assert found.dtype == np.float16
        assert np.array_equal(found, np.stack(maps))


def test_a_stack_takes_arrays_of_any_order(tmp_path):
    stack = Stack(tmp_path / "s.npy", (2, 3))
    given = np.arange(6, dtype=np.float16).reshape(3, 2).T
    stack.append(given)
    stack.end()
    assert np.array_equal(np.load(tmp_path / "s.npy")[0], given)
