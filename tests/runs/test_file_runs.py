"""Output without a run folder: the current folder, one file, stdout."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from run_tools import array, picture, pictures
from run_tools import names as files_here

from saliency_cli.errors import UsageError


def drawn():
    return sorted(path.name for path in Path().iterdir() if ".saliency" in path.name)


def kind(data):
    return Image.open(io.BytesIO(data)).format


def test_a_picture_goes_to_the_current_folder(saliency):
    picture("cat.png")
    told = saliency("compute", "picture.keras", "cat.png")
    assert (told.code, told.out) == (0, "cat.saliency.png\n")
    assert drawn() == ["cat.saliency.png"]
    Path("cat.saliency.png").write_bytes(b"replaced freely")
    assert saliency("compute", "picture.keras", "cat.png").code == 0
    assert kind(Path("cat.saliency.png").read_bytes()) == "PNG"


def test_a_photograph_stays_one(compute):
    picture("in/cat.jpg")
    compute("in/cat.jpg")
    assert kind(Path("cat.saliency.jpg").read_bytes()) == "JPEG"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("a/1.png", "b/1.png"), ["a_1.png.saliency.png", "b_1.png.saliency.png"]),
        (("1.png", "1.jpg"), ["1.jpg.saliency.jpg", "1.png.saliency.png"]),
        (("a/1.png", "b/2.png"), ["1.saliency.png", "2.saliency.png"]),
        (("a/b_1.png", "a_b/1.png", "c/1.png", "c/b_1.png"), [
            "a_b_1.png.saliency.png", "a_b_1.png~2.saliency.png", "c_1.png.saliency.png", "c_b_1.png.saliency.png",
        ]),
        (("a/1.png", "b/1.png", "a_1.png.png"), [
            "a_1.png.png.saliency.png", "a_1.png.saliency.png", "b_1.png.saliency.png",
        ]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("streamed", [False, True])
def test_names_that_meet_in_the_current_folder(compute, names, expected, streamed):
    for number, name in enumerate(names):
        picture(name, number)
    if streamed:
        Path("list").write_text("\n".join(names))
        _, heard = compute(files_from="list")
    else:
        _, heard = compute(*names)
        assert drawn() == expected
    assert len(heard.done) == len(names) == len(drawn())
    assert len({Path(name).read_bytes() for name in drawn()}) == len(names)


def test_lines_that_meet_get_names_in_their_order(compute):
    for number, folder in enumerate(("a", "b", "c")):
        picture(f"{folder}/1.png", number)
    Path("list").write_text("a/1.png\nb/1.png\nc/1.png\n")
    for _ in range(5):
        _, heard = compute(files_from="list")
        files = {record.id: record.maps[0].inputs["x"].files["overlay"] for record in heard.records}
        assert files == {
            "a/1.png": "1.saliency.png", "b/1.png": "b_1.png.saliency.png", "c/1.png": "c_1.png.saliency.png",
        }  # fmt: skip


def test_several_formats_methods_and_targets_in_the_current_folder(compute):
    picture("x.png")
    compute("x.png", methods=("gradient", "gradient-times-input"), target="top:2", formats=("heatmap", "overlay"))
    assert len(drawn()) == 8
    assert all(name.startswith("x.gradient") and name.endswith((".heatmap.png", ".overlay.png")) for name in drawn())


def test_a_stack_in_the_current_folder(compute):
    array("x.npy", (3, 4))
    array("x#1.npy", (4,), 5)
    compute("x.npy", "x#1.npy", model="table.keras")
    assert drawn() == ["x#0.saliency.png", "x#1.npy.saliency.png", "x#1.saliency.png", "x#2.saliency.png"] or (
        len(drawn()) == 4
    )


@pytest.mark.parametrize(
    ("out", "expected"), [("o.png", "PNG"), ("o.jpg", "JPEG"), ("o.JPEG", "JPEG"), ("o.webp", "WEBP")]
)
@pytest.mark.parametrize("given", ["x.png", "x.jpg"])
def test_one_picture_in_the_format_of_its_name(compute, given, out, expected):
    picture(given)
    _, heard = compute(given, out=out)
    assert kind(Path(out).read_bytes()) == expected
    assert heard.records[0].maps[0].inputs["x"].files == {"overlay": out}


@pytest.mark.parametrize("name", ["heatmap", "panel"])
def test_the_other_pictures(compute, name):
    picture("x.png")
    compute("x.png", out="o.png", formats=(name,))
    assert kind(Path("o.png").read_bytes()) == "PNG"


def test_one_file_of_numbers(compute):
    picture("x.png")
    compute("x.png", out="o.npy")
    compute("x.png", out="o.npz")
    compute("x.png", out="o.json")
    with np.load("o.npz") as archive:
        assert np.array_equal(archive["input"], np.load("o.npy"))
    assert json.loads(Path("o.json").read_text())["id"] == "x.png"


def test_an_array_drawn_under_a_photograph_s_name_fails(compute):
    array("x.npy", (8, 8, 3))
    _, heard = compute("x.npy", out="o.jpg")
    assert heard.failed["x.npy"].reason == "picture-format"
    assert heard.failed["x.npy"].hint == "-o o.png"
    assert not Path("o.jpg").exists()


def test_stdout_gets_one_png_and_nothing_else(saliency, capfdbinary):
    picture("x.jpg")
    told = saliency("compute", "picture.keras", "x.jpg", "-o", "-")
    assert told.code == 0
    assert kind(told.out.encode("utf-8", "surrogateescape")) == "PNG"
    assert told.err.splitlines()[-1].startswith("x.jpg ")
    assert files_here() == ["x.jpg"]


def test_a_picture_on_stdin(saliency):
    picture("x.png")
    data = Path("x.png").read_bytes()
    assert saliency("compute", "picture.keras", "-", stdin=data).out == "stdin.saliency.png\n"
    told = saliency("compute", "picture.keras", "-", "-o", "out", stdin=data)
    assert told.code == 0
    assert Path("out/maps/stdin/gradient.overlay.png").exists()
    again = saliency("compute", "picture.keras", "-", "-o", "out", "--resume", stdin=data)
    assert (again.code, again.out) == (0, "")
    picture("y.png", 7)
    other = saliency("compute", "picture.keras", "-", "-o", "out", "--resume", stdin=Path("y.png").read_bytes())
    assert (other.code, other.out != "") == (0, True)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"out": "o.png", "methods": ("gradient", "smoothgrad")}, "2 methods"),
        ({"out": "o.png", "target": "all"}, "target all"),
        ({"out": "o.npy", "target": "top:2"}, "target top:2"),
        ({"out": "-", "target": "all"}, "target all"),
        ({"out": "o.png", "formats": ("heatmap", "overlay")}, "2 formats"),
        ({"out": "-", "formats": ("npy",)}, "one PNG"),
        ({"out": "o.png", "formats": ("npy",)}, "--format is npy"),
        ({"out": "o.npy", "formats": ("json",)}, "--format is json"),
        ({"out": "o.jpg", "formats": ("heatmap",)}, "a heatmap is a PNG"),
        ({"out": "o.gif"}, "no format ends in .gif"),
        ({"out": "o.csv"}, "no format ends in .csv"),
        (
            {"out": "s3://user:word@bucket/maps"},
            r"-o s3://bucket/maps: a run is written into a folder of this machine",
        ),
        ({"out": "file:///tmp/map.png"}, "a run is written into a folder of this machine"),
        ({"out": "x.png"}, "would replace 'x.png'"),
        ({"out": "./in/../x.png"}, "would replace 'x.png'"),
        ({"resume": True}, "--resume goes on with a run folder"),
        ({"out": "o.png", "resume": True}, "--resume goes on with a run folder"),
    ],
)
def test_what_one_file_cannot_hold(compute, fields, words):
    picture("x.png")
    before = Path("x.png").read_bytes()
    Path("in").mkdir()
    with pytest.raises(UsageError, match=words) as caught:
        compute("x.png", model="no model is opened for it", **fields)
    assert caught.value.hint
    assert Path("x.png").read_bytes() == before
    assert files_here() == ["in", "x.png"]


def test_one_file_for_several_inputs(compute):
    pictures("in", 2)
    for out in ("o.png", "-"):
        with pytest.raises(UsageError, match="2 inputs"):
            compute("in", out=out)


def test_one_file_for_a_model_of_several_inputs(compute):
    picture("x.png")
    array("y.npy", (4,))
    fields = {"model": "pair.keras", "named_inputs": (("left", "x.png"), ("right", "y.npy"))}
    for out in ("o.png", "o.npy", "-"):
        with pytest.raises(UsageError, match="the model has 2 inputs: left, right"):
            compute(out=out, **fields)
    compute(out="o.npz", **fields)
    with np.load("o.npz") as found:
        assert sorted(found) == ["left", "right"]


def test_one_file_for_a_stack(compute):
    array("x.npy", (3, 4))
    with pytest.raises(UsageError, match="a stack of 3 samples"):
        compute("x.npy", model="table.keras", out="o.png")
    assert files_here() == ["x.npy"]
    array("y.npy", (1, 4))
    compute("y.npy", model="table.keras", out="o.png")
    assert Path("o.png").exists()


def test_a_folder_whose_name_has_a_picture_s_suffix(compute):
    pictures("in", 2)
    compute("in", out="o.png/")
    assert Path("o.png/run.json").exists()
    compute("in", out="o.png", overwrite=True)
    assert Path("o.png/run.json").exists()
