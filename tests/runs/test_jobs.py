"""`--jobs N`: the same files, records and numbers as one process, and only the input that kills is lost."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image
from run_tools import array, finish, journal, maps, picture, pictures, run_json, start
from stand_in import open_stand_in

from saliency_cli.engines.child import Stopped
from saliency_cli.errors import ModelError, UsageError
from saliency_cli.records import RunRecord
from saliency_cli.runs import distributing
from saliency_cli.runs.relaying import Given
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.sources import listed
from saliency_cli.runs.worker import Order, open_worker, require_alike


def lines(folder):
    """Return the journal by id, without what differs from run to run."""
    found = {}
    for line in journal(folder):
        assert line["id"] not in found
        found[line["id"]] = {key: value for key, value in line.items() if key != "seconds"}
    return found


def told(folder):
    """Return `run.json` without what differs from run to run."""
    return {key: value for key, value in run_json(folder).items() if key not in ("seconds", "created", "command")}


def require_same(first, second):
    """Assert that two run folders hold the same."""
    assert maps(first) == maps(second)
    assert lines(first) == lines(second)
    assert told(first) == told(second)
    assert Path(first, "metrics.json").read_bytes() == Path(second, "metrics.json").read_bytes()
    assert not list(Path(second).rglob(".saliency-*"))


def white(path):
    """Write a white picture, which kills the stand-in `deadly.keras`."""
    Path(path).parent.mkdir(exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), 255, np.uint8)).save(path)


CASES = {
    "pictures": {"formats": ("heatmap", "npy", "json")},
    "smoothgrad": {"methods": ("gradient", "smoothgrad"), "options": ("draws=5",), "formats": ("npy",)},
    "targets": {"target": "all", "formats": ("npz",)},
    "metrics": {"metrics": ("grad-l2", "deletion"), "formats": ("npy",)},
    "nothing but numbers": {"metrics": ("grad-l2",)},
}


@pytest.mark.parametrize("fields", CASES.values(), ids=list(CASES))
def test_two_workers_do_what_one_process_does(compute, fields):
    pictures("in", 14)
    Path("in/broken.png").write_text("no picture")
    one, _ = compute("in", "in/none.png", out="one", **fields)
    two, heard = compute("in", "in/none.png", out="two", jobs=2, **fields)
    require_same("one", "two")
    assert one.exit_code == two.exit_code == 3
    assert (len(heard.done), set(heard.failed)) == (14, {"in/broken.png", "in/none.png"})


def test_the_same_things_are_told(compute):
    pictures("in", 7)
    _, one = compute("in", model="dead.keras", out="one")
    _, two = compute("in", model="dead.keras", out="two", jobs=2)
    assert one.notices == two.notices == ["preparing: unit, because the model's own layer 'scaled' expects [0, 1]"]
    (warning,), (other,) = one.warnings, two.warnings
    assert warning.partition(": ")[2] == other.partition(": ")[2]
    assert one.totals == two.totals == [7]


def test_stacks_and_pairs(compute):
    for n in range(4):
        array(f"{n}.npy", (7, 4), n)
    stacks = [f"{n}.npy" for n in range(4)]
    for folder, jobs in (("one", 1), ("two", 2)):
        compute(*stacks, model="table.keras", out=folder, formats=("npy",), jobs=jobs)
    require_same("one", "two")
    assert len(journal("two")) == 28
    pictures("left", 5)
    pictures("right", 5, size=(7, 7))
    named = (("a/b", "left"), ("a_b", "right"))
    for folder, jobs in (("three", 1), ("four", 2)):
        compute(model="twins.keras", named_inputs=named, out=folder, formats=("npy",), jobs=jobs)
    require_same("three", "four")


def test_labels_masks_and_a_second_model(compute):
    pictures("in", 6)
    Path("labels.csv").write_text("".join(f"in/{n}.png,{n % 3}\n" for n in range(5)))
    for folder, jobs in (("one", 1), ("two", 2)):
        compute("in", out=folder, loss="mse", labels="labels.csv", formats=("npy",), jobs=jobs)
    require_same("one", "two")
    assert [line["id"] for line in journal("two") if line["status"] == "error"] == ["in/5.png"]
    for folder, jobs in (("three", 1), ("four", 2)):
        compute("in", out=folder, reference="guessed.keras", metrics=("pearson",), jobs=jobs)
    require_same("three", "four")


@pytest.mark.parametrize(("first", "second"), [(1, 2), (2, 1), (2, 2)])
def test_workers_go_on_with_what_was_done(compute, first, second):
    pictures("in", 12)
    array("x.npy", (5, 8, 8, 3), 3)
    inputs = ("in", "x.npy")
    compute(*inputs, out="whole", formats=("npy",))
    compute(*inputs, out="out", formats=("npy",), jobs=first)
    path = Path("out/items.jsonl")
    gone = {"in/3.png", "in/7.png", "x.npy#2", "x.npy#4"}
    kept = [line for line in path.read_bytes().splitlines(keepends=True) if json.loads(line)["id"] not in gone]
    path.write_bytes(b"".join(kept))
    picture("in/5.png", 77)
    report, heard = compute(*inputs, out="out", formats=("npy",), jobs=second, resume=True)
    assert sorted(heard.done) == sorted([*gone, "in/5.png"])
    assert report.run.counts.skipped == 12
    assert len(journal("out")) == 17
    compute(*inputs, out="anew", formats=("npy",))
    assert maps("out") == maps("anew")
    _, heard = compute(*inputs, out="out", formats=("npy",), jobs=second, resume=True)
    assert heard.records == []


def test_a_picture_that_kills_is_named_and_all_others_are_done(compute):
    pictures("in", 20)
    compute("in", out="one", formats=("npy", "heatmap"))
    white("in/9a.png")
    report, heard = compute("in", model="deadly.keras", out="two", formats=("npy", "heatmap"), jobs=2)
    assert report.exit_code == 3
    assert sorted(heard.done) == sorted(f"in/{n}.png" for n in range(20))
    (error,) = heard.failed.values()
    assert list(heard.failed) == ["in/9a.png"]
    assert error.reason == "worker-died"
    assert "SIGKILL, as the system does when memory runs out" in error.message
    arrays = {name: data for name, data in maps("one").items() if name.endswith(".npy")}
    assert arrays == {name: data for name, data in maps("two").items() if name.endswith(".npy")}
    assert run_json("two")["counts"] == {"ok": 20, "error": 1, "skipped": 0}
    assert not list(Path("two").rglob(".saliency-*"))
    # It is tried again, as all that failed is, and takes nobody with it.
    _, heard = compute("in", model="deadly.keras", out="two", formats=("npy", "heatmap"), jobs=2, resume=True)
    assert (heard.done, list(heard.failed)) == ([], ["in/9a.png"])
    assert len(journal("two")) == 21


def test_a_row_that_kills_loses_no_other_row(compute):
    stack = np.random.default_rng(0).random((12, 8, 8, 3), np.float32)
    stack[5] = 1
    np.save("x.npy", stack)
    pictures("in", 3)
    report, heard = compute("x.npy", "in", model="deadly.keras", out="out", jobs=2, batch_size=1, formats=("npy",))
    ids = [line["id"] for line in journal("out")]
    assert len(ids) == len(set(ids))
    assert {"x.npy", "in/0.png", "in/1.png", "in/2.png"} <= set(ids)
    assert "x.npy#5" not in ids
    assert list(heard.failed) == ["x.npy"]
    assert report.run.counts.ok == len(ids) - 1


def test_max_failures(compute):
    pictures("in", 3)
    report, heard = compute(*[f"none{n}.png" for n in range(200)], "in", out="out", jobs=2, max_failures=5)
    assert report.run.status == "stopped"
    assert 5 <= len(heard.failed) < 100
    assert heard.warnings == ["stopped after 5 failures (--max-failures 5)"]


def test_one_input_needs_no_worker(compute):
    pictures("in", 1)
    report, heard = compute("in", out="out", jobs=4)
    assert (report.run.batch_size, heard.done) == (1, ["in/0.png"])


def test_a_stack_that_leaves_workers_idle_is_told(compute):
    array("x.npy", (6, 4))
    array("y.npy", (6, 4), 1)
    pictures("in", 1)
    _, heard = compute("x.npy", model="table.keras", out="out", jobs=4)
    told = "--jobs 4: the samples of one file stay together, and there is 1: 3 of 4 workers have nothing to do"
    assert heard.notices[0] == f"{told}; split it into several to use them"
    _, heard = compute("x.npy", "y.npy", model="table.keras", out="two", jobs=2)
    assert not [text for text in heard.notices if "nothing to do" in text]
    _, heard = compute("in", out="one", jobs=4)  # one picture, and everybody sees that
    assert not [text for text in heard.notices if "nothing to do" in text]


def test_more_workers_than_the_machine_has_memory_for(compute, monkeypatch):
    pictures("in", 8)
    monkeypatch.setattr(distributing, "_memory", lambda: 3 << 30)
    monkeypatch.setattr(distributing, "_cores", lambda: 16)
    with pytest.raises(
        UsageError, match="--jobs 500: 500 workers take some 350 GB, and this machine has 3 GB"
    ) as caught:
        compute(*(f"in/{n}.png" for n in range(600)), out="out", jobs=500)
    assert caught.value.hint.startswith("--jobs 3: ")
    assert not Path("out").exists()
    report, _ = compute("in", out="out", jobs=500, dry_run=True)  # no more than inputs
    assert report.run.counts.ok == 8


def test_what_only_one_process_can_do_is_refused(compute):
    pictures("in", 3)
    with pytest.raises(UsageError, match="--jobs 2 writes into a run folder") as caught:
        compute("in", jobs=2)
    assert caught.value.hint == "-o DIR/"
    with pytest.raises(UsageError, match="stdin can be read by one process"):
        compute("-", "in", out="out", jobs=2)


def test_numbers_alone_need_no_folder(compute):
    pictures("in", 5)
    one, _ = compute("in", metrics=("grad-l2",))
    two, heard = compute("in", metrics=("grad-l2",), jobs=2)
    assert one.run.metrics == two.run.metrics
    assert len(heard.done) == 5
    assert [path.name for path in Path().iterdir()] == ["in"]


def test_a_model_that_can_not_be_opened_is_told_once(compute):
    pictures("in", 3)
    with pytest.raises(ModelError, match=r"'other\.keras' is no model") as caught:
        compute("in", model="other.keras", out="out", jobs=2)
    assert (caught.value.reason, caught.value.hint) == ("not-a-model", "a .keras file")
    assert not Path("out").exists()


def test_workers_that_differ_are_refused():
    first = RunRecord(settings={"weights": "a", "batch_size": 8, "tensorflow": "2.21"})
    require_alike(first, msgspec.structs.replace(first))
    with pytest.raises(ModelError, match=r"weights is a, and b; tensorflow is 2\.21, and 2\.20") as caught:
        require_alike(first, RunRecord(settings={"weights": "b", "batch_size": 8, "tensorflow": "2.20"}))
    assert caught.value.reason == "workers-differ"


def test_lines_of_a_pipe_are_answered_while_the_next_is_awaited():
    pictures("in", 4)
    with start(
        "compute", "picture.keras", "--files-from", "-", "-o", "out", "--jsonl", "--jobs", "2", "-q", cwd=".",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        for n in range(4):
            process.stdin.write(f"in/{n}.png\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["id"] == f"in/{n}.png"
        process.stdin.close()
        assert process.wait(20) == 0


def children(process):
    """Return the processes that a process has started."""
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def test_a_worker_killed_from_outside_costs_nothing(compute):
    pictures("in", 40)
    compute("in", out="whole", formats=("npy",), batch_size=4)
    with start(
        "compute", "picture.keras", "in", "-o", "out", "--format", "npy", "--batch-size", "4", "-j", "2", cwd=".",
        delay=0.05, stderr=subprocess.PIPE, text=True, stdout=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        path = Path("out/items.jsonl")
        while not (path.exists() and path.read_bytes().count(b"\n") > 8):
            assert process.poll() is None
            time.sleep(0.01)
        os.kill(children(process.pid)[0], signal.SIGKILL)
        said = process.stderr.read()
        assert process.wait(30) == 0, said
    require_same("whole", "out")


def test_the_parent_s_death_ends_its_workers():
    pictures("in", 40)
    process = start("compute", "picture.keras", "in", "-o", "out", "-j", "2", "-q", cwd=".", delay=0.2)
    while len(workers := children(process.pid)) < 2:
        time.sleep(0.01)
    process.kill()
    process.wait()
    until = time.monotonic() + 5
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < until, "a worker is left"
        time.sleep(0.02)


def test_the_command_line():
    pictures("in", 6)
    code, out, err = finish("evaluate", "picture.keras", "in", "--metric", "grad-l2", "-j", "2", cwd=".")
    assert code == 0, err
    assert "grad-l2" in out
    code, _, err = finish("compute", "picture.keras", "in", "-o", "out", "--jobs", "0", cwd=".")
    assert (code, "--jobs" in err) == (2, True)


def test_a_worker_is_broken_off_before_its_next_batch():
    """By its own thread, which asks: what was finished is answered, its files are whole, and no more is begun."""
    pictures("in", 40)
    request = ComputeRequest("picture.keras", ("in",), out="out", formats=("npy",), batch_size=4)
    worker = open_worker(Order(request, None, open_stand_in), None)
    answers, asked = [], []

    def check():
        asked.append(len(answers))
        if len(asked) == 4:
            raise Stopped

    with pytest.raises(Stopped):
        worker.run(((n, Given(source, {})) for n, source in enumerate(listed(request))), answers.append, check)
    assert len(asked) == 4
    assert 0 < len(answers) <= 12
    assert len(maps("out")) == len(answers)
