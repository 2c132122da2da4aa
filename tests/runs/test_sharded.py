"""The sharded layout: parts of rows, maps on request, a marker last; whole or not there, and gone on with."""

import contextlib
import errno
import gzip
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from run_tools import array, journal, maps, picture, pictures, run_json, tree
from stand_in import Quadratic, open_stand_in

from saliency_cli.errors import OutputError, UsageError
from saliency_cli.runs import layout, sharded_parts, stacks
from saliency_cli.runs.journal import read_items


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """End a part after four rows."""
    monkeypatch.setattr(sharded_parts, "PART_ROWS", 4)


def rows(folder="out"):
    """Return the rows of the parts that have a marker, as anybody reads them."""
    parts = [folder / Path(f"rows/{done.stem}.jsonl.gz") for done in sorted(Path(folder, "done").iterdir())]
    return [json.loads(line) for part in parts for line in gzip.open(part)]


def kept(folder="out"):
    """Return id → the maps that its row tells of, read back, in the row's order."""
    found = {}
    for row in rows(folder):
        for each in row["maps"]:
            for entry in each["inputs"].values():
                if stack := entry["stack"]:
                    read = np.load(Path(folder, stack["file"]), mmap_mode="r")[stack["index"]]
                    found.setdefault(row["id"], []).append(read.astype("float32") * stack["scale"])
    return found


def markers(folder="out"):
    return [json.loads(path.read_bytes()) for path in sorted(Path(folder, "done").iterdir())]


VOLATILE = ("seconds",)


def plain(row):
    """Return a row without what differs between runs of the same numbers, and between the layouts."""
    row = {key: value for key, value in row.items() if key not in VOLATILE}
    for each in row["maps"]:
        for entry in each["inputs"].values():
            entry |= {"stack": None, "files": {}}
    return row


def same(first, second):
    """Whether rows are the same but for their order; a failed input is told of as soon as it is read."""
    return sorted(map(json.dumps, map(plain, first))) == sorted(map(json.dumps, map(plain, second)))


def test_rows_are_the_lines_of_the_files_layout(compute):
    pictures("in", 10)
    (Path("in") / "bad.png").write_text("no picture")
    compute("in", out="files", formats=("npy",))
    report, heard = compute("in", out="out", layout="sharded")
    assert (report.exit_code, report.run.counts.ok, report.run.counts.error) == (3, 10, 1)
    assert same(rows(), journal("files"))
    assert [row["id"] for row in rows()] == [record.id for record in heard.records]
    assert run_json("out")["metrics"] == run_json("files")["metrics"]
    names = [f"part-0000{n}" for n in range(3)]
    assert tree("out") == [
        *(f"done/{name}.json" for name in names),
        "metrics.json",
        *(f"rows/{name}.jsonl.gz" for name in names),
        "run.json",
    ]
    assert [marker["ok"] + marker["error"] for marker in markers()] == [4, 4, 3]
    assert sum(marker["error"] for marker in markers()) == 1


def test_all_maps_are_those_of_the_files_layout(compute):
    pictures("in", 9)
    fields = {"methods": ("gradient", "gradient-times-input"), "target": "top:2"}
    compute("in", out="files", formats=("npy",), **fields)
    compute("in", out="out", keep_maps="all", **fields)
    assert run_json("out")["settings"]["layout"] == "sharded"
    stored, files = kept(), maps("files")
    assert len(stored) == 9
    for row in journal("files"):
        for found, each in zip(stored[row["id"]], row["maps"], strict=True):
            exact = np.load(Path("files", each["inputs"]["x"]["files"]["npy"]))
            assert np.abs(found - exact).max() <= 2**-11 * np.abs(exact).max()
    assert len(files) == 36
    for marker in markers():
        ((file, size),) = marker["maps"].items()
        assert Path("out", file).stat().st_size == size
        assert np.load(Path("out", file)).shape == (4 * (marker["ok"]), 8, 8, 3)


def test_none_writes_no_stack(compute):
    pictures("in", 3)
    compute("in", out="out", layout="sharded", keep_maps="none")
    assert kept() == {}
    assert not Path("out/maps").exists()


def test_failing_keeps_the_maps_with_a_flag(compute):
    pictures("in", 5)
    compute("in", out="out", model="guessed.keras", keep_maps="failing")
    assert set(kept()) == {f"in/{n}.png" for n in range(5)}
    compute("in", out="sound", keep_maps="failing")
    assert kept("sound") == {}


