"""The tree of a run folder: what lies where, and that nothing meets."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from run_tools import array, called, journal, maps, named_files, names, picture, pictures, run_json, tree


def test_the_tree_of_a_folder_run(compute):
    pictures("in", 3)
    report, heard = compute("in", out="out", formats=("heatmap", "overlay", "panel", "npy"))
    assert report.exit_code == 0
    kinds = ("gradient.heatmap.png", "gradient.npy", "gradient.overlay.png", "gradient.panel.png")
    expected = [f"maps/in/{n}.png/{kind}" for n in range(3) for kind in kinds]
    assert tree("out") == sorted([*expected, "items.jsonl", "metrics.json", "run.json"])
    assert [line["id"] for line in journal("out")] == heard.done == ["in/0.png", "in/1.png", "in/2.png"]
    assert run_json("out")["status"] == "done"
    assert run_json("out")["counts"] == {"ok": 3, "error": 0, "skipped": 0}


def test_every_file_an_item_names_exists_and_every_map_is_named(compute):
    pictures("in", 2)
    compute("in", out="out/deep", formats=("all",))
    named = [file for line in journal("out/deep") for file in named_files(line)]
    assert sorted(named) == [file for file in tree("out/deep") if file.startswith("maps/")]
    assert not any("\\" in file or file.startswith(("/", ".")) for file in named)


def test_metrics_are_nested_numbers(compute):
    pictures("in", 3)
    compute("in", out="out", methods=("gradient", "smoothgrad"), options=("draws=2",))

    def leaves(value):
        return [leaf for entry in value.values() for leaf in leaves(entry)] if isinstance(value, dict) else [value]

    metrics = json.loads(Path("out/metrics.json").read_text())
    assert set(metrics) == {"gradient", "smoothgrad"}
    assert all(isinstance(leaf, int | float) for leaf in leaves(metrics))
    assert metrics["gradient"]["l1"]["n"] == 3
    assert run_json("out")["metrics"]["gradient"] == metrics["gradient"]


def test_the_arrays_are_the_gradients(compute):
    pictures("in", 6)
    compute("in", out="out", formats=("npy",))
    for line in journal("out"):
        values = np.load("out/" + named_files(line)[0])
        assert values.dtype == np.float32
        assert values.shape == (8, 8, 3)
        assert np.abs(values).sum(dtype=np.float64) == pytest.approx(line["maps"][0]["inputs"]["x"]["l1"])


def test_the_same_name_in_several_folders(compute):
    for number, folder in enumerate(("a", "b", "b/a")):
        picture(f"{folder}/1.png", number)
    picture("1.png", 3)
    compute("a", "b", "1.png", out="out", formats=("npy",))
    assert len(set(maps("out").values())) == len(maps("out")) == 4


def test_the_same_stem_with_several_suffixes(compute):
    picture("a/1.png")
    picture("a/1.jpg")
    compute("a", out="out")
    overlays = sorted(file for file in maps("out") if "overlay" in file)
    assert overlays == ["a/1.jpg/gradient.overlay.jpg", "a/1.png/gradient.overlay.png"]


def test_several_methods_and_targets_do_not_meet(compute):
    picture("x.png")
    methods = ("gradient", "gradient-times-input", "smoothgrad")
    compute("x.png", out="out", methods=methods, options=("draws=2",), target="all", formats=("npy",))
    assert sorted(maps("out")) == sorted(f"x.png/{m}.{t}.npy" for m in methods for t in range(3))
    assert len(set(maps("out").values())) == 9


@pytest.mark.parametrize(
    ("class_names", "parts"),
    [
        (("cat dog", "cat/dog", "cow"), ["cat_dog~0", "cat_dog~1", "cow"]),
        (("Cat", "cat", "cow"), ["Cat~0", "cat~1", "cow"]),
        (("猫/犬", "猫 犬", "été"), ["猫_犬~0", "猫_犬~1", "été"]),
        (("..", "/", "\n"), ["_~0", "_~1", "_~2"]),
        (("crane", "crane", "cow"), ["cow", "crane_0", "crane_1"]),
        (("猫" * 90, "猫" * 91, "x" * 300), ["x" * 80, "猫" * 26 + "~0", "猫" * 26 + "~1"]),
        (("cat~1", "cat", "cat*1"), ["cat", "cat_1~0", "cat_1~2"]),
    ],
)
def test_class_names_that_look_alike_do_not_meet(compute, class_names, parts):
    picture("x.png")
    Path("names.json").write_text(json.dumps(class_names))
    report, _ = compute("x.png", out="out", target="all", class_names="names.json", formats=("npy",))
    assert report.exit_code == 0
    assert sorted(maps("out")) == sorted(f"x.png/gradient.{part}.npy" for part in parts)
    assert len(set(maps("out").values())) == 3
    labels = [found["target"]["label"] for found in journal("out")[0]["maps"]]
    assert len(set(labels)) == 3


def test_a_class_name_that_two_classes_have_is_no_target(compute):
    picture("x.png")
    Path("names.txt").write_text("crane\ncrane\ncow\n")
    with pytest.raises(Exception, match="no class is called 'crane'") as caught:
        compute("x.png", target="crane", class_names="names.txt")
    assert "'crane (" in caught.value.hint


def test_several_inputs_do_not_meet(compute):
    picture("x.png", 1)
    array("y.npy", (4,))
    compute(model="pair.keras", named_inputs=(("left", "x.png"), ("right", "y.npy")), out="out", formats=("npy",))
    assert sorted(maps("out")) == ["x.png/gradient.left.npy", "x.png/gradient.right.npy"]


def test_inputs_whose_names_look_alike_do_not_meet(compute):
    picture("x.png", 1)
    picture("y.png", 2)
    compute(model="twins.keras", named_inputs=(("a/b", "x.png"), ("a_b", "y.png")), out="out", formats=("npy",))
    assert sorted(maps("out")) == ["x.png/gradient.a_b~0.npy", "x.png/gradient.a_b~1.npy"]
    assert len(set(maps("out").values())) == 2


def test_an_archive_of_arrays_and_the_item_s_json(compute):
    picture("x.png", 1)
    array("y.npy", (4,))
    named = (("left", "x.png"), ("right", "y.npy"))
    compute(model="pair.keras", named_inputs=named, out="out", formats=("npz", "json"))
    assert sorted(maps("out")) == ["x.png/gradient.npz", "x.png/item.json"]
    with np.load("out/maps/x.png/gradient.npz") as found:
        assert {name: found[name].shape for name in found} == {"left": (8, 8, 3), "right": (4,)}
    item = json.loads(maps("out")["x.png/item.json"])
    assert item["files"] == {"json": "maps/x.png/item.json"}
    assert named_files(item) == named_files(journal("out")[0])


@pytest.mark.parametrize("given", ["../outside/1.png", "{root}/outside/1.png", "../inside/../outside/1.png"])
def test_inputs_from_elsewhere_stay_inside_the_run_folder(compute, here, monkeypatch, given):
    picture("outside/1.png")
    (here / "inside").mkdir()
    monkeypatch.chdir(here / "inside")
    compute(given.format(root=here), out="out")
    inside = str(here).lstrip("/")
    assert sorted(maps("out")) == [f"{inside}/outside/1.png/gradient.{kind}.png" for kind in ("heatmap", "overlay")]
    assert names(here / "inside") == ["out"]


def test_lines_that_lead_upwards_stay_inside_too(compute, here, monkeypatch):
    picture("etc/x.png")
    (here / "a/b").mkdir(parents=True)
    monkeypatch.chdir(here / "a/b")
    Path("list").write_text("../../etc/x.png\n../../etc/../../../../../etc/passwd\n..\n../../missing.png\n")
    _, heard = compute(files_from="list", out="out")
    inside = str(here).lstrip("/")
    assert heard.done == [f"/{inside}/etc/x.png"]
    assert len(heard.failed) == 3
    assert names() == ["list", "out"]
    assert all(file.startswith(inside) for file in maps("out"))


def test_a_relative_and_an_absolute_path_that_look_alike(compute, here, monkeypatch):
    picture("1.png", 1)
    (here / "cwd").mkdir()
    monkeypatch.chdir(here / "cwd")
    picture(str(here).lstrip("/") + "/1.png", 2)
    compute(str(here / "1.png"), str(here).lstrip("/") + "/1.png", out="out", formats=("npy",))
    assert len(set(maps("out").values())) == 2
    assert len({line["id"] for line in journal("out")}) == 2


def test_an_input_given_twice_is_done_once(compute):
    picture("a/1.png")
    _, heard = compute("a/1.png", "a", "./a/1.png", "a/../a/1.png", out="out")
    assert heard.done == ["a/1.png"]


NAMES = [
    b"a\nb.png", b"with space.png", b"'quoted\".png", b"caf\xe9.png", b"-o.png", b"=.png", b"%41.png", b"a\\b.png",
    b"#17.png", b"[x].png", b"~.png", "é.png".encode(), "e\u0301.png".encode(), b"x" * 251 + b".png",
    "猫".encode() * 83 + b".png", b"\xff" * 200 + b".png",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_any_name_the_file_system_allows(saliency, name):
    called(name)
    told = saliency("compute", "picture.keras", "in", "-o", "out", "--jsonl")
    assert told.code == 0, told.err
    (line,) = journal("out")
    assert json.loads(told.out) == line
    for file in named_files(line):
        assert Path("out", file).stat().st_size
    assert run_json("out")["status"] == "done"
    again = saliency("compute", "picture.keras", "in", "-o", "out", "--resume")
    assert (again.code, len(journal("out"))) == (0, 1)
    for out in (b"alone", b"-"):
        told = saliency("compute", "picture.keras", "in", *([] if out == b"alone" else ["-o", "-"]))
        assert told.code == 0, told.err
    assert len([file for file in names() if ".saliency" in file]) == 1


def test_many_names_that_are_no_text_do_not_meet(compute):
    for number, name in enumerate((b"caf\xe9.png", rb"caf\xe9.png", b"caf\xe8.png")):
        called(name, number)
    compute("in", out="out", formats=("npy",))
    assert len(set(maps("out").values())) == 3


def test_a_name_like_an_option_after_two_dashes(saliency):
    picture("./-x.png")
    assert saliency("compute", "picture.keras", "--", "-x.png").code == 0
    assert Path("-x.saliency.png").exists()


def test_a_path_too_long_for_the_output_fails_alone(compute):
    deep = "in/" + "/".join("d" * 250 for _ in range(15))
    picture("in/a.png")
    picture(deep + "/1.png")
    _, heard = compute("in", out="o" * 255 + "/" + "p" * 255)
    assert heard.done == ["in/a.png"]
    assert [error.reason for error in heard.failed.values()] == ["name-too-long"]


def test_natural_order(compute):
    for name in ("10", "9", "1", "2b", "2a", "01", "²", "5²6", "①"):
        picture(f"in/{name}.png")
    _, heard = compute("in")
    assert heard.done == [f"in/{n}.png" for n in ("01", "1", "2a", "2b", "5²6", "9", "10", "²", "①")]


def test_a_folder_s_hidden_files_and_own_output_are_no_inputs(compute):
    pictures("in", 2)
    picture("in/.hidden.png")
    picture("in/.git/x.png")
    compute("in", out="in/out")
    compute("in/0.png")
    Path("0.saliency.png").rename("in/0.saliency.png")
    _, heard = compute("in", out="in/out", resume=True)
    assert heard.records == []
    _, heard = compute(".", out="elsewhere")
    assert heard.done == ["in/0.png", "in/1.png"]
    _, heard = compute("**/*.png", out="again")
    assert heard.done == ["in/0.png", "in/1.png"]


def test_a_folder_of_arrays_only(compute):
    Path("in").mkdir()
    for name in ("2", "10"):
        array(f"in/{name}.npy", (4,))
    Path("in/notes.txt").write_text("x")
    _, heard = compute("in", model="table.keras", out="out")
    assert heard.done == ["in/2.npy", "in/10.npy"]
    picture("in/1.png")
    _, heard = compute("in", out="pictures")
    assert heard.done == ["in/1.png"]


def test_quoted_globs(compute):
    pictures("in/deep", 12)
    picture("in/deep/[1].png")
    _, heard = compute("in/**/1?.png")
    assert heard.done == ["in/deep/10.png", "in/deep/11.png"]
    _, heard = compute("in/deep/[1].png")
    assert heard.done == ["in/deep/[1].png"]


def test_a_pipe_is_a_file(compute):
    picture("x.png")
    reader, writer = os.pipe()
    os.write(writer, Path("x.png").read_bytes())
    os.close(writer)
    report, heard = compute(f"/dev/fd/{reader}", out="out")
    os.close(reader)
    assert (report.exit_code, heard.done) == (0, [f"/dev/fd/{reader}"])
