"""`--shard i/n`: one folder, whole when the last shard is, whatever the order."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from run_tools import array, finish, maps, named_files, picture, pictures, run_json, start, tree
from test_jobs import CASES

from saliency_cli.errors import OutputError, UsageError
from saliency_cli.runs.journal import read_items
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.sharing import Share, share_of
from saliency_cli.runs.sources import listed

VOLATILE = ("seconds", "created", "command", "settings", "shards")


def items(folder):
    """Return the items of a run folder by id, without what differs from run to run."""
    import msgspec

    found = {}
    for record in read_items(Path(folder)):
        assert record.id not in found
        plain = msgspec.to_builtins(record)
        found[record.id] = {key: value for key, value in plain.items() if key != "seconds"}
    return found


def told(folder):
    """Return `run.json` without what differs from run to run, and the settings that only shards have."""
    run = run_json(folder)
    (run.get("memory") or {}).pop("limit", None)  # what was free at that moment
    settings = {key: value for key, value in run["settings"].items() if key not in ("shards", "listing")}
    return {**{key: value for key, value in run.items() if key not in VOLATILE}, "settings": settings}


def require_same(first, second):
    """Assert that two run folders hold the same."""
    assert maps(first) == maps(second)
    assert items(first) == items(second)
    assert told(first) == told(second)
    assert Path(first, "metrics.json").read_bytes() == Path(second, "metrics.json").read_bytes()
    assert not list(Path(second).rglob(".saliency-*"))


@pytest.mark.parametrize("fields", CASES.values(), ids=list(CASES))
@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_three_shards_are_one_run(compute, fields, order):
    pictures("in", 10)
    Path("in/broken.png").write_text("no picture")
    compute("in", "in/none.png", out="one", **fields)
    codes = [compute("in", "in/none.png", out="out", shard=(i, 3), **fields)[0].exit_code for i in order]
    require_same("one", "out")
    assert sorted(codes) == [0, 3, 3]
    assert [shard["status"] for shard in run_json("out")["shards"]] == ["done"] * 3
    assert not Path("out/items.jsonl").exists()


@pytest.mark.parametrize("keep", ["all", "worst:3", "sample:4", "none"])
def test_shards_of_parts(compute, keep):
    pictures("in", 10)
    fields = {"layout": "sharded", "keep_maps": keep}
    compute("in", out="one", **fields)
    for i in (2, 1, 3):
        compute("in", out="out", shard=(i, 3), **fields)
    assert told("one") == told("out")

    def kept(folder):
        return {
            record.id
            for record in read_items(Path(folder))
            if any(entry.stack for found in record.maps for entry in found.inputs.values())
        }

    assert kept("out") == kept("one")
    assert len(kept("out")) == {"all": 10, "worst:3": 3, "sample:4": 4, "none": 0}[keep]
    assert [path.name for path in sorted(Path("out/rows").iterdir())] == [
        f"shard-{i}-of-3-part-00000.jsonl.gz" for i in (1, 2, 3)
    ]
    _, heard = compute("in", out="out", shard=(2, 3), resume=True, **fields)
    assert heard.records == []
    _, heard = compute("in", out="out", resume=True, **fields)
    assert heard.records == []


def test_every_shard_takes_every_nth(compute):
    pictures("in", 11)
    for i in (1, 2, 3):
        report, heard = compute("in", out="out", shard=(i, 3))
        assert heard.done == [f"in/{n}.png" for n in range(i - 1, 11, 3)]
        assert heard.totals == [len(heard.done)]
        assert report.run.counts.ok == len(heard.done)
        assert heard.notices[-1] == f"{i} of 3 shards of 'out' are done"
        assert run_json("out")["status"] == ("done" if i == 3 else "running")
        assert Path("out/metrics.json").exists() == (i == 3)
    assert run_json("out")["counts"] == {"ok": 11, "error": 0, "skipped": 0}
    assert tree("out/shards") == sorted(
        [".1-of-3.lock", ".2-of-3.lock", ".3-of-3.lock"]
        + [f"{i}-of-3.json{end}" for i in (1, 2, 3) for end in ("", "l")]
    )


def test_the_batch_is_that_of_the_whole_run(compute):
    """A shard of one input computes with the shape of all of them: another shape has other bits."""
    pictures("in", 3)
    report, _ = compute("in", out="out", shard=(2, 3))
    assert (report.run.counts.ok, report.run.batch_size) == (1, 4)


def test_more_shards_than_inputs(compute):
    pictures("in", 2)
    compute("in", out="one")
    for i in range(1, 12):
        compute("in", out="out", shard=(i, 11))
    require_same("one", "out")
    assert Path("out/shards/01-of-11.jsonl").read_bytes()
    assert not Path("out/shards/11-of-11.jsonl").read_bytes()


def test_stacks_go_to_one_shard(compute):
    for n in range(5):
        array(f"{n}.npy", (3, 4), n)
    stacks = [f"{n}.npy" for n in range(5)]
    compute(*stacks, model="table.keras", out="one", formats=("npy",))
    for i in (1, 2):
        compute(*stacks, model="table.keras", out="out", formats=("npy",), shard=(i, 2))
    require_same("one", "out")


def test_a_stack_that_leaves_shards_idle_is_told(compute):
    array("x.npy", (6, 4))
    array("y.npy", (6, 4), 1)
    alone = "the samples of one file stay together, and there is 1: 2 of 3 shards have nothing to do"
    for dry_run in (True, False):
        _, heard = compute("x.npy", model="table.keras", out="out", shard=(2, 3), dry_run=dry_run)
        assert heard.notices[0] == f"--shard 2/3: {alone}; split it into several to use them"
    _, heard = compute("x.npy", "y.npy", model="table.keras", out="two", shard=(1, 2))
    assert not [text for text in heard.notices if "idle" in text or "nothing to do" in text]


def test_lines_of_a_file(compute):
    pictures("in", 7)
    Path("list.txt").write_text("".join(f"in/{n}.png\n" for n in range(7)))
    compute(files_from="list.txt", out="one", batch_size=4)
    for i in (1, 2):
        compute(files_from="list.txt", out="out", shard=(i, 2), batch_size=4)
    require_same("one", "out")
    assert [line.id for line in read_items(Path("out"))][:4] == ["in/0.png", "in/2.png", "in/4.png", "in/6.png"]


def test_workers_and_shards(compute):
    pictures("in", 12)
    compute("in", out="one")
    for i in (1, 2):
        compute("in", out="out", shard=(i, 2), jobs=2)
    require_same("one", "out")


def test_a_shard_goes_on_with_what_it_did(compute):
    pictures("in", 9)
    compute("in", out="one")
    compute("in", out="out", shard=(1, 3))
    compute("in", out="out", shard=(2, 3))
    path = Path("out/shards/2-of-3.jsonl")
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0] + b'{"half')
    with pytest.raises(OutputError, match="holds shard 2/3 already, or some of it") as caught:
        compute("in", out="out", shard=(2, 3), model="no model is opened for it")
    assert (caught.value.reason, caught.value.exit_code) == ("exists", 5)
    assert "--resume" in caught.value.hint
    _, heard = compute("in", out="out", shard=(2, 3), resume=True)
    assert heard.done == ["in/4.png", "in/7.png"]
    _, heard = compute("in", out="out", shard=(3, 3), resume=True)
    assert len(heard.done) == 3
    assert maps("one") == maps("out")
    assert items("one") == items("out")
    assert run_json("out")["status"] == "done"
    picture("in/4.png", 99)
    _, heard = compute("in", out="out", shard=(2, 3), resume=True)
    assert heard.done == ["in/4.png"]
    assert run_json("out")["status"] == "done"
    assert run_json("out")["counts"] == {"ok": 7, "error": 0, "skipped": 2}


def test_what_a_kill_left_half_written_is_no_shard(compute):
    """As a `kill -9` between the writing of a shard's run.json and its renaming leaves it."""
    pictures("in", 6)
    for shard in (1, 3):
        compute("in", out="out", shard=(shard, 3))
    for suffix in ("json", "jsonl"):
        first = Path(f"out/shards/1-of-3.{suffix}")
        Path(f"out/shards/.saliency-2-of-3.{suffix}").write_bytes(first.read_bytes())
    assert len(items("out")) == 4
    compute("in", out="out", shard=(1, 3), overwrite=True)
    assert [each["shard"] for each in run_json("out")["shards"]] == [1, 3]