def test_the_worst_are_kept_and_no_other_map_stays(compute):
    pictures("in", 30)
    compute("in", out="all", keep_maps="all")
    _, heard = compute("in", out="out", keep_maps="worst:5")
    norms = {row["id"]: row["maps"][0]["inputs"]["x"]["l2"] for row in rows("all")}
    worst = sorted(norms, key=norms.get)[-5:]
    assert sorted(kept()) == sorted(worst)
    every = kept("all")
    assert all(np.array_equal(found[0], every[key][0]) for key, found in kept().items())
    assert sum(np.load(path).shape[0] for path in Path("out/maps").iterdir()) == 5
    assert len(rows()) == 30
    assert heard.warnings == []
    assert not [name for name in tree("out") if ".saliency-" in name]


def test_the_worst_go_by_the_first_metric(compute):
    pictures("in", 12)
    compute("in", out="out", keep_maps="worst:3", metrics=("gini", "grad-l2"))
    values = {row["id"]: row["maps"][0]["metrics"]["gini"] for row in rows()}
    assert sorted(kept()) == sorted(sorted(values, key=values.get)[-3:])


def test_a_sample_is_the_same_in_any_order(compute):
    pictures("in", 20)
    compute("in", out="out", keep_maps="sample:6", seed=3)
    compute(*(f"in/{n}.png" for n in reversed(range(20))), out="back", keep_maps="sample:6", seed=3)
    compute("in", out="other", keep_maps="sample:6", seed=4)
    assert len(kept()) == 6
    assert sorted(kept()) == sorted(kept("back")) != sorted(kept("other"))


def test_several_inputs_and_sizes_have_stacks_of_their_own(compute):
    picture("in/a.png")
    array("b.npy", (4,))
    compute(named_inputs=(("left", "in/a.png"), ("right", "b.npy")), model="pair.keras", out="pair", keep_maps="all")
    assert [path for path in tree("pair") if path.startswith("maps")] == [
        "maps/part-00000.left.npy",
        "maps/part-00000.right.npy",
    ]
    picture("sizes/1.png", size=(9, 10))
    picture("sizes/2.png", size=(6, 5))
    picture("sizes/3.png", size=(9, 10))
    compute("sizes", model="open.keras", out="open", keep_maps="all")
    assert {name: np.load(Path("open", name)).shape for name in tree("open") if name.startswith("maps")} == {
        "maps/part-00000.9x10x3.npy": (2, 9, 10, 3),
        "maps/part-00000.6x5x3.npy": (1, 6, 5, 3),
    }
    assert {key: found[0].shape for key, found in kept("open").items()} == {
        "sizes/1.png": (9, 10, 3),
        "sizes/2.png": (6, 5, 3),
        "sizes/3.png": (9, 10, 3),
    }


def test_rows_of_a_stack_of_samples_are_rows(compute):
    array("x.npy", (6, 4))
    compute("x.npy", model="table.keras", out="out", keep_maps="all")
    assert [row["id"] for row in rows()] == [f"x.npy#{n}" for n in range(6)]
    assert set(kept()) == {f"x.npy#{n}" for n in range(6)}


# Going on.


def harm(what, part="part-00001", folder="out"):
    """Leave a part as a kill at some moment, or an accident, would."""
    path = {
        "no marker": Path(folder, f"done/{part}.json"),
        "torn marker": Path(folder, f"done/{part}.json"),
        "marker without its name": Path(folder, f"done/{part}.json"),
        "no rows": Path(folder, f"rows/{part}.jsonl.gz"),
        "torn rows": Path(folder, f"rows/{part}.jsonl.gz"),
        "other rows": Path(folder, f"rows/{part}.jsonl.gz"),
        "no maps": Path(folder, f"maps/{part}.npy"),
        "torn maps": Path(folder, f"maps/{part}.npy"),
    }[what]
    if what == "marker without its name":
        path.rename(path.with_name(f".saliency-{path.name}"))
    elif what.startswith("no"):
        path.unlink()
    elif what.startswith("torn"):
        path.write_bytes(path.read_bytes()[:-7])
    else:
        path.write_bytes(Path(folder, "rows/part-00000.jsonl.gz").read_bytes())


HARMS = [
    "no marker", "torn marker", "marker without its name",
    "no rows", "torn rows", "other rows", "no maps", "torn maps",
]  # fmt: skip


