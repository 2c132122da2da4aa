"""Several inputs, stacks, tables and labels: which array meets which, and under what id."""

from pathlib import Path

import numpy as np
import pytest
from run_tools import array, called, journal, maps, names, picture, pictures, tree

from saliency_cli.errors import UsageError


def pair(*files, **fields):
    return {"model": "pair.keras", "named_inputs": files, **fields}


def sources(heard):
    return [{name: source.path for name, source in record.sources.items()} for record in heard.records]


def test_files_are_paired_by_stem_whatever_their_order(compute):
    for name in ("a", "b", "c"):
        picture(f"left/{name}.png", ord(name))
        Path("right").mkdir(exist_ok=True)
        array(f"right/{name}.npy", (4,), ord(name))
    rights = [("right", f"right/{name}.npy") for name in "cab"]
    _, heard = compute(**pair(("left", "left"), *rights, out="out"))
    assert sources(heard) == [{"left": f"left/{n}.png", "right": f"right/{n}.npy"} for n in "abc"]


def test_files_are_paired_in_order_where_stems_differ(compute):
    for number in range(3):
        picture(f"{number}.png")
        array(f"{9 - number}.npy", (4,), number)
    lefts = [("left", f"{n}.png") for n in range(3)]
    rights = [("right", f"{9 - n}.npy") for n in range(3)]
    _, heard = compute(**pair(*lefts, *rights))
    assert sources(heard) == [{"left": f"{n}.png", "right": f"{9 - n}.npy"} for n in range(3)]


def test_one_file_in_several_pairs(compute):
    picture("x.png")
    for number in range(2):
        array(f"{number}.npy", (4,), number)
    given = [("left", "x.png"), ("right", "0.npy"), ("left", "x.png"), ("right", "1.npy")]
    _, heard = compute(**pair(*given, out="out", formats=("npy",)))
    assert heard.done == ["x.png", "x.png~2"]
    assert len(maps("out")) == 4


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([("left", "x.png"), ("right", "y.npy"), ("left", "z.png")], "can't be paired: 2 for 'left', 1 for 'right'"),
        ([("left", "x.png"), ("rihgt", "y.npy")], "no input 'rihgt'"),
        ([("left", "x.png")], "the model's input 'right' got no file"),
        ([("left", "-"), ("right", "-")], "stdin can be read once"),
    ],
)
def test_pairs_that_cannot_be_meant_leave_nothing(compute, given, words):
    picture("x.png")
    picture("z.png")
    array("y.npy", (4,))
    with pytest.raises(UsageError, match=words):
        compute(**pair(*given, out="out"))
    assert not Path("out").exists()


def test_inputs_by_name_and_without(compute):
    picture("x.png")
    with pytest.raises(UsageError, match="both by name and without"):
        compute("x.png", **pair(("left", "x.png")))


def test_an_archive_holds_every_input(compute):
    rng = np.random.default_rng(0)
    np.savez("one.npz", left=rng.random((8, 8, 3)), right=rng.random(4))
    np.savez("many.npz", left=rng.random((3, 8, 8, 3)), right=rng.random((3, 4)))
    np.savez("uneven.npz", left=rng.random((3, 8, 8, 3)), right=rng.random((2, 4)))
    np.savez("other.npz", left=rng.random((8, 8, 3)), wrong=rng.random(4))
    _, heard = compute("one.npz", "many.npz", "uneven.npz", "other.npz", model="pair.keras", out="out")
    assert heard.done == ["one.npz", "many.npz#0", "many.npz#1", "many.npz#2"]
    assert [error.reason for error in heard.failed.values()] == ["unpaired", "unknown-array"]
    assert "3 for 'left', 2 for 'right'" in heard.failed["uneven.npz"].message


def test_stacks_paired_by_name(compute):
    array("l.npy", (2, 8, 8, 3))
    array("r.npy", (2, 4))
    _, heard = compute(**pair(("left", "l.npy"), ("right", "r.npy"), out="out"))
    assert heard.done == ["l.npy#0", "l.npy#1"]


def test_a_stack_is_its_samples(compute):
    array("x.npy", (20, 4))
    _, heard = compute("x.npy", model="table.keras", out="out", formats=("npy",))
    assert heard.done == [f"x.npy#{row}" for row in range(20)]
    assert heard.records[17].sources["x"].row == 17
    assert len(set(maps("out").values())) == 20
    np.save("x.npy", np.load("x.npy")[17])
    compute("x.npy", model="table.keras", out="alone", formats=("npy",))
    assert maps("alone")["x.npy/gradient.npy"] == maps("out")["x.npy#17/gradient.npy"]


def test_a_bad_sample_of_a_stack_fails_alone(compute):
    values = np.ones((4, 4), np.float32)
    values[2, 1] = np.nan
    np.save("x.npy", values)
    _, heard = compute("x.npy", model="table.keras")
    assert heard.done == ["x.npy#0", "x.npy#1", "x.npy#3"]
    assert heard.failed["x.npy#2"].reason == "non-finite-input"
    assert "the first at [1]" in heard.failed["x.npy#2"].message


def test_the_rows_of_a_table(compute):
    Path("t.csv").write_text("a,b,c,d\n" + "1,2,3,4\n" * 3)
    _, heard = compute("t.csv", model="table.keras", out="out")
    assert heard.done == ["t.csv#0", "t.csv#1", "t.csv#2"]
    assert heard.records[0].maps[0].inputs["x"].top[0].name in "abcd"


def losses(**fields):
    return {"loss": "mse", **fields}


def labels_of(heard):
    return {record.id: record.maps[0].target.label for record in heard.records if record.maps}