def test_what_failed_in_a_shard_is_tried_again(compute):
    pictures("in", 4)
    Path("in/1.png").write_text("not yet")
    for i in (1, 2):
        compute("in", out="out", shard=(i, 2))
    assert run_json("out")["counts"] == {"ok": 3, "error": 1, "skipped": 0}
    picture("in/1.png", 1)
    report, heard = compute("in", out="out", shard=(2, 2), resume=True)
    assert (report.exit_code, heard.done) == (0, ["in/1.png"])
    assert [line["status"] for line in items("out").values()] == ["ok"] * 4


def test_a_shard_is_done_again_and_the_others_stay(compute):
    pictures("in", 6)
    compute("in", out="one")
    for i in (1, 2):
        compute("in", out="out", shard=(i, 2))
    Path("out/notes.txt").write_text("mine")
    before = {name: Path("out/maps", name).stat().st_mtime_ns for name in maps("out") if "/1.png" not in name}
    Path("out/maps/in/1.png/gradient.heatmap.png").write_bytes(b"spoiled")
    _, heard = compute("in", out="out", shard=(2, 2), overwrite=True)
    assert heard.done == ["in/1.png", "in/3.png", "in/5.png"]
    require_same("one", "out")
    same = {name for name, at in before.items() if Path("out/maps", name).stat().st_mtime_ns == at}
    assert {name.split("/")[1] for name in same} == {"0.png", "2.png", "4.png"}
    assert Path("out/notes.txt").read_text() == "mine"


