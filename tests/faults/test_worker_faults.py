"""`--jobs`: workers and their parent struck at any moment, writes that fail in a worker, readers that go away."""

import errno
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from run_tools import Heard, finish, maps, pictures, run_json, start
from stand_in import open_stand_in
from striking import COMMAND, await_moment, ids, moments, require_finished, require_sound, strike_on, whole_run
from test_full_disk import fill

from saliency_cli.errors import OutputError
from saliency_cli.runs.compute import compute
from saliency_cli.runs.request import ComputeRequest

COUNT = 60
DELAY = 0.1
JOBS = ("--jobs", "2")


def lasting(expected_count=COUNT):
    """Make the inputs, a whole run of them, and return its maps and the seconds that workers take for the same."""
    pictures("in", expected_count)
    expected = whole_run()
    began = time.monotonic()
    assert finish(*COMMAND, "-o", "timed", *JOBS, cwd=".", delay=DELAY)[0] == 0
    require_finished(expected, expected_count, "timed")
    return expected, time.monotonic() - began


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("times", [4, pytest.param(50, marks=pytest.mark.slow)])
def test_the_parent_struck(number, times, tally):
    expected, lasts = lasting()
    kind = f"--jobs 2: {number.name} to the run"
    at_work = strike_on(
        moments(times, COUNT, lasts, 1), number, expected, COUNT, *JOBS, delay=DELAY, tally=tally, kind=kind
    )
    assert at_work >= times // 3


def children(process):
    try:
        return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except OSError:
        return []


@pytest.mark.parametrize("times", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_a_worker_struck(times, tally):
    """A worker that is killed costs nothing but time, whatever it was doing."""
    expected, lasts = lasting()
    random.seed(5)
    at_work = 0
    for turn, moment in enumerate(moments(times, COUNT, lasts, 2)):
        out = f"out{turn}"
        with start(*COMMAND, "-o", out, *JOBS, cwd=".", delay=DELAY, stderr=subprocess.PIPE) as process:
            await_moment(process, moment, out)
            workers = children(process.pid)
            if workers:
                begun = bool(ids(out))
                os.kill(random.choice(workers), random.choice([signal.SIGKILL, signal.SIGSEGV]))
                at_work += begun and process.poll() is None
            told = process.stderr.read()
            code = process.wait(300)
        if code == 4:  # struck while the first one opened the model: nothing was begun
            assert b"died while it opened the model" in told
            assert not Path(out).exists()
            continue
        assert code == 0, told
        require_finished(expected, COUNT, out)
    tally("--jobs 2: a worker killed", strikes=times, at_work=at_work)


@pytest.mark.parametrize("times", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_poison(times, tally):
    """However the poison lies among the others, it alone is named."""
    pictures("in", 30)
    for turn in range(times):
        poison = {f"in/{place}z.png" for place in random.Random(turn).sample(range(30), 1 + turn % 3)}
        for path in poison:
            Image.fromarray(np.full((8, 8, 3), 255, np.uint8)).save(path)
        code, _, told = finish("compute", "deadly.keras", "in", "-o", "out", "-q", *JOBS, "--overwrite", cwd=".")
        assert code == 3, told
        records = require_sound()
        assert {record["id"] for record in records if record["status"] == "error"} == poison
        assert {record["error"]["reason"] for record in records if record["status"] == "error"} == {"worker-died"}
        assert len(records) == 30 + len(poison)
        assert not list(Path("out").rglob(".saliency-*"))
        for path in poison:
            Path(path).unlink()
    tally("--jobs 2: inputs that kill", runs=times)


FAULTS = [
    ("rename", 0, "EIO"), ("rename", 1, "EIO"), ("rename", 9, "ENOSPC"), ("rename", 40, "EACCES"),
    ("write", 0, "ENOSPC"), ("write", 5, "EDQUOT"), ("write", 30, "EIO"), ("open", 3, "EROFS"),
    ("open", 21, "EMFILE"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "number", "name"), FAULTS, ids=[f"{f[0]}-{f[1]}-{f[2]}" for f in FAULTS])
def test_a_worker_that_can_not_write(kind, number, name, monkeypatch, tally):
    pictures("in", 40)
    expected = whole_run()
    monkeypatch.setenv("STAND_IN_FAULT", f"{kind}:{number}:{name}")
    code, _, told = finish(*COMMAND, "-o", "out", *JOBS, cwd=".")
    assert code == 5, told
    assert "can't be written: " + os.strerror(getattr(errno, name)) in told
    full = name in ("ENOSPC", "EDQUOT")
    assert ("free some space, then go on with --resume" in told) == full
    require_sound()
    assert run_json("out")["status"] == "interrupted"
    assert not list(Path("out").rglob(".saliency-*"))
    monkeypatch.delenv("STAND_IN_FAULT")
    assert finish(*COMMAND, "-o", "out", "--resume", *JOBS, cwd=".")[0] == 0
    require_finished(expected, 40)
    tally("--jobs 2: the k-th write or rename fails", runs=1)


@pytest.mark.parametrize("room", [0, 1, 2, 5, 11])
def test_the_parent_s_disk_is_full(room, monkeypatch, tally):
    """The workers can write, and the journal can't."""
    pictures("in", 12)
    expected = whole_run()

    def run(**fields):
        request = ComputeRequest(
            "picture.keras", ("in",), out="out", formats=("heatmap", "npy", "json"), batch_size=4, jobs=2, **fields
        )
        return compute(request, Heard(), open_engine=open_stand_in)

    with monkeypatch.context() as patch:
        fill(patch, room)
        with pytest.raises(OutputError, match="No space left on device") as caught:
            run()
    assert caught.value.reason == "disk-full"
    require_sound()
    run(resume=True)
    require_finished(expected, 12)
    tally("--jobs 2: the journal's disk is full", runs=1)


def small_disk(folder, size):
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}k", "none", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting needs more rights than these tests have")


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), JOBS], ids=["one", "jobs"])
def test_real_disks_of_32_sizes(more, tally):
    pictures("in", 40)
    expected = whole_run()
    Path("small").mkdir()
    for size in range(32, 544, 16):
        small_disk("small", size)
        try:
            code, _, told = finish(*COMMAND, "-o", "small/out", *more, cwd=".")
            assert (code, "No space left on device" in told) in ((5, True), (0, False)), told
            done = require_sound("small/out")
            subprocess.run(["mount", "-o", "remount,size=8m", "small"], check=True)
            assert finish(*COMMAND, "-o", "small/out", "--resume", *more, cwd=".")[0] == 0
            require_finished(expected, 40, "small/out")
            tally(f"{' '.join(more) or 'one process'}: disks of 32 sizes", runs=1, filled=int(len(done) < 40))
        finally:
            subprocess.run(["umount", "small"], check=True)


