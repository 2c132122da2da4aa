"""What is drawn of derivatives: tiles on one scale, matrices with names, one below the other."""

import numpy as np
import pytest

from saliency_cli.rendering.colormaps import colormap
from saliency_cli.rendering.matrices import matrix, stacked
from saliency_cli.rendering.view import Style, View
from saliency_cli.studies.tiles import tiles


def view(values, channels=None, unit=""):
    return View(np.float32(values), "picture", True, Style("max"), channels, unit=unit)


def spot(value, side=8):
    plane = np.zeros((side, side))
    plane[2:4, 5:7] = value
    return plane


def has_colour(pixels, colour):
    return bool((pixels == np.asarray(colour)).all(axis=-1).any())


def test_tiles_share_one_scale_and_zero_is_the_middle():
    page = tiles([view(spot(1.0)), view(spot(-1.0)), view(spot(0.5))], ["a", "b", "c"], "three")
    table = colormap(None, signed=True)
    assert page.dtype == np.uint8
    assert has_colour(page, table[255])
    assert has_colour(page, table[0])
    assert has_colour(page, table[128])
    body = page[:, :-118]  # without the colour bar
    half = table[int(0.75 * 255 + 0.5)]
    assert has_colour(body, half)


def test_channels_are_folded_to_a_one_sided_map():
    page = tiles([view(np.stack([spot(-1.0)] * 3, axis=-1), 2)], [""], "one")
    table = colormap(None, signed=False)
    assert has_colour(page, table[255])
    assert has_colour(page, table[0])


@pytest.mark.parametrize("count", [1, 2, 5, 7, 24])
@pytest.mark.parametrize("side", [1, 7, 300])
def test_any_number_of_tiles_of_any_size(count, side):
    page = tiles([view(spot(1.0, max(side, 8))[:side, :side])] * count, ["名前 " * 20] * count, "caption " * 30)
    assert page.shape[1] < 1300
    assert page.shape[0] < 1200


def test_maps_of_zeros_and_maps_that_are_not_finite():
    assert tiles([view(np.zeros((4, 4)))], [""], "").any()
    with pytest.raises(ValueError, match="not finite"):
        tiles([view(np.full((4, 4), np.nan))], [""], "")


def test_a_matrix_keeps_its_sign_and_a_large_one_says_what_it_means():
    values = np.zeros((3, 4))
    values[0, 0], values[2, 3] = 1, -1
    page = matrix(values, ("a", "b", "c"), ("x_1", "y", "z", "a name far longer than others"), ("r", "c"), "m", "u")
    table = colormap(None, signed=True)
    assert has_colour(page, table[255])
    assert has_colour(page, table[0])
    assert matrix(np.eye(600, 1200), (), (), ("", ""), "", "").shape[0] < 1000


def test_pictures_below_each_other_are_white_beside_the_narrow_ones():
    page = stacked([np.zeros((2, 3, 3), np.uint8), np.zeros((1, 5, 3), np.uint8)])
    assert page.shape == (3, 5, 3)
    assert (page[:2, 3:] == 255).all()
    assert not page[2].any()