@pytest.mark.parametrize("what", HARMS)
def test_a_part_that_is_not_whole_is_done_again_and_never_half_believed(compute, what):
    pictures("in", 11)
    compute("in", out="whole", keep_maps="all")
    compute("in", out="out", keep_maps="all")
    harm(what)
    if "maps" not in what:
        assert len(list(read_items(Path("out")))) == 7  # what anybody reads meanwhile
    report, heard = compute("in", out="out", keep_maps="all", resume=True)
    assert heard.done == [f"in/{n}.png" for n in (4, 5, 6, 7)]
    assert (report.run.counts.ok, report.run.counts.skipped) == (4, 7)
    assert same(rows(), rows("whole"))
    assert {k: v[0].tobytes() for k, v in kept().items()} == {k: v[0].tobytes() for k, v in kept("whole").items()}
    assert run_json("out")["metrics"]["gradient"]["l1"] == run_json("whole")["metrics"]["gradient"]["l1"]
    stray = {f"done/{m['rows'][5:-9]}.json" for m in markers()} | {m["rows"] for m in markers()}
    assert set(tree("out")) == stray | {f for m in markers() for f in m["maps"]} | {"run.json", "metrics.json"}


def test_resume_of_a_whole_run_does_nothing(compute):
    pictures("in", 9)
    compute("in", out="out", keep_maps="worst:2")
    before = {name: Path("out", name).read_bytes() for name in tree("out") if not name.startswith(("run", "metrics"))}
    report, heard = compute("in", out="out", resume=True)  # what it keeps is known from the run before
    assert (heard.records, report.run.counts.skipped) == ([], 9)
    assert before == {name: Path("out", name).read_bytes() for name in before}


def test_what_failed_or_changed_is_done_again_and_its_old_row_goes(compute):
    pictures("in", 9)
    Path("in/3.png").write_text("not yet a picture")
    compute("in", out="out", keep_maps="all")
    picture("in/3.png", 3)
    picture("in/6.png", 77)
    report, heard = compute("in", out="out", keep_maps="all", resume=True)
    assert (report.exit_code, heard.done) == (0, ["in/3.png", "in/6.png"])
    compute("in", out="whole", keep_maps="all")
    assert same(rows(), rows("whole"))
    assert {k: v[0].tobytes() for k, v in kept().items()} == {k: v[0].tobytes() for k, v in kept("whole").items()}
    assert run_json("out")["metrics"]["gradient"]["l1"]["n"] == 9
    # Maps of rows that are gone are gone.
    assert sum(np.load(path).shape[0] for path in Path("out/maps").iterdir()) == 9


def test_an_input_that_comes_twice_has_one_row(compute):
    pictures("in", 6)
    Path("list").write_text("".join(f"in/{n}.png\n" for n in (0, 1, 2, 0, 3, 4, 5, 1)))
    compute(files_from="list", out="out", layout="sharded")
    assert sorted(row["id"] for row in rows()) == [f"in/{n}.png" for n in range(6)]
    assert run_json("out")["metrics"]["gradient"]["l1"]["n"] == 6


def test_the_worst_are_those_of_both_halves(compute):
    pictures("in", 16)
    compute(*(f"in/{n}.png" for n in range(8)), out="out", keep_maps="worst:4")
    compute("in", out="out", keep_maps="worst:4", resume=True)
    compute("in", out="whole", keep_maps="worst:4")
    assert sorted(kept()) == sorted(kept("whole"))
    assert sum(np.load(path).shape[0] for path in Path("out/maps").iterdir()) == 4


def test_a_map_that_is_missing_among_the_worst_is_told(compute):
    pictures("in", 8)
    compute("in", out="out", keep_maps="worst:2")
    # One of the two worst changes into a mild one: the third, whose map was not kept, is now among them.
    Image.new("RGB", (8, 8), "gray").save(min(kept()))
    _, heard = compute("in", out="out", keep_maps="worst:2", resume=True)
    assert len(kept()) == 1
    assert any("1 of the 2 maps that --keep-maps asks for are not there" in text for text in heard.warnings)


def test_a_run_broken_off_keeps_what_it_finished(compute):
    pictures("in", 9)

    class Stop(BaseException):
        pass

    class Ends(Quadratic):
        def __call__(self, *arguments):
            if self.batches == 2:
                raise Stop
            return super().__call__(*arguments)

    def opened(request, *, single):
        engine = open_stand_in(request, single=single)
        engine.evaluator.__class__ = Ends
        return engine

    with pytest.raises(Stop):
        compute("in", out="out", keep_maps="all", open_engine=opened)
    done = [row["id"] for row in rows()]
    assert done == [f"in/{n}.png" for n in range(len(done))]
    assert 0 < len(done) < 9
    _, heard = compute("in", out="out", keep_maps="all", resume=True)
    assert len(heard.done) == 9 - len(done)
    assert len(rows()) == 9