def test_labels_by_path(compute):
    pictures("in", 3)
    Path("l.csv").write_text('path,label\nin/0.png,0\nin/1.png,"0.1,0.2,0.7"\n\n./in/../in/2.png,2\n')
    _, heard = compute("in", out="out", **losses(labels="l.csv"))
    assert labels_of(heard) == {"in/0.png": "0", "in/1.png": "0.1,0.2,0.7", "in/2.png": "2"}


def test_labels_of_paths_as_seen_from_another_folder(compute):
    pictures("data/in", 3)
    Path("l.csv").write_text("in/0.png,0\n1.png,1\nelsewhere/data/in/2.png,2\n")
    _, heard = compute("data", **losses(labels="l.csv"))
    assert labels_of(heard) == {"data/in/0.png": "0", "data/in/1.png": "1", "data/in/2.png": "2"}


def test_a_label_of_another_folder_s_file_is_none(compute):
    picture("a/1.png")
    picture("b/1.png")
    Path("l.csv").write_text("a/1.png,0\n")
    _, heard = compute("a", "b", **losses(labels="l.csv"))
    assert heard.done == ["a/1.png"]
    assert heard.failed["b/1.png"].reason == "no-label"
    assert heard.failed["b/1.png"].hint == "a line: b/1.png,LABEL"


def test_a_name_with_two_labels_has_none(compute):
    picture("1.png")
    Path("l.csv").write_text("a/1.png,0\nb/1.png,1\n")
    _, heard = compute("1.png", **losses(labels="l.csv"))
    assert "several labels" in heard.failed["1.png"].message


def test_labels_of_a_stack_and_of_its_samples(compute):
    array("x.npy", (3, 4))
    Path("l.csv").write_text("x.npy,0\nx.npy#1,2\n")
    _, heard = compute("x.npy", model="table.keras", **losses(labels="l.csv"))
    assert labels_of(heard) == {"x.npy#0": "0", "x.npy#1": "2", "x.npy#2": "0"}


def test_labels_of_names_that_are_no_text(compute):
    called(b"\xe9.png")
    Path("l.csv").write_bytes(b"in/\xe9.png,1\n")
    _, heard = compute("in", **losses(labels="l.csv"))
    assert list(labels_of(heard).values()) == ["1"]


def test_a_bad_label_in_the_table_fails_its_input_alone(compute):
    pictures("in", 2)
    Path("l.csv").write_text("in/0.png,1\nin/1.png,cow\n")
    _, heard = compute("in", **losses(labels="l.csv"))
    assert heard.done == ["in/0.png"]
    assert heard.failed["in/1.png"].reason == "unknown-target"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"loss": "mse"}, "needs to know"),
        ({"label": "1"}, "labels are used by a loss, a metric or --target label"),
        ({"loss": "mse", "label": "1", "space": "logit"}, "--space is for a target"),
        ({"loss": "mse", "label": "1", "target": "1"}, "--target names a class"),
        ({"loss": "mse", "labels": "none.csv"}, "there is no file 'none.csv'"),
        ({"loss": "mse", "labels": "bad.csv"}, "line 2 of 'bad.csv' has no label: y.png"),
        ({"loss": "mse", "labels": "twice.csv"}, "line 2 of 'twice.csv' labels 'x.png' as 1, and a line before as 0"),
        ({"loss": "mse", "label": "cow"}, "no class is called 'cow'"),
        ({"loss": "mse", "label": "0.1,0.9"}, "the label has 2 values, and the output has 3"),
    ],
)
def test_labels_and_losses_that_cannot_be_meant(compute, fields, words):
    picture("x.png")
    Path("bad.csv").write_text("x.png,1\ny.png\n")
    Path("twice.csv").write_text("x.png,0\n./x.png,1\n")
    with pytest.raises(UsageError, match=words) as caught:
        compute("x.png", out="out", **fields)
    assert caught.value.hint
    assert not Path("out").exists()


PLANS = [
    {},
    {"out": "out"},
    {"out": "out", "formats": ("all",)},
    {"out": "out", "methods": ("gradient", "smoothgrad"), "formats": ("npy", "heatmap", "json")},
    {"methods": ("gradient", "smoothgrad")},
    {"formats": ("heatmap", "panel")},
]


@pytest.mark.parametrize("fields", PLANS, ids=range(len(PLANS)))
def test_a_dry_run_names_the_files_and_writes_none(compute, fields):
    picture("in/a.png")
    picture("in/b.jpg")
    picture("in/more/a.png")
    before = tree(".")
    options = ("smoothgrad.draws=2",) if len(fields.get("methods", ())) > 1 else ()
    report, heard = compute("in", dry_run=True, model="needs no model", options=options, **fields)
    assert (report.exit_code, report.run.status, tree(".")) == (0, "planned", before)
    root = Path(fields.get("out", "."))
    planned = sorted((root / file).as_posix() for record in heard.records for file in record.files.values())
    compute("in", options=options, **fields)
    written = [file for file in tree(".") if file not in before and Path(file).name not in RUN_FILES]
    assert planned == sorted(written)


RUN_FILES = ("run.json", "items.jsonl", "metrics.json")


@pytest.mark.parametrize("out", ["o.png", "o.npy", "-"])
def test_a_dry_run_of_one_file(saliency, out):
    picture("x.png")
    told = saliency("compute", "needs-no.model", "x.png", "-o", out, "--dry-run")
    assert (told.code, names()) == (0, ["x.png"])
    assert told.out == ("" if out == "-" else f"{out}\n")


def test_a_dry_run_finds_what_is_wrong(compute):
    pictures("in", 1)
    _, heard = compute("in", "none.png", dry_run=True)
    assert heard.failed["none.png"].reason == "missing-file"
    compute("in", out="out")
    with pytest.raises(Exception, match="holds a finished run already"):
        compute("in", out="out", dry_run=True)
    assert journal("out")
