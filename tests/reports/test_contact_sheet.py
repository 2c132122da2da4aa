from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from check_records import EMPTY, NASTY, check, example, rule
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from saliency_cli.reports import contact_sheet, thumbnails
from saliency_cli.reports.choosing import worst_inputs
from saliency_cli.reports.contact_sheet import Tile, draw
from saliency_cli.reports.lettering import cut, font, wrap
from saliency_cli.verdicts import WorstRecord

SAMPLES = Path(__file__).parents[2] / "sample_images"
CELL, GAP, ROW, TOP = thumbnails.CELL, contact_sheet._GAP, contact_sheet._ROW, contact_sheet._TOP
LEFT = contact_sheet._MARGIN + contact_sheet._TEXT + GAP
RAMP = np.outer(np.linspace(0, 1, 64), np.linspace(0, 1, 64))


def opened(data):
    return np.asarray(Image.open(BytesIO(data)).convert("RGB")).astype(int)


def cell(pixels, row, column):
    """Return the pixels of one image on a sheet."""
    top, left = TOP + row * ROW + 4, LEFT + column * (CELL + GAP)
    return pixels[top : top + CELL, left : left + CELL]


def picture(name="shapes_circle.png"):
    image = Image.open(SAMPLES / name).convert("RGB")
    image.thumbnail((96, 96))
    return np.asarray(image)


def test_a_sheet_has_a_row_for_each_input():
    cat = picture("photographs/cat.png")[:64]
    tiles = [Tile("a.png", ["rule: gini 2.00"], cat, RAMP, RAMP), Tile("b.png", [], cat, RAMP, RAMP)]
    pixels = opened(draw(example(), tiles))
    assert pixels.shape == (TOP + 2 * ROW + contact_sheet._LEGEND, LEFT + 4 * (CELL + GAP) - GAP + 24, 3)
    shown = np.asarray(Image.fromarray(cat).resize((CELL, 85), Image.Resampling.BICUBIC)).astype(int)
    for row in range(2):
        assert (cell(pixels, row, 0)[21 : 21 + 85] == shown).all()
        assert (cell(pixels, row, 0)[:21] == 255).all()
        assert (cell(pixels, row, 1) == cell(pixels, row, 2)).all()
        assert (cell(pixels, row, 3) == 255).all()  # no difference is white


def test_nothing_overlaps_or_runs_off_the_sheet():
    long = "ci/a/very/long/folder/" * 20 + "picture.png"
    captions = ["a-rule-with-a-name: " + "x" * 300, *["another: gini 2.00 (was 1.00); median must be <= 1.00"] * 9]
    hole = RAMP.copy()
    hole[3] = np.nan
    record = example()
    record.run.model.path = "models/" * 60
    pixels = opened(draw(record, [Tile(long, captions, picture(), hole, -hole)] * 24))
    inked = (pixels != 255).any(axis=2)
    assert not inked[:, :20].any()
    assert not inked[:, -20:].any()
    body = inked[TOP : TOP + 24 * ROW].reshape(24, ROW, -1)
    # Between text and pictures, and between the pictures' columns, there is nothing but the hairlines.
    assert not body[:, 4 : ROW - 6, LEFT - GAP + 2 : LEFT].any()
    for column in range(3):
        right = LEFT + column * (CELL + GAP) + CELL
        assert not body[:, 4 : 4 + CELL, right : right + GAP].any()
    # A row's text ends above the next one's hairline.
    assert not body[:, ROW - 6 : ROW - 4].any()


def test_map_and_baseline_share_a_scale():
    pixels = opened(draw(example(), [Tile("a", [], None, 0.1 * RAMP, RAMP)]))
    assert cell(pixels, 0, 1).mean() < 0.4 * cell(pixels, 0, 2).mean()
    swapped = opened(draw(example(), [Tile("a", [], None, RAMP, 0.1 * RAMP)]))
    assert (cell(swapped, 0, 1) == cell(pixels, 0, 2)).all()


def test_more_than_the_baseline_is_red_and_less_is_blue():
    more = cell(opened(draw(example(), [Tile("a", [], None, RAMP + 0.5, RAMP)])), 0, 3)
    less = cell(opened(draw(example(), [Tile("a", [], None, RAMP, RAMP + 0.5)])), 0, 3)
    assert (more[..., 0] > more[..., 2]).all()
    assert (less[..., 0] < less[..., 2]).all()


def test_what_is_not_finite_is_grey():
    hole = RAMP.copy()
    hole[:8] = np.nan
    pixels = opened(draw(example(), [Tile("a", [], None, hole, RAMP)]))
    for column in (1, 3):
        assert (cell(pixels, 0, column)[:16] == 170).all()
        assert not (cell(pixels, 0, column)[16:] == 170).all(axis=2).any()


def test_columns_of_the_baseline_only_where_there_is_one():
    pixels = opened(draw(example(), [Tile("a", [], picture(), RAMP)]))
    assert (pixels[TOP + 1 : TOP + ROW - 6, LEFT + 2 * (CELL + GAP) :] == 255).all()
    assert not (cell(pixels, 0, 1) == 255).all()


