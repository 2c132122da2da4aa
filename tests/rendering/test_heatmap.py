import numpy as np
import pytest
from drawn_views import noise, photograph, picture_view, signal_view, table_view

from saliency_cli.rendering.heatmap import index_map, tiled_size
from saliency_cli.rendering.planes import fold


def test_zero_of_a_signed_map_is_the_middle_index():
    values = np.zeros((8, 8, 1))
    values[0, 0] = 1
    indices = index_map(picture_view(values, reduce="sum"))
    assert indices[-1, -1] == 128
    assert indices[0, 0] == 255


def test_signed_values_are_equally_far_from_the_middle():
    values = noise(8, 8, 1)
    plus = index_map(picture_view(values, reduce="sum")).astype(int)
    minus = index_map(picture_view(-values, reduce="sum")).astype(int)
    assert np.abs(plus + minus - 255).max() <= 1


@pytest.mark.parametrize(("reduce", "expected"), [("max", 0), ("sum", 128)])
@pytest.mark.parametrize("original", [None, photograph()])
def test_an_all_zero_map_is_uniform(reduce, expected, original):
    indices = index_map(picture_view(np.zeros((8, 8, 3)), original, reduce=reduce))
    assert (indices == expected).all()


@pytest.mark.parametrize("reduce", ["max", "sum", "mean", "l2", "none"])
def test_a_constant_map_is_uniform_at_full_strength(reduce):
    assert (index_map(picture_view(np.full((8, 8, 3), 0.25), photograph(), reduce=reduce)) == 255).all()


def test_not_a_number_is_refused():
    values = noise(8, 8, 3)
    values[2, 3, 1] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        index_map(picture_view(values))


def test_the_map_has_the_size_of_the_original():
    view = picture_view(noise(16, 16, 3), photograph(48, 64))
    assert index_map(view).shape == (48, 64) == tiled_size(view)


def test_without_an_original_small_maps_are_enlarged_by_a_whole_factor():
    values = noise(28, 28, 1)
    indices = index_map(picture_view(values, reduce="sum"))
    assert indices.shape == (140, 140)
    assert (indices.reshape(28, 5, 28, 5) == indices[::5, None, ::5, None].reshape(28, 1, 28, 1)).all()
    assert index_map(picture_view(noise(300, 200, 3))).shape == (300, 200)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 3000, 3), (3000, 1, 1), (2, 1500, 3)])
@pytest.mark.parametrize("original", [None, photograph(1, 1), photograph(1, 3000), photograph(5, 3)])
def test_odd_shapes_are_drawn(shape, original):
    indices = index_map(picture_view(noise(*shape), original))
    assert indices.dtype == np.uint8
    assert max(indices.shape) <= 3000


def test_channels_first_and_last_are_the_same_picture():
    values = noise(16, 12, 3)
    last = index_map(picture_view(values, photograph(), reduce="sum"))
    first = index_map(picture_view(values.transpose(2, 0, 1), photograph(), reduce="sum", channels=0))
    assert np.array_equal(first, last)


def test_a_picture_without_channel_axis_keeps_its_sign():
    values = np.full((8, 8), -1.0)
    assert (index_map(picture_view(values, channels=None)) == 0).all()
    assert (index_map(picture_view(values, channels=None, signed=False)) == 255).all()


def test_a_picture_of_three_axes_without_a_channel_axis_is_refused():
    with pytest.raises(ValueError, match="channel axis"):
        index_map(picture_view(noise(8, 8, 3), channels=None))


def test_channels_side_by_side_share_one_scale():
    values = np.ones((8, 8, 3)) * [1.0, 0.5, 0.0]
    view = picture_view(values, photograph(10, 20), reduce="none")
    indices = index_map(view)
    assert indices.shape == (10, 60) == tiled_size(view)
    assert [int(indices[0, x]) for x in (0, 20, 40)] == [255, 191, 128]


def test_many_channels_wrap_after_eight():
    view = picture_view(noise(8, 8, 11), photograph(10, 20), reduce="none")
    indices = index_map(view)
    assert indices.shape == (20, 160) == tiled_size(view)
    assert (indices[10:, 60:] == 128).all()


def test_the_padding_has_no_say_in_the_scale():
    values = np.zeros((20, 20, 1))
    values[8:12] = 1
    values[:5] = 100
    assert index_map(picture_view(values, photograph(40, 80), "fit")).max() == 255


def test_the_clip_percentile_sets_the_strongest_colour():
    values = np.arange(100.0).reshape(10, 10, 1)
    planes = fold(picture_view(values, clip_percentile=50.0))
    assert planes.limit == 49.5
    assert planes.clipped
    assert (index_map(picture_view(values, clip_percentile=50.0)) == 255).mean() == 0.5
    assert not fold(picture_view(values, clip_percentile=100.0)).clipped


def test_signals_and_tables_become_strips():
    assert index_map(signal_view(noise(100, 3))).shape == (64, 500)
    table = index_map(table_view([1.0, -1.0, 0.0]))
    assert table.shape == (64, 510)
    assert [int(table[0, x]) for x in (0, 170, 340)] == [255, 0, 128]


def test_the_leading_axes_of_an_array_are_averaged():
    values = noise(4, 5, 6)
    planes = fold(table_view(values, layout="array", names=()))
    assert np.allclose(planes.maps[0], np.abs(values).mean(axis=0))
    assert not planes.signed
    assert planes.note == "mean |v| over axis 0 of 4×5×6"
    assert fold(table_view(values[0], layout="array", names=())).signed
