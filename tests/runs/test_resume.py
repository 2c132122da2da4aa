"""The run folder's life: new, gone on with, replaced, refused."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from run_tools import array, journal, maps, named_files, picture, pictures, run_json, tree

from saliency_cli import __version__
from saliency_cli.errors import OutputError, UsageError
from saliency_cli.records import ItemRecord, RunRecord
from saliency_cli.runs import journal as journals


def forget(count, folder="out"):
    """Make a run look as if it had been killed `count` inputs before its end."""
    path = Path(folder) / "items.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-count]))


def test_a_folder_with_a_run_needs_a_word(compute):
    pictures("in", 2)
    compute("in", out="out")
    before = maps("out")
    with pytest.raises(OutputError, match="holds a finished run already") as caught:
        compute("in", out="out", model="no model is opened for it")
    assert (caught.value.reason, caught.value.exit_code) == ("exists", 5)
    assert "--resume" in caught.value.hint
    assert maps("out") == before


def test_resume_of_a_whole_run_does_nothing(compute):
    pictures("in", 3)
    compute("in", out="out")
    before = {name: Path("out", name).stat().st_mtime_ns for name in tree("out") if name.startswith("maps")}
    report, heard = compute("in", out="out", resume=True)
    assert heard.records == []
    assert (report.run.counts.ok, report.run.counts.skipped) == (0, 3)
    assert before == {name: Path("out", name).stat().st_mtime_ns for name in before}
    assert len(journal("out")) == 3


def test_resume_does_what_is_missing_and_gives_the_same_bytes(compute):
    pictures("in", 9)
    compute("in", out="whole", methods=("smoothgrad",), options=("draws=3",))
    compute("in", out="out", methods=("smoothgrad",), options=("draws=3",))
    forget(4)
    with (Path("out") / "items.jsonl").open("ab") as file:
        file.write(b'{"schema":"item-1","id":"in/5.png","sta')
    _, heard = compute("in", out="out", resume=True, methods=("smoothgrad",), options=("draws=3",))
    assert heard.done == [f"in/{n}.png" for n in (5, 6, 7, 8)]
    assert maps("out") == maps("whole")
    assert [line["id"] for line in journal("out")] == [f"in/{n}.png" for n in range(9)]
    assert run_json("out")["metrics"] == run_json("whole")["metrics"]


def test_resume_of_a_new_folder_is_a_run(compute):
    pictures("in", 1)
    _, heard = compute("in", out="out", resume=True)
    assert heard.done == ["in/0.png"]


def test_what_failed_is_tried_again(compute):
    pictures("in", 2)
    Path("in/1.png").write_text("not yet a picture")
    report, _ = compute("in", out="out")
    assert report.exit_code == 3
    picture("in/1.png", 1)
    report, heard = compute("in", out="out", resume=True)
    assert (report.exit_code, heard.done) == (0, ["in/1.png"])
    assert [line["status"] for line in journal("out")] == ["ok", "ok"]


@pytest.mark.parametrize("harm", ["changed", "deleted", "emptied"])
def test_what_changed_or_lost_a_file_is_done_again(compute, harm):
    pictures("in", 3)
    compute("in", out="out")
    if harm == "changed":
        picture("in/1.png", 77)
    else:
        path = Path("out") / named_files(journal("out")[1])[0]
        path.unlink() if harm == "deleted" else path.write_bytes(b"")
    _, heard = compute("in", out="out", resume=True)
    assert heard.done == ["in/1.png"]
    assert sorted(line["id"] for line in journal("out")) == ["in/0.png", "in/1.png", "in/2.png"]
    assert run_json("out")["metrics"]["gradient"]["l1"]["n"] == 3


def test_a_changed_picture_leaves_no_old_map(compute):
    pictures("in", 1)
    compute("in", out="out", target="top:1", formats=("npy",))
    Path("out/maps/in/0.png/gradient.old.npy").write_bytes(b"of the class it had")
    picture("in/0.png", 77)
    compute("in", out="out", target="top:1", formats=("npy",), resume=True)
    assert list(maps("out")) == ["in/0.png/gradient.npy"]


def test_swapped_inputs_of_a_pair_are_done_again(compute):
    picture("x.png", 1)
    picture("y.png", 2)
    fields = {"model": "twins.keras", "out": "out"}
    compute(named_inputs=(("a/b", "x.png"), ("a_b", "y.png")), **fields)
    first, second = Path("x.png").read_bytes(), Path("y.png").read_bytes()
    _, heard = compute(named_inputs=(("a/b", "x.png"), ("a_b", "y.png")), resume=True, **fields)
    assert heard.done == []
    Path("x.png").write_bytes(second)
    Path("y.png").write_bytes(first)
    _, heard = compute(named_inputs=(("a/b", "x.png"), ("a_b", "y.png")), resume=True, **fields)
    assert heard.done == ["x.png"]


def test_stacks_are_resumed_row_by_row(compute):
    array("x.npy", (5, 4))
    compute("x.npy", model="table.keras", out="out")
    forget(2)
    _, heard = compute("x.npy", model="table.keras", out="out", resume=True)
    assert heard.done == ["x.npy#3", "x.npy#4"]


def test_a_changed_label_is_done_again(compute):
    pictures("in", 2)
    Path("l.csv").write_text("in/0.png,0\nin/1.png,1\n")
    compute("in", out="out", loss="mse", labels="l.csv")
    Path("l.csv").write_text("in/0.png,0\nin/1.png,2\n")
    _, heard = compute("in", out="out", loss="mse", labels="l.csv", resume=True)
    assert heard.done == ["in/1.png"]
    Path("l.csv").write_text("in/0.png,0\n")
    _, heard = compute("in", out="out", loss="mse", labels="l.csv", resume=True)
    assert list(heard.failed) == ["in/1.png"]


def test_more_inputs_join_a_run(compute):
    pictures("in", 1)
    first, _ = compute("in/0.png", out="out")
    pictures("in", 3)
    report, heard = compute("in", out="out", resume=True)
    assert heard.done == ["in/1.png", "in/2.png"]
    assert first.run.batch_size == report.run.batch_size == 1  # the shape of the run it goes on with


CHANGES = [
    ({"methods": ("smoothgrad",)}, "method"),
    ({"methods": ("smoothgrad",), "options": ("draws=7",)}, "method"),
    ({"target": "1"}, "target was top, now 1"),
    ({"space": "probability"}, "space was logit, now probability"),
    ({"preprocess": "none"}, "preprocess"),
    ({"resize": "fit"}, "resize was stretch, now fit"),
    ({"reduce": "sum"}, "reduce was None, now sum"),
    ({"colormap": "viridis"}, "colormap was None, now viridis"),
    ({"alpha": 0.2}, "alpha was 0.5, now 0.2"),
    ({"clip_percentile": 90.0}, "clip_percentile was 99.0, now 90.0"),
    ({"formats": ("npy",)}, "format was"),
    ({"seed": 3}, "seed was 0, now 3"),
    ({"batch_size": 3}, "batch_size was 4, now 3"),
    ({"model": "dead.keras"}, "weights was weights of picture, now weights of dead"),
    ({"class_names": "names.txt"}, "class_names"),
    ({"loss": "mse", "label": "1"}, "loss was None, now mse"),
]


@pytest.mark.parametrize(("change", "words"), CHANGES, ids=[words.split(" ", maxsplit=1)[0] for _, words in CHANGES])
def test_resume_with_other_settings_names_them(compute, change, words):
    Path("names.txt").write_text("a\nb\nc\n")
    pictures("in", 2)
    compute("in", out="out")
    before = {**maps("out"), "journal": (Path("out") / "items.jsonl").read_bytes()}
    with pytest.raises(UsageError, match="made with other settings") as caught:
        compute("in", out="out", resume=True, **change)
    assert words in caught.value.message
    assert caught.value.reason == "other-settings"
    assert before == {**maps("out"), "journal": (Path("out") / "items.jsonl").read_bytes()}


def test_a_changed_baseline_file_is_another_setting(compute):
    pictures("in", 1)
    array("b.npy", (8, 8, 3), 1)
    fields = {"methods": ("integrated-gradients",), "options": ("baseline=b.npy", "points=3"), "out": "out"}
    compute("in", **fields)
    array("b.npy", (8, 8, 3), 2)
    with pytest.raises(UsageError, match="baseline"):
        compute("in", resume=True, **fields)


def test_where_nothing_was_done_other_settings_do_no_harm(compute):
    pictures("in", 1)
    compute("in", out="out")
    (Path("out") / "items.jsonl").write_bytes(b"")
    _, heard = compute("in", out="out", resume=True, seed=5)
    assert heard.done == ["in/0.png"]
    assert run_json("out")["seed"] == 5


def test_overwrite_replaces_the_run_and_nothing_else(compute):
    pictures("in", 3)
    compute("in", out="out", formats=("heatmap",))
    Path("out/notes.txt").write_text("mine")
    Path("out/mine").mkdir()
    Path("out/mine/a.txt").write_text("mine")
    _, heard = compute("in/1.png", out="out", overwrite=True, seed=9)
    assert heard.done == ["in/1.png"]
    assert tree("out") == [
        "items.jsonl", "maps/in/1.png/gradient.heatmap.png", "maps/in/1.png/gradient.overlay.png", "metrics.json",
        "mine/a.txt", "notes.txt", "run.json",
    ]  # fmt: skip


def test_overwrite_writes_among_foreign_files(compute):
    pictures("in", 1)
    Path("out").mkdir()
    Path("out/notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="holds files that are no run's"):
        compute("in", out="out")
    with pytest.raises(OutputError, match="holds files that are no run's"):
        compute("in", out="out", resume=True)
    compute("in", out="out", overwrite=True)
    assert Path("out/notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["run.json", "items.jsonl", "metrics.json", "maps/photo.png"])
def test_overwrite_never_replaces_a_file_of_somebody_else(compute, name):
    pictures("in", 1)
    Path("out/maps").mkdir(parents=True)
    Path("out", name).write_text('{"experiment": 12}')
    for fields in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(OutputError) as caught:
            compute("in", out="out", **fields)
        assert caught.value.reason == "exists"
    assert Path("out", name).read_text() == '{"experiment": 12}'
    assert len(tree("out")) == 1


def test_leftovers_of_a_killed_start_are_no_obstacle(compute):
    pictures("in", 1)
    Path("out").mkdir()
    Path("out/.lock").touch()
    Path("out/.saliency-abc").write_text("half a run.json")
    _, heard = compute("in", out="out")
    assert heard.done == ["in/0.png"]
    assert ".saliency-abc" not in tree("out")


def test_garbage_in_the_journal_is_done_again(compute):
    pictures("in", 4)
    compute("in", out="out")
    path = Path("out/items.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1][:40] + lines[2] + b"\0\0\0\n" + b'{"id":3}\n' + lines[3])
    _, heard = compute("in", out="out", resume=True)
    assert heard.done == ["in/1.png", "in/2.png"]
    assert sorted(line["id"] for line in journal("out")) == [f"in/{n}.png" for n in range(4)]


def test_an_interrupted_run_says_so(compute, monkeypatch):
    pictures("in", 4)

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("saliency_cli.runs.feeding.Feeder.feed", fail)
    with pytest.raises(KeyboardInterrupt):
        compute("in", out="out")
    assert run_json("out")["status"] == "interrupted"
    with pytest.raises(OutputError, match="holds an unfinished run"):
        compute("in", out="out")


def test_the_records_go_to_json_and_back(compute):
    pictures("in", 2)
    compute("in", "none.png", out="out", methods=("gradient", "integrated-gradients"), options=("points=3",))
    for line in Path("out/items.jsonl").read_bytes().splitlines():
        record = msgspec.json.decode(line, type=ItemRecord, strict=True)
        assert msgspec.json.encode(record) == line
        assert record.schema == "item-1"
    text = Path("out/run.json").read_bytes()
    run = msgspec.json.decode(text, type=RunRecord, strict=True)
    assert msgspec.json.format(msgspec.json.encode(run), indent=2) + b"\n" == text


def test_the_provenance_of_a_run(saliency):
    pictures("in", 2)
    saliency("compute", "picture.keras", "in", "-o", "out", "--method", "smoothgrad", "-p", "draws=2", "--seed", "4")
    run = run_json("out")
    assert (run["schema"], run["status"], run["seed"], run["batch_size"]) == ("run-1", "done", 4, 4)
    assert run["tool"] == {"name": "saliency", "version": __version__}
    assert run["command"][:3] == ["saliency", "compute", "picture.keras"]
    assert run["model"]["weights_sha256"] == "weights of picture"
    (method,) = run["methods"]
    assert method["options"] == {"draws": 2, "noise": 0.15, "form": "mean", "of": "gradient", "sampling": "plain"}
    assert "standard normal" in method["definition"]
    assert run["preparing"]["x"]["name"] == "unit"
    assert run["settings"]["method"] == {"smoothgrad": method["options"]}
    assert run["settings"]["weights"] == run["model"]["weights_sha256"]


def test_numbers_that_are_none_become_null():
    record = ItemRecord(id="x", status="ok", seconds=float("nan"))
    assert json.loads(journals._ENCODER.encode(record))["seconds"] is None


def test_a_line_is_written_after_its_files(compute, monkeypatch):
    pictures("in", 5)
    seen = []
    append = journals.Journal.append

    def check(self, record):
        line = json.loads(msgspec.json.encode(record))
        seen.append(all((self.root / file).is_file() for file in named_files(line)))
        append(self, record)

    monkeypatch.setattr(journals.Journal, "append", check)
    compute("in", out="out", formats=("all",))
    assert seen == [True] * 5


def test_lines_follow_the_inputs_order(compute):
    pictures("in", 12)
    compute("in", out="out", formats=("panel",))
    assert [line["id"] for line in journal("out")] == [f"in/{n}.png" for n in range(12)]


def test_maps_do_not_depend_on_company(compute):
    pictures("in", 5)
    fields = {"methods": ("smoothgrad",), "options": ("draws=3",), "formats": ("npy",), "batch_size": 4}
    compute("in", out="together", **fields)
    compute("in/3.png", "in/1.png", out="apart", **fields)
    for name, data in maps("apart").items():
        assert data == maps("together")[name]
    assert not np.array_equal(*[np.load(f"apart/maps/in/{n}.png/smoothgrad.npy") for n in (1, 3)])