def test_missing_parts_are_empty_cells():
    empty = (241, 241, 244)
    tiles = [
        Tile("a", [], None, RAMP, RAMP),
        Tile("b", [], picture(), RAMP, None),
        Tile("c", [], picture(), RAMP, RAMP[:32]),
    ]
    pixels = opened(draw(example(), tiles))
    for row, column in ((0, 0), (1, 2), (1, 3), (2, 3)):
        assert (cell(pixels, row, column) == empty).all()


@pytest.mark.parametrize("shape", [(64,), (1, 64), (64, 1), (3, 10, 12), (2, 3), (0, 4), ()])
def test_a_plane_of_any_shape_is_drawn(shape):
    plane = np.arange(np.prod(shape, dtype=int), dtype=float).reshape(shape)
    pixels = opened(draw(example(), [Tile("a", [], None, plane, plane + 1)]))
    assert pixels.shape[2] == 3


def test_all_nan_and_all_zero_are_drawn():
    nan = np.full((4, 4), np.nan)
    pixels = opened(draw(example(), [Tile("a", [], None, nan, nan), Tile("b", [], None, 0 * RAMP, 0 * RAMP)]))
    assert (cell(pixels, 0, 1) == 170).all()
    assert (cell(pixels, 1, 1) == cell(pixels, 1, 2)).all()
    assert (cell(pixels, 1, 3) == 255).all()


def test_at_most_24_rows_and_none_is_no_error():
    tiles = [Tile(str(number), [], picture(), RAMP) for number in range(30)]
    assert len(opened(draw(example(), tiles))) == TOP + 24 * ROW + contact_sheet._LEGEND
    said, unsaid = opened(draw(example(), tiles))[-30:], opened(draw(example(), tiles[:24]))[-30:]
    assert (said != unsaid).any()
    assert len(opened(draw(EMPTY, []))) == TOP + ROW + contact_sheet._LEGEND


def test_the_same_check_gives_the_same_bytes_with_the_tool_in_them():
    tiles = [Tile("größe.png", ["é ≤ Δ"], picture("photographs/cat.png"), RAMP)]
    assert draw(example(), tiles) == draw(example(), tiles)
    assert Image.open(BytesIO(draw(example(), tiles))).text["Software"] == "saliency 0.1.0"


@settings(max_examples=25, deadline=None)
@given(NASTY, NASTY)
def test_any_text_can_be_drawn(name, caption):
    opened(draw(check(rule(name)), [Tile(name, [caption], None, RAMP)]))


@given(st.text(max_size=80), st.integers(12, 400))
def test_text_is_cut_to_a_width_and_keeps_its_ends(text, width):
    face = font(12)
    short = cut(text.replace("\n", ""), face, width)
    assert face.getlength(short) <= width or short == "…"
    for line in wrap(text, face, width):
        assert face.getlength(line) <= width or line == "…"


def test_wrapped_text_loses_no_word():
    text = "sensitivity-not-up: loss_grad_l2 11.2 (was 3.00); median must be <= 4.41"
    assert " ".join(wrap(text, font(12), 200)) == text
    assert len(wrap(text, font(12), 200)) > 1
    assert cut("ci/images/a-folder/017.png", font(12), 110).endswith("017.png")


def test_letters_beyond_latin_are_in_the_font():
    face = font(13)
    missing = bytes(face.getmask("\U0010ffff"))
    assert all(bytes(face.getmask(letter)) != missing for letter in "éß≤Δжλ…")


def test_the_worst_of_every_rule_before_the_second_worst_of_any():
    def worst(*names):
        return [WorstRecord(id=name, value=1.0) for name in names]

    record = check(
        rule("one", worst=worst("a", "b", "c")),
        rule("two", aggregate="each", worst=worst("d", "a")),
        rule("near", "warning", worst=worst("w")),
        rule("fine", "pass", worst=worst("p")),
    )
    found = worst_inputs(record)
    assert [entry.id for entry in found] == ["a", "d", "b", "c"]
    assert found[0].captions == ["one: gini 1.00; median must be <= 1.00", "two: gini 1.00; must be <= 1.00"]
    assert [entry.id for entry in worst_inputs(record, most=2)] == ["a", "d"]
    assert len(worst_inputs(record, most=2)[0].captions) == 2
    assert [entry.id for entry in worst_inputs(check(*record.rules[2:]))] == ["w"]
    assert [entry.id for entry in worst_inputs(check(record.rules[3]))] == ["p"]
    assert worst_inputs(check(record.rules[3]))[0].captions == ["kept: fine: gini 1.00; median is 2.00"]
    assert worst_inputs(EMPTY) == []
    relative = rule(aggregate="each", bound="max-increase", allowed=0.25, worst=worst("a"))
    assert worst_inputs(check(relative))[0].captions == ["rule: gini 1.00; allowed +25%"]


def test_at_most_24_are_chosen():
    record = check(rule(worst=[WorstRecord(id=str(number), value=1.0) for number in range(99)]))
    assert len(worst_inputs(record)) == 24