def test_a_run_without_shards_takes_them_all(compute):
    pictures("in", 9)
    compute("in", out="one")
    for i in (1, 3):
        compute("in", out="out", shard=(i, 3))
    _, heard = compute("in", out="out", resume=True)
    assert heard.done == [f"in/{n}.png" for n in (1, 4, 7)]
    assert maps("one") == maps("out")
    assert items("one") == items("out")
    assert not Path("out/shards").exists()
    assert run_json("out")["status"] == "done"
    assert run_json("out")["shards"] == []
    with pytest.raises(OutputError, match="holds a finished run that is not in shards"):
        compute("in", out="out", shard=(1, 3), overwrite=True)


def test_overwrite_by_a_whole_run_removes_the_shards(compute):
    pictures("in", 4)
    compute("in", out="out", shard=(1, 2))
    compute("in/1.png", out="out", overwrite=True, seed=3)
    assert not Path("out/shards").exists()
    assert [line["id"] for line in items("out").values()] == ["in/1.png"]


REFUSED = [
    ({"shard": (1, 4)}, UsageError, "is in 3 shards", "--shard 1/3"),
    ({"shard": (2, 3), "seed": 5}, UsageError, "made with other settings: seed was 0, now 5", "another -o"),
    ({"shard": (2, 3), "methods": ("smoothgrad",)}, UsageError, "other settings: method was", "another -o"),
    ({"shard": (2, 3), "model": "dead.keras"}, UsageError, "weights was weights of picture", "another -o"),
    ({"shard": (2, 3), "more": True}, UsageError, "the inputs are not those", "change none"),
    ({"shard": (2, 3), "more": True, "resume": True}, UsageError, "the inputs are not those", "change none"),
]


@pytest.mark.parametrize(("fields", "error", "words", "hint"), REFUSED, ids=[case[2] for case in REFUSED])
def test_what_is_no_shard_of_the_run_is_refused(compute, fields, error, words, hint):
    pictures("in", 6)
    compute("in", out="out", shard=(1, 3))
    before = {name: (Path("out") / name).read_bytes() for name in tree("out")}
    fields = dict(fields)
    if fields.pop("more", False):
        picture("in/9.png")
    with pytest.raises(error, match=words) as caught:
        compute("in", out="out", **fields)
    assert hint in caught.value.hint
    assert before == {name: (Path("out") / name).read_bytes() for name in before}


@pytest.mark.parametrize(
    ("fields", "words"), [({"shard": (1, 4)}, "is in 3 shards"), ({"more": True}, "the inputs are not")]
)
def test_another_run_is_found_out_before_the_model_is_opened(compute, fields, words):
    pictures("in", 6)
    compute("in", out="out", shard=(1, 3))
    if fields.pop("more", False):
        picture("in/9.png")
    fields = {"shard": (2, 3), **fields}
    with pytest.raises(UsageError, match=words):
        compute("in", out="out", dry_run=True, **fields)
    with pytest.raises(UsageError, match=words):
        compute("in", out="out", open_engine=None, **fields)


def test_another_layout_is_named(compute):
    pictures("in", 6)
    compute("in", out="out", shard=(1, 3), layout="sharded")
    with pytest.raises(UsageError, match="layout was sharded, now files; format was"):
        compute("in", out="out", shard=(2, 3))
    compute("in", out="files", shard=(1, 3))
    with pytest.raises(UsageError, match="layout was files, now sharded"):
        compute("in", out="files", shard=(2, 3), keep_maps="all")


