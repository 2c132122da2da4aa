"""Channels are folded by their definition, whatever their number and place."""

import numpy as np
import pytest

from saliency_cli.arrays import reduce_channels

FOLDS = {
    "max": lambda v, axis: np.abs(v).max(axis=axis),
    "l2": lambda v, axis: np.sqrt((v**2).sum(axis=axis)),
    "sum": lambda v, axis: v.sum(axis=axis),
    "mean": lambda v, axis: v.mean(axis=axis),
}


@pytest.mark.parametrize("how", FOLDS)
@pytest.mark.parametrize("channels", [1, 3, 8, 9, 20])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_channels_are_folded(how, channels, axis):
    values = np.moveaxis(np.random.default_rng(0).normal(size=(channels, 5, 4)), 0, axis).astype(np.float32)
    before = values.copy()
    found = reduce_channels(values, axis, how)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, FOLDS[how](values.astype(np.float64), axis), rtol=1e-15, atol=1e-15)
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize("channels", [3, 20])
def test_a_largest_value_that_is_none_shows(channels):
    values = np.zeros((4, 4, channels))
    values[1, 2, channels - 1] = np.nan
    assert np.argwhere(np.isnan(reduce_channels(values, 2, "max"))).tolist() == [[1, 2]]
