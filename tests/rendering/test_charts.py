import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from drawn_views import noise, photograph, picture_view, signal_view, table_view

from saliency_cli.rendering.charts import chart
from saliency_cli.rendering.colormaps import colormap
from saliency_cli.rendering.panel import panel


def blank(pixels):
    return (pixels == pixels[0, 0]).all()


def has_colour(pixels, colour, tolerance=3):
    return bool((np.abs(pixels.astype(int) - colour).max(axis=2) <= tolerance).any())


VIEWS = {
    "signal": signal_view(noise(50, 3)),
    "signal of channels": signal_view(noise(50, 12), style=picture_view(noise(2, 2, 1), reduce="none").style),
    "signal without channels": signal_view(noise(5000)),
    "signal without raw": signal_view(noise(50, 3), raw=None),
    "signal of one step": signal_view(noise(1, 1)),
    "signal with missing values": signal_view(noise(20, 1), raw=np.full((20, 1), np.nan)),
    "table": table_view(noise(12)),
    "table of one": table_view([0.0]),
    "table of many": table_view(noise(100)),
    "table of two axes": table_view(noise(3, 4), names=()),
    "scalar": table_view(3.0, layout="array", names=()),
    "vector": table_view(noise(40), layout="array", names=(), raw=None),
    "matrix": table_view(noise(4, 300), layout="array", names=()),
    "volume": table_view(noise(3, 4, 5, 6), layout="array", names=()),
    "zeros": table_view(np.zeros((3, 4)), layout="array", names=()),
}


@pytest.mark.parametrize("name", VIEWS)
def test_charts_are_not_blank_and_come_out_the_same_twice(name):
    pixels = chart(VIEWS[name])
    assert pixels.dtype == np.uint8
    assert pixels.shape[2] == 3
    assert not blank(pixels)
    assert np.array_equal(chart(VIEWS[name]), pixels)


def test_bars_are_coloured_by_sign():
    table = colormap(None, signed=True)
    both = chart(table_view([1.0, -1.0]))
    assert has_colour(both, table[226])
    assert has_colour(both, table[29])
    assert not has_colour(chart(table_view([1.0, 2.0])), table[29])


def test_more_than_thirty_bars_are_left_out_and_said_so():
    thirty, many = chart(table_view(np.ones(30))), chart(table_view(np.ones(300)))
    assert 0 < many.shape[0] - thirty.shape[0] < 60


@pytest.mark.parametrize("name", ["price_$_in_$", "x^2 $\\frac", "犬" * 30, "tab\tand\nnewline", ""])
def test_any_feature_name_can_be_drawn(name):
    assert not blank(chart(table_view([1.0, -2.0], names=(name, "b"), caption=name, unit="$")))


def test_raw_values_that_are_words_can_be_drawn():
    assert not blank(chart(table_view([1.0, -2.0], raw=np.array(["red", "blue"], object))))


def test_a_panel_of_a_picture_shows_map_and_colour_bar():
    drawn = panel(picture_view(noise(16, 16, 3), photograph(), reduce="sum"))
    table = colormap(None, signed=True)
    right = drawn[:, int(drawn.shape[1] * 0.88) :]
    assert all(has_colour(right, table[index]) for index in (0, 64, 192, 255))


@pytest.mark.parametrize("original", [photograph(), photograph(1, 3000), photograph(1, 1), photograph(300, 2), None])
@pytest.mark.parametrize("values", [noise(16, 16, 3), np.zeros((16, 16, 3))])
def test_panels_of_odd_pictures(values, original):
    assert not blank(panel(picture_view(values, original, reduce="none")))


def test_a_long_title_is_wrapped_and_not_cut_off():
    view = picture_view(np.zeros((16, 16, 1)), photograph())
    short = panel(view)
    for word in ("words of a title ", "oneverylongword", "犬犬犬犬"):
        long = panel(picture_view(np.zeros((16, 16, 1)), photograph(), caption=word * 40))
        assert long.shape[1] == short.shape[1]
        assert long.shape[0] > short.shape[0]
        assert (long[:, -1] == 255).all(), "the right edge is white: no letter crosses it"


def test_figures_may_be_drawn_from_several_threads():
    views = [VIEWS["table"], VIEWS["signal"]] * 3
    with ThreadPoolExecutor(6) as threads:
        together = list(threads.map(chart, views))
    assert all(np.array_equal(chart(view), pixels) for view, pixels in zip(views[:2], together[:2], strict=True))


def test_pyplot_is_never_imported_and_matplotlib_only_for_figures():
    program = """
import sys, numpy as np
from saliency_cli.rendering.view import Style, View
from saliency_cli.rendering.overlay import overlay
from saliency_cli.rendering.panel import panel
view = View(np.ones((8, 8, 3), np.float32), "picture", True, Style(), 2, np.zeros((9, 9, 3), np.uint8))
overlay(view)
assert "matplotlib" not in sys.modules
panel(view)
assert "matplotlib" in sys.modules and "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)
