import numpy as np
import pytest

from saliency_cli.errors import UsageError
from saliency_cli.rendering.colormaps import colormap, names


@pytest.mark.parametrize("name", names())
def test_every_map_is_a_table_of_bytes(name):
    table = colormap(name, signed=False)
    assert table.shape == (256, 3)
    assert table.dtype == np.uint8


@pytest.mark.parametrize("name", ["coolwarm", "inferno", "magma", "viridis"])
def test_sampled_tables_agree_with_matplotlib(name):
    import matplotlib as mpl

    expected = mpl.colormaps[name](np.arange(256))[:, :3] * 255
    assert np.abs(colormap(name, signed=False) - expected).max() <= 2.5


def test_the_default_follows_the_sign():
    assert np.array_equal(colormap(None, signed=True), colormap("blue-red", signed=False))
    assert np.array_equal(colormap(None, signed=False), colormap("inferno", signed=True))


def test_zero_of_the_diverging_default_is_white_and_its_ends_are_blue_and_red():
    table = colormap(None, signed=True).astype(int)
    assert (table[127:129] == 255).all()
    assert table[0, 2] > table[0, 0]
    assert table[255, 0] > table[255, 2]
    lightness = table.sum(axis=1)
    assert (np.diff(lightness[:128]) >= 0).all()
    assert (np.diff(lightness[128:]) <= 0).all()


def test_an_unknown_map_names_the_nearest():
    with pytest.raises(UsageError) as caught:
        colormap("virids", signed=False)
    assert "viridis" in caught.value.hint


def test_a_table_is_shared_and_cannot_be_spoilt():
    with pytest.raises(ValueError, match="read-only"):
        colormap("jet", signed=False)[0] = 0
