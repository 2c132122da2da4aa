"""What is drawn of derivatives: tiles on one scale, matrices with names, one below the other."""

import numpy as np
import pytest

from saliency_cli.rendering.colormaps import colormap
from saliency_cli.rendering.matrices import matrix, stacked
from saliency_cli.rendering.view import Style, View
from saliency_cli.studies.captions import class_text
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


def test_narrow_tiles_keep_their_titles_and_unit_whole():
    """Twelve classes of a spectrogram of 49 × 10: 10 and 11 must not both be called 1…3."""
    narrow = np.ones((49, 10))

    def page(title="10: −1.23", unit="max |v| over channels, output / input", count=12):
        return tiles([view(narrow, unit=unit)] * count, [title] * count, "k")

    assert page().shape == page("11: −1.23").shape
    assert (page() != page("11: −1.23")).any()
    for count in (1, 12):
        longer = page(unit="max |v| over channels, output / inpux", count=count)
        assert (page(count=count) != longer).any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (2, 40), (3, 13), (30, 2), (40, 40)])
def test_nothing_is_cut_at_the_edge_of_a_matrix(shape):
    """All of its text lies within the picture: there is no ink on the outermost pixels."""
    values = -1.23e-5 * np.arange(1, 1 + np.prod(shape)).reshape(shape)
    names = [f"a long name of a feature {k}" for k in range(max(shape))]
    for labels in ((), names):
        page = matrix(
            values, labels[: shape[0]], labels[: shape[1]], ("class", "input"), "x.npy · ∂ y", "output / input²"
        )
        edges = (page[0], page[-1], page[:, 0], page[:, -1])
        assert all((edge == 255).all() for edge in edges)


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


def test_a_class_without_a_name_is_called_a_class():
    assert [class_text(label) for label in ("3", "cat", "class 3", "−1")] == ["class 3", "cat", "class 3", "−1"]


def test_a_chart_says_what_its_values_are():
    assert view([1.0]).labelled() == "attribution"
    assert view([1.0], unit="logit").labelled() == "attribution (logit)"
    moved = View(np.float32([1]), "table", True, Style(), unit="in the file's units", quantity="change")
    assert moved.labelled("\n") == "change\n(in the file's units)"


def test_pictures_below_each_other_are_white_beside_the_narrow_ones():
    page = stacked([np.zeros((2, 3, 3), np.uint8), np.zeros((1, 5, 3), np.uint8)])
    assert page.shape == (3, 5, 3)
    assert (page[:2, 3:] == 255).all()
    assert not page[2].any()