def test_a_reader_that_goes_away(tally):
    pictures("in", 40)
    with start(
        "compute", "picture.keras", "in", "-o", "out", "--jsonl", "-q", *JOBS, cwd=".", delay=0.02,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        process.stdout.readline()
        process.stdout.close()
        told = process.stderr.read()
        assert process.wait(20) == 141
    assert told == ""
    require_sound()
    tally("--jobs 2: stdout closed", runs=1)


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_a_closed_stream_spoils_no_file(closed, monkeypatch, tally):
    pictures("in", 12)
    expected = whole_run()
    monkeypatch.setenv("STAND_IN_LOG", "1")
    process = start(cwd=".")
    python, script = process.args[:2]
    process.wait()
    told = subprocess.run(
        ["sh", "-c", f'exec "$0" "$@" {closed}', python, script, *COMMAND, *JOBS, "-o", "out"],
        capture_output=True, timeout=300, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert told.stdout == b""
    require_finished(expected, 12)
    tally("--jobs 2: stdout closed", runs=1)


def test_ctrl_c_is_for_the_parent_alone():
    """A terminal sends it to the whole group: no worker answers it, and none is left."""
    pictures("in", COUNT)
    expected = whole_run()
    command = [part for part in COMMAND if part != "-q"]
    with start(
        *command, "-o", "out", *JOBS, cwd=".", delay=0.5, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
        text=True, start_new_session=True,
    ) as process:  # fmt: skip
        path = Path("out/items.jsonl")
        while not (path.exists() and path.read_bytes().count(b"\n") > 8):
            assert process.poll() is None
            time.sleep(0.01)
        workers = children(process.pid)
        os.killpg(process.pid, signal.SIGINT)
        told = process.communicate(timeout=20)[1]
    assert process.returncode == 130
    done = require_sound()
    last = [line for line in told.splitlines() if not line.startswith("note:")]
    assert last == [
        f"interrupted: {len(done)} of {COUNT} done", "hint: the same command with --resume goes on from there",
    ]  # fmt: skip
    assert run_json("out")["status"] == "interrupted"
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
    assert finish(*COMMAND, "-o", "out", "--resume", *JOBS, cwd=".")[0] == 0
    assert maps("out") == expected


@pytest.mark.parametrize("jobs", [(), JOBS], ids=["one", "jobs"])
def test_a_disk_that_is_full_is_told_while_the_next_line_is_awaited(jobs, monkeypatch):
    pictures("in", 1)
    monkeypatch.setenv("STAND_IN_FAULT", "rename:2:ENOSPC" if not jobs else "rename:0:ENOSPC")
    with start(
        "compute", "picture.keras", "--files-from", "-", "-o", "out", *jobs, cwd=".",
        stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        process.stdin.write("in/0.png\n")
        process.stdin.flush()
        assert process.wait(60) == 5
        assert "No space left on device" in process.stderr.read()
