import numpy as np
import pytest
from drawn_views import noise, photograph, picture_view

from saliency_cli.rendering.colormaps import colormap
from saliency_cli.rendering.overlay import opacities, overlay


@pytest.mark.parametrize("reduce", ["max", "sum"])
def test_alpha_zero_is_the_original(reduce):
    original = photograph()
    drawn = overlay(picture_view(noise(16, 16, 3), original, alpha=0.0, reduce=reduce))
    assert np.array_equal(drawn, original)


@pytest.mark.parametrize("reduce", ["max", "sum"])
def test_a_zero_map_leaves_the_original(reduce):
    original = photograph()
    assert np.array_equal(overlay(picture_view(np.zeros((16, 16, 3)), original, reduce=reduce)), original)


def test_alpha_one_is_the_colour_at_the_strongest_place():
    drawn = overlay(picture_view(np.ones((16, 16, 3)), photograph(), alpha=1.0))
    assert (drawn == colormap("inferno", signed=False)[255]).all()


@pytest.mark.parametrize("signed", [True, False])
def test_opacity_grows_with_strength(signed):
    table = opacities(0.5, signed=signed).astype(int)
    positive = table[128:] if signed else table
    assert positive[0] == 0
    assert (np.diff(positive) >= 0).all()
    assert positive[-1] == round(255 * 0.75)
    if signed:
        assert np.array_equal(table, table[::-1])


def test_the_documented_formula():
    table = opacities(0.3, signed=False) / 255
    assert table == pytest.approx(1 - 0.7 ** (2 * np.sqrt(np.arange(256) / 255)), abs=0.5 / 255)


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_an_impossible_opacity_is_refused(alpha):
    with pytest.raises(ValueError, match="opacity"):
        overlay(picture_view(noise(8, 8, 3), photograph(), alpha=alpha))


def test_the_original_is_not_written_to():
    original = photograph()
    before = original.copy()
    overlay(picture_view(noise(16, 16, 3), original))
    assert np.array_equal(original, before)


def test_channels_lie_side_by_side_over_copies_of_the_picture():
    original = photograph(10, 20)
    drawn = overlay(picture_view(noise(8, 8, 3), original, reduce="none", alpha=0.0))
    assert np.array_equal(drawn, np.hstack([original] * 3))


@pytest.mark.parametrize("raw", [noise(8, 8, 3), np.full((8, 8, 3), np.nan), np.ones((8, 8, 3)), None])
def test_without_an_original_the_raw_sample_is_the_picture(raw):
    assert overlay(picture_view(noise(8, 8, 3), raw=raw)).shape == (128, 128, 3)


@pytest.mark.parametrize(("raw", "expected"), [(np.eye(8), 255), (np.eye(8) * 200, 200), (np.eye(8) - 3, 255)])
def test_raw_values_become_levels(raw, expected):
    drawn = overlay(picture_view(np.zeros((8, 8)), raw=raw, channels=None))
    assert (drawn[0, 0] == expected).all()
    assert (drawn[0, -1] == 0).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1)])
def test_odd_pictures(shape):
    assert overlay(picture_view(noise(16, 16, 3), photograph(*shape))).shape == (*shape, 3)
