"""Texts cut to the room there is: never wider, and different ones never alike."""

import numpy as np
import pytest

from saliency_cli.rendering import layer_norms
from saliency_cli.shortening import cells, shorten, told_apart


def test_what_fits_is_left_and_what_is_told_apart_already_is_cut_in_its_middle():
    texts = ["short", "photograph-of-a-cat-0017.png", "photograph-of-a-cat-0018.png", "short"]
    assert told_apart(texts, 15) == ["short", "photogr…017.png", "photogr…018.png", "short"]
    assert told_apart([], 5) == []


@pytest.mark.parametrize(
    ("texts", "width", "forms"),
    [
        (["Lenet/conv1/Conv2D", "Lenet/conv2/Conv2D"], 15, ["…conv1/Conv2D", "…conv2/Conv2D"]),
        (["a-conv1-layers", "a-conv2-layers"], 10, ["…v1-layers", "…v2-layers"]),
        (
            ["encoder/block1/attention/query/kernel", "encoder/block2/attention/query/kernel"],
            20,
            ["…block1/at…ry/kernel", "…block2/at…ry/kernel"],
        ),
        (["x" * 30 + "1" + "y" * 30, "x" * 30 + "2" + "y" * 30], 11, ["…1yyy…yyyyy", "…2yyy…yyyyy"]),
        (
            [
                "a" * 20 + each + "y" * 20
                for each in ("1" + "-" * 20 + "1", "1" + "-" * 20 + "2", "2" + "-" * 20 + "1")
            ],
            11,
            ["aaaa…yyyy~1", "aaaa…yyyy~2", "aaaa…yyyy~3"],
        ),
    ],
    ids=["after a folder", "the end", "after a folder and shortened", "after the beginning", "numbers"],
)
def test_those_that_would_look_alike_show_where_they_differ(texts, width, forms):
    assert told_apart(texts, width) == forms


def test_a_short_text_that_reads_like_a_shortened_one_is_left():
    texts = ["ab…yz", "abcdefgwxyz"]
    assert shorten(texts[1], 5) == texts[0]
    assert told_apart(texts, 5) == ["ab…yz", "…wxyz"]


def test_whatever_the_texts_they_fit_and_differ():
    random = np.random.default_rng(0)
    for width in (6, 9, 15):
        for _ in range(50):
            parts = random.choice(["conv", "dense", "block", "猫", "a", "b"], (40, 6))
            texts = list(dict.fromkeys("/".join(row) for row in parts))
            forms = told_apart(texts, width)
            assert len(set(forms)) == len(texts)
            assert all(cells(form) <= width for form in forms)
            assert told_apart([*texts, *texts], width) == [*forms, *forms]


def test_the_names_beside_a_chart_stay_different(monkeypatch):
    seen = []

    class Axis:
        def set_yticks(self, places, names):
            seen.extend(names)

        def __getattr__(self, name):
            return lambda *_, **__: self

        xaxis = property(lambda self: self)

    class Figure:
        def subplots(self):
            return Axis()

    monkeypatch.setattr(layer_norms, "drawn", lambda build, *_: build(Figure()))
    names = [f"{'model/' * 6}block{i}/{'inner/' * 6}kernel" for i in range(3)]
    layer_norms.layer_norms([layer_norms.Mark(name, 1.0, "") for name in names], "x", "title")
    assert len(set(seen)) == 3
    assert all(f"block{i}" in name and len(name) <= 48 for i, name in enumerate(seen))
