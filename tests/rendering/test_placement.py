import numpy as np
import pytest
from drawn_views import noise

from saliency_cli.geometry import Geometry
from saliency_cli.rendering.placement import map_to_original


def one_hot(size, top, left, bottom, right):
    values = np.zeros(size, np.float32)
    values[top:bottom, left:right] = 1
    return values


def box_of(drawn):
    rows, columns = np.nonzero(drawn > 0.5)
    return rows.min(), columns.min(), rows.max() + 1, columns.max() + 1


def test_stretch_scales_each_axis():
    geometry = Geometry.plan((40, 160), (20, 20), "stretch")
    assert box_of(map_to_original(one_hot((20, 20), 5, 10, 10, 15), geometry)) == (10, 80, 20, 120)


def test_fit_leaves_the_padding_out():
    geometry = Geometry.plan((40, 80), (20, 20), "fit")
    assert geometry.placed == (5, 0, 15, 20)
    assert box_of(map_to_original(one_hot((20, 20), 5, 0, 10, 5), geometry)) == (0, 0, 20, 20)
    assert not map_to_original(one_hot((20, 20), 0, 0, 5, 20), geometry).any()


def test_crop_is_zero_where_the_model_never_looked():
    geometry = Geometry.plan((40, 80), (20, 20), "crop")
    drawn = map_to_original(np.ones((20, 20), np.float32), geometry)
    assert drawn[:, 20:60].all()
    assert not drawn[:, :20].any()
    assert not drawn[:, 60:].any()
    assert box_of(map_to_original(one_hot((20, 20), 0, 0, 10, 10), geometry)) == (0, 20, 20, 40)


@pytest.mark.parametrize("resize", ["fit", "crop", "stretch"])
@pytest.mark.parametrize("original", [(1, 1), (1, 3000), (7, 5), (300, 200)])
def test_every_shape_comes_back_at_its_own_size(original, resize):
    geometry = Geometry.plan(original, (16, 16), resize)
    drawn = map_to_original(noise(16, 16), geometry)
    assert drawn.shape == original
    assert drawn.dtype == np.float32
    assert np.isfinite(drawn).all()


def test_same_size_changes_nothing():
    values = noise(9, 9)
    assert np.array_equal(map_to_original(values, Geometry.plan((9, 9), (9, 9), "fit")), values)


def test_a_map_of_another_size_is_refused():
    with pytest.raises(ValueError, match="geometry"):
        map_to_original(noise(8, 9), Geometry.plan((9, 9), (9, 9), "fit"))