@pytest.mark.parametrize("what", ["_settle", "_write", "sha256"])
def test_ctrl_c_while_a_part_is_ended_keeps_it_whole(compute, monkeypatch, what):
    """What workers had finished is heard of after that: it may not be added to a part whose files have moved."""
    pictures("in", 30)
    compute("in", out="whole", keep_maps="all")
    real, calls = getattr(sharded_parts, what), 0

    def interrupted(*arguments):
        nonlocal calls
        calls += 1
        found = real(*arguments)
        if calls == 2:
            raise KeyboardInterrupt
        return found

    with monkeypatch.context() as patch:
        patch.setattr(sharded_parts, what, interrupted)
        with pytest.raises(KeyboardInterrupt):
            compute("in", out="out", keep_maps="all", jobs=2)
    assert all(sharded_parts.read_part(Path("out"), Path(m["rows"]).name.partition(".")[0]) for m in markers())
    every, found = kept("whole"), kept()
    assert len(found) == len(rows()) >= 4
    assert all(np.array_equal(found[key][0], every[key][0]) for key in found)
    compute("in", out="out", keep_maps="all", resume=True)
    assert same(rows(), rows("whole"))
    assert {k: v[0].tobytes() for k, v in kept().items()} == {k: v[0].tobytes() for k, v in every.items()}


def test_a_map_that_ctrl_c_left_uncounted_is_written_over(tmp_path):
    stack = stacks.Stack(tmp_path / "x.npy", (2,))
    assert stack.append(np.array([1, 2], np.float16)) == 0
    with stack.path.open("ab") as file:
        file.write(b"\x42" * 7)  # a map, or some of it
    assert stack.append(np.array([3, 4], np.float16)) == 1
    stack.end()
    assert np.load(stack.path).tolist() == [[1, 2], [3, 4]]
    assert stack.path.stat().st_size == stack.size
    with stack.path.open("ab") as file:
        file.write(b"\x42" * 7)
    stack.end()
    assert stack.path.stat().st_size == stack.size


@pytest.mark.parametrize("moment", range(1, 17))
def test_a_write_that_fails_leaves_no_half_part(compute, monkeypatch, moment):
    pictures("in", 10)
    compute("in", out="whole", keep_maps="all")
    calls = 0
    real = os.fsync

    def failing(descriptor):
        nonlocal calls
        calls += 1
        if calls == moment:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(sharded_parts.os, "fsync", failing)
        patch.setattr(stacks.os, "fsync", failing)
        with pytest.raises(OutputError) if moment <= 15 else contextlib.nullcontext() as caught:
            compute("in", out="out", keep_maps="all")
    if caught is not None:
        assert (caught.value.reason, "--resume" in caught.value.hint) == ("disk-full", True)
    for marker in markers() if Path("out/done").is_dir() else ():
        assert Path("out", marker["rows"]).is_file()
    compute("in", out="out", keep_maps="all", resume=True)
    assert same(rows(), rows("whole"))
    assert {k: v[0].tobytes() for k, v in kept().items()} == {k: v[0].tobytes() for k, v in kept("whole").items()}
    assert not [name for name in tree("out") if ".saliency-" in name]


def test_overwrite_changes_the_layout_and_leaves_nothing(compute):
    pictures("in", 5)
    compute("in", out="out", formats=("npy",))
    compute("in", out="out", keep_maps="all", overwrite=True)
    assert not Path("out/items.jsonl").exists()
    assert [name for name in tree("out") if name.endswith(".npy")] == ["maps/part-00000.npy", "maps/part-00001.npy"]
    compute("in", out="out", formats=("npy",), overwrite=True)
    assert not Path("out/rows").exists()
    assert not Path("out/done").exists()
    assert len(journal("out")) == 5


def test_other_peoples_rows_are_nobodys_to_remove(compute):
    pictures("in", 1)
    compute("in", out="out", formats=("npy",))
    Path("out/rows").mkdir()
    Path("out/rows/mine.txt").write_text("mine")
    compute("in", out="out", formats=("npy",), overwrite=True)
    assert Path("out/rows/mine.txt").read_text() == "mine"
    assert len(list(read_items(Path("out")))) == 1


# Which layout.


def test_many_inputs_are_sharded_by_themselves(compute, monkeypatch):
    monkeypatch.setattr(layout, "FILES_UP_TO", 5)
    pictures("in", 6)
    compute("in", out="many")
    compute("in/0.png", "in/1.png", out="few")
    compute("in", out="asked", formats=("npy",))
    compute("in", out="files", layout="files")
    Path("list").write_text("".join(f"in/{n}.png\n" for n in range(6)))
    compute(files_from="list", out="lines")
    found = {name: "layout" in run_json(name)["settings"] for name in ("many", "few", "asked", "files", "lines")}
    assert found == {"many": True, "few": False, "asked": False, "files": False, "lines": True}


