"""`--shard`: shards struck at any moment, at once in one folder, racing for one lock."""

import errno
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from run_tools import Heard, finish, pictures, run_json, start
from stand_in import open_stand_in
from striking import (
    COMMAND,
    await_moment,
    ids,
    moments,
    require_finished,
    require_sound,
    require_struck,
    whole_run,
)
from test_worker_faults import FAULTS

from saliency_cli.runs import journal
from saliency_cli.runs.compute import compute
from saliency_cli.runs.request import ComputeRequest

COUNT = 45
DELAY = 0.1
SHARDS = ("1/3", "2/3", "3/3")


def shard(number, *more, **options):
    return start(*COMMAND, "-o", options.pop("out", "out"), "--shard", number, *more, cwd=".", **options)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("times", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_one_of_three_at_once_is_struck(number, times, tally):
    """The others know nothing of it, and what was struck goes on: the folder is whole in the end."""
    pictures("in", COUNT)
    expected = whole_run()
    chance = random.Random(times)
    began = time.monotonic()
    assert shard("1/3", out="timed", delay=DELAY).wait(300) == 0
    lasts = time.monotonic() - began
    at_work = 0
    for turn, moment in enumerate(moments(times, COUNT, lasts, times)):
        out = f"out{turn}"
        racing = {name: shard(name, out=out, delay=DELAY, log=f"{name[0]}.log") for name in SHARDS}
        name = chance.choice(SHARDS)
        await_moment(racing[name], moment, out)
        racing[name].send_signal(number)
        codes = {each: process.wait(300) for each, process in racing.items()}
        assert {code for each, code in codes.items() if each != name} == {0}
        require_struck(codes[name], number, f"{name[0]}.log")
        done = {record["id"] for record in require_sound(out)}
        at_work += codes[name] != 0 and COUNT * 2 // 3 < len(done) < COUNT
        if codes[name] != 0:
            assert run_json(out)["status"] in ("running", "done")  # it may have been over but for its farewell
            assert shard(name, "--resume", out=out).wait(300) == 0
        assert done <= set(ids(out))
        require_finished(expected, COUNT, out)
    tally(f"--shard: {number.name} to one of three", strikes=times, at_work=at_work)


@pytest.mark.parametrize("times", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_many_starts_of_one_shard(times, tally):
    """Whoever loses is told; nobody removes what the winner wrote."""
    pictures("in", 9)
    expected = whole_run()
    for turn in range(times):
        out = f"out{turn}"
        racing = [shard("1/2", out=out, stderr=subprocess.PIPE, text=True) for _ in range(6)]
        said = [process.communicate(timeout=300)[1] for process in racing]
        assert sorted(process.returncode for process in racing) == [0, 5, 5, 5, 5, 5], said
        for text in said:
            lost = "another process is at work on shard 1/2" in text or "holds shard 1/2 already" in text
            assert lost or not text, text
        assert shard("2/2", out=out).wait(300) == 0
        require_finished(expected, 9, out)
    tally("--shard: six starts of one shard", races=times)


@pytest.mark.parametrize("times", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_all_shards_begin_at_once(times, tally):
    pictures("in", 12)
    expected = whole_run()
    for turn in range(times):
        out = f"out{turn}"
        racing = [shard(f"{i}/6", out=out, stderr=subprocess.PIPE, text=True) for i in range(1, 7)]
        said = [process.communicate(timeout=300)[1] for process in racing]
        assert [process.returncode for process in racing] == [0] * 6, said
        require_finished(expected, 12, out)
    tally("--shard: six shards begin at once", races=times)


def test_another_shard_begins_between_two_looks(monkeypatch):
    """No run yet, then files of one: what the other shard wrote is no stranger's."""
    pictures("in", 6)
    expected = whole_run()
    read, looks = journal.read_run, []

    def late(root):
        found = read(root)
        looks.append(found)
        if len(looks) == 1:
            assert shard("2/2").wait(300) == 0
        return found

    Path("out").mkdir()
    monkeypatch.setattr(journal, "read_run", late)
    request = ComputeRequest(
        "picture.keras", ("in",), out="out", formats=("heatmap", "npy", "json"), batch_size=4, shard=(1, 2)
    )
    compute(request, Heard(), open_engine=open_stand_in)
    assert looks[0] is None
    require_finished(expected, 6)


def wait_for(condition, process):
    while not condition():
        assert process.poll() is None, "it ended before it was struck"
        time.sleep(0.01)


def test_who_may_not_come_while_a_shard_is_at_work():
    pictures("in", 30)
    expected = whole_run()
    lines = Path("out/shards/1-of-2.jsonl")
    with shard("1/2", delay=3) as first:
        wait_for(lambda: lines.exists() and lines.stat().st_size, first)
        for word in ("--resume", "--overwrite"):
            code, _, told = finish(*COMMAND, "-o", "out", word, cwd=".")
            assert code == 5
            assert told.splitlines()[0] == "error: a shard is at work in 'out'"
            code, _, told = finish(*COMMAND, "-o", "out", "--shard", "1/2", word, cwd=".")
            assert code == 5
            assert told.splitlines()[0] == "error: another process is at work on shard 1/2 in 'out'"
        code, _, told = finish(*COMMAND, "-o", "out", "--shard", "2/5", cwd=".")
        assert (code, "is in 2 shards" in told) == (2, True)
        assert finish(*COMMAND, "-o", "out", "--shard", "2/2", cwd=".")[0] == 0
        assert first.wait(300) == 0
    require_finished(expected, 30)


def test_a_shard_does_not_wait_for_a_run_of_all():
    pictures("in", 30)
    with start(*COMMAND, "-o", "out", cwd=".", delay=3) as whole:
        lines = Path("out/items.jsonl")
        wait_for(lambda: lines.exists() and lines.stat().st_size, whole)
        began = time.monotonic()
        code, _, told = finish(*COMMAND, "-o", "out", "--shard", "1/2", cwd=".")
        assert (code, "that is not in shards" in told) == (5, True)
        assert time.monotonic() - began < 20
        whole.kill()


@pytest.mark.parametrize(("kind", "number", "name"), FAULTS, ids=[f"{f[0]}-{f[1]}-{f[2]}" for f in FAULTS])
def test_a_shard_that_can_not_write(kind, number, name, monkeypatch, tally):
    """The other one loses nothing by it, and the struck one goes on where it stopped."""
    pictures("in", 40)
    expected = whole_run()
    monkeypatch.setenv("STAND_IN_FAULT", f"{kind}:{number}:{name}")
    code, _, told = finish(*COMMAND, "-o", "out", "--shard", "1/2", cwd=".")
    monkeypatch.delenv("STAND_IN_FAULT")
    assert code == 5, told
    assert "can't be written: " + os.strerror(getattr(errno, name)) in told
    before = {record["id"] for record in require_sound()} if Path("out").is_dir() else set()
    assert len(before) < 20
    assert not list(Path("out").rglob(".saliency-*"))
    assert finish(*COMMAND, "-o", "out", "--shard", "2/2", cwd=".")[0] == 0
    assert finish(*COMMAND, "-o", "out", "--shard", "1/2", "--resume", cwd=".")[0] == 0
    require_finished(expected, 40)
    tally("one of two --shard: the k-th write or rename fails", runs=1)


@pytest.mark.parametrize("closed", ["1>&-", "0<&- 1>&- 2>&-"])
def test_a_closed_stream_spoils_no_file(closed, tally):
    pictures("in", 8)
    expected = whole_run()
    process = start(cwd=".")
    python, script = process.args[:2]
    process.wait()
    for name in ("1/2", "2/2"):
        told = subprocess.run(
            ["sh", "-c", f'exec "$0" "$@" {closed}', python, script, *COMMAND, "--shard", name, "-o", "out"],
            capture_output=True, timeout=300, check=False,
        )  # fmt: skip
        assert told.returncode == 0, told.stderr
    require_finished(expected, 8)
    tally("--shard: stdout closed", runs=1)


@pytest.mark.slow
def test_real_disks_of_32_sizes(tally):
    from test_worker_faults import small_disk

    pictures("in", 40)
    expected = whole_run()
    Path("small").mkdir()
    for size in range(32, 544, 16):
        small_disk("small", size)
        try:
            codes = [shard(name, out="small/out", stderr=subprocess.DEVNULL).wait(300) for name in ("1/2", "2/2")]
            assert set(codes) <= {0, 5}
            require_sound("small/out")
            subprocess.run(["mount", "-o", "remount,size=8m", "small"], check=True)
            for name in ("1/2", "2/2"):
                assert shard(name, "--resume", out="small/out").wait(300) == 0
            require_finished(expected, 40, "small/out")
            tally("--shard: disks of 32 sizes", runs=1, filled=int(5 in codes))
        finally:
            subprocess.run(["umount", "small"], check=True)
