"""Maps that know nothing of the model: random noise and edges."""

import numpy as np
import pytest
from oracles import constant, explained, sample_of

from saliency_cli.differentiable import solve
from saliency_cli.errors import InputError
from saliency_cli.runs.settings import METHODS

X = np.linspace(0, 1, 60).reshape(4, 5, 3) ** 2


def found(name, sample, **options):
    return explained(name, constant, sample, **options).values["x"]


@pytest.mark.parametrize("name", ["edges", "random"])
def test_nothing_is_asked_of_the_model(name):
    with pytest.raises(StopIteration):
        next(METHODS.build(name, {}).attribute(sample_of(x=X)))


def test_random_maps_are_those_of_the_seed_and_sample_and_draw():
    one = found("random", sample_of(x=X))
    np.testing.assert_array_equal(one, found("random", sample_of(x=X.copy())))
    for other in (
        found("random", sample_of(x=X, seed=1)),
        found("random", sample_of(x=X + 1)),
        found("random", sample_of(x=X), draw=1),
    ):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.5


def test_random_maps_are_standard_normal():
    drawn = found("random", sample_of(x=np.zeros((200, 200, 1))))
    assert drawn.mean() == pytest.approx(0, abs=0.03)
    assert drawn.std() == pytest.approx(1, abs=0.03)


def test_edges_are_sobel_s():
    x = X[..., 1]
    wide = np.pad(x, 1, mode="edge")
    across = np.array([[1, 2, 1]]).T * np.array([[-1, 0, 1]]) / 8
    squared = np.zeros_like(x)
    for kernel in (across, across.T):
        windows = np.lib.stride_tricks.sliding_window_view(wide, (3, 3))
        squared += (windows * kernel).sum(axis=(2, 3)) ** 2
    np.testing.assert_allclose(found("edges", sample_of(x=X))[..., 1], np.sqrt(squared), rtol=1e-6)


def test_edges_of_a_ramp_and_of_a_signal():
    ramp = np.broadcast_to(3.0 * np.arange(9)[:, None, None], (9, 7, 1))
    np.testing.assert_allclose(found("edges", sample_of(x=ramp))[1:-1], 3)
    signal = np.arange(100.0)[:, None] * [2.0, -5.0]
    np.testing.assert_allclose(found("edges", sample_of(x=signal))[1:-1], np.broadcast_to([2, 5], (98, 2)))


def test_a_table_has_no_edges():
    with pytest.raises(InputError, match="no neighbours") as caught:
        solve(METHODS.build("edges", {}), constant, sample_of(x=np.arange(5.0)))
    assert "random" in caught.value.hint
    both = explained("edges", constant, sample_of(x=X, y=np.arange(5.0))).values
    assert both["x"].any()
    assert not both["y"].any()