def test_the_samples_of_an_array_and_the_lines_of_a_table_are_counted(compute, monkeypatch):
    monkeypatch.setattr(layout, "FILES_UP_TO", 5)
    array("rows.npy", (6, 4))
    Path("t.csv").write_text("a,b,c,d\n" + "1,2,3,4\n" * 6)
    array("one.npy", (32, 1))  # a signal, not 32 samples
    Path("empty.npy").write_bytes(b"")
    compute("rows.npy", model="table.keras", out="a")
    compute("t.csv", model="table.keras", out="b")
    compute("one.npy", model="signal.keras", out="c")
    compute("empty.npy", "one.npy", model="signal.keras", out="d")
    assert ["layout" in run_json(name)["settings"] for name in "abcd"] == [True, True, False, False]


def test_going_on_keeps_the_layout(compute, monkeypatch):
    pictures("in", 6)
    compute("in", out="out", layout="sharded")
    compute("in", out="files")
    monkeypatch.setattr(layout, "FILES_UP_TO", 5)
    compute("in", out="files", resume=True)
    compute("in", out="out", resume=True)
    assert len(rows()) == len(journal("files")) == 6
    with pytest.raises(UsageError, match="has the layout sharded, and --layout is files"):
        compute("in", out="out", resume=True, layout="files")
    with pytest.raises(UsageError, match="keep_maps was none, now all"):
        compute("in", out="out", resume=True, keep_maps="all")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"out": "out", "keep_maps": "al"}, "--keep-maps can't be 'al'"),
        ({"out": "out", "keep_maps": "worst"}, "how many is missing"),
        ({"out": "out", "keep_maps": "worst:0"}, "'0' is no number from 1 on"),
        ({"out": "out", "keep_maps": "sample:many"}, "'many' is no number from 1 on"),
        (
            {"out": "out", "keep_maps": "all", "layout": "files"},
            "--keep-maps chooses among the maps of --layout sharded",
        ),
        ({"out": "out", "keep_maps": "all", "formats": ("npy",)}, "--format npy writes files of every input"),
        ({"layout": "sharded"}, "--layout sharded is about a run folder"),
        ({"out": "x.png", "keep_maps": "all"}, "--keep-maps is about a run folder"),
    ],
)
def test_what_cant_be_meant_together_is_told_before_the_model_is_opened(compute, fields, words):
    pictures("in", 1)
    with pytest.raises(UsageError, match=words):
        compute("in", model="no model is opened for it", **fields)
    assert not Path("out").exists()


def test_the_command_line_has_it(saliency):
    pictures("in", 5)
    told = saliency("compute", "picture.keras", "in", "-o", "out", "--layout", "sharded", "--keep-maps", "sample:2")
    assert told.code == 0
    assert "5 done" in told.err
    assert len(kept()) == 2
    again = saliency("compute", "picture.keras", "in", "-o", "in2", "--keep-maps", "sample")
    assert (again.code, "--keep-maps sample:100" in again.err) == (2, True)
    planned = saliency("compute", "picture.keras", "in", "-o", "new", "--keep-maps", "all", "--dry-run")
    assert planned.code == 0
    assert ".png\n" in planned.out
    assert "heatmap" not in planned.out


def test_a_runs_maps_are_no_inputs(compute):
    array("x.npy", (3, 4))
    compute("x.npy", model="table.keras", out="in/out", keep_maps="all")
    array("in/y.npy", (2, 4))
    _, heard = compute("in", model="table.keras", out="next", layout="sharded")
    assert heard.done == ["in/y.npy#0", "in/y.npy#1"]


# The page that tells how it is read.


def snippet(first):
    """Return the example of the page that begins with a line."""
    page = (Path(__file__).parents[2] / "docs" / "large-runs.md").read_text(encoding="utf-8")
    return next(block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if block.startswith(first))


def test_the_pages_lines_of_numpy_read_the_maps(compute):
    pictures("in", 9)
    compute("in", out="out", keep_maps="worst:5")
    found = {}
    exec(snippet("import gzip"), found)
    assert [array.tobytes() for array in found["kept"]] == [each[0].tobytes() for each in kept().values()]
    assert len(found["kept"]) == 5


def test_the_pages_lines_of_pandas_read_the_rows(compute):
    pytest.importorskip("pandas", reason="pandas is not installed")
    pictures("in", 9)
    compute("in", out="out", layout="sharded")
    found = {}
    exec(snippet("from pathlib"), found)
    assert list(found["rows"]["id"]) == [row["id"] for row in rows()]
    assert len(found["rows"]) == 9