def test_a_try_that_came_to_nothing_binds_nobody(compute):
    pictures("in", 4)
    Path("in/0.png").write_text("no picture")
    compute("in", out="out", shard=(1, 4), seed=7)
    for i in (1, 2):
        compute("in", out="out", shard=(i, 2))
    assert run_json("out")["seed"] == 0
    assert [shard["shard"] for shard in run_json("out")["shards"]] == [1, 2]


def test_where_shards_can_not_go(compute):
    pictures("in", 3)
    with pytest.raises(UsageError, match="--shard writes into a run folder"):
        compute("in", shard=(1, 2))
    with pytest.raises(UsageError, match="stdin can be read once"):
        compute("-", "in", out="out", shard=(1, 2))
    for lines in ("-", "none.txt"):
        with pytest.raises(UsageError, match="every shard reads all of --files-from"):
            compute(files_from=lines, out="out", shard=(1, 2))
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="holds files that are no run's"):
        compute("in", out="mine", shard=(1, 2))
    compute("in", out="done")
    with pytest.raises(OutputError, match="holds a finished run that is not in shards"):
        compute("in", out="done", shard=(1, 2), resume=True)


def test_a_listing_of_pipes_is_refused():
    pictures("in", 2)
    os.mkfifo("pipe")
    with pytest.raises(UsageError, match="every shard reads all"):
        share_of(ComputeRequest("m", files_from="pipe", shard=(1, 2)), None)


def test_a_listing_is_known_by_its_names_and_their_order():
    pictures("in", 3)

    def listing(*inputs):
        request = ComputeRequest("m", inputs, shard=(1, 2))
        return share_of(request, listed(request)).listing

    assert listing("in") == listing("in/0.png", "in/1.png", "in/2.png")
    assert listing("in") != listing("in/0.png", "in/2.png", "in/1.png")
    assert listing("in") != listing("in/0.png", "in/1.png")


def test_more_shards_than_can_be_counted():
    assert list(Share(1, 10**20, "").taken(["a", "b"])) == ["a"]
    assert list(Share(10**20, 10**20, "").taken(["a", "b"])) == []


def test_names_of_shards_sort_as_they_do():
    names = [Share(index, 120, "").name for index in (1, 2, 10, 100)]
    assert names == sorted(names) == ["001-of-120", "002-of-120", "010-of-120", "100-of-120"]


@pytest.mark.parametrize(("text", "words"), [("0/3", "from 1/3 to 3/3"), ("4/3", "from 1/3"), ("x", "is not I/N")])
def test_the_command_line_says_how_shards_are_counted(text, words):
    pictures("in", 2)
    code, _, err = finish("compute", "picture.keras", "in", "-o", "out", "--shard", text, cwd=".")
    assert code == 2
    assert words in " ".join(err.split())


def test_shards_at_once(compute):
    pictures("in", 30)
    compute("in", out="one", formats=("npy",))
    racing = [
        start(
            "compute", "picture.keras", "in", "-o", "out", "--format", "npy", "--shard", f"{i}/4", "-q", cwd=".",
            delay=0.05, stderr=subprocess.PIPE, text=True,
        )
        for i in (1, 2, 3, 4)
    ]  # fmt: skip
    said = [process.communicate(timeout=60)[1] for process in racing]
    assert [process.returncode for process in racing] == [0] * 4, said
    require_same("one", "out")


def test_what_an_item_names_is_there(compute):
    pictures("in", 5)
    for i in (1, 2):
        compute("in", out="out", shard=(i, 2), formats=("all",))
    texts = [path.read_bytes() for path in sorted(Path("out/shards").glob("*.jsonl"))]
    lines = [json.loads(line) for text in texts for line in text.splitlines()]
    named = [file for line in lines for file in named_files(line)]
    assert sorted(named) == [file for file in tree("out") if file.startswith("maps/")]


def test_a_folder_of_shards_is_no_input(compute):
    """What a run wrote is found again in the folder of its inputs, and left alone."""
    pictures("in", 2)
    for i in (1, 2):
        compute("in", out="in/out", shard=(i, 2))
    assert [source.id for source in listed(ComputeRequest("m", ("in",)))] == ["in/0.png", "in/1.png"]
