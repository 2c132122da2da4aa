"""The same faults with TensorFlow at work. `MOMENTS=5` in the environment strikes five times, not fifty."""

import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import run_tools
from dask_tools import IMPORTABLE, Cluster, until
from PIL import Image
from run_tools import maps, pictures
from striking import await_moment, ids, moments, require_finished, require_sound, strike_on
from test_worker_faults import FAULTS, children, small_disk

pytestmark = [pytest.mark.slow, pytest.mark.real_model]

MOMENTS = int(os.environ.get("MOMENTS", "50"))
COUNT = 40
SCRIPT = Path(run_tools.__file__).with_name("faulty_saliency.py")
COMMAND = (
    "compute", str(Path(__file__).parents[2] / "sample_models/shapes.keras"), "in", "--method", "smoothgrad",
    "-p", "draws=30", "--batch-size", "8", "--format", "npy", "--format", "heatmap", "-q",
)  # fmt: skip
WAYS = {"one process": (), "--jobs 2": ("--jobs", "2"), "--engine dask": ("--engine", "dask", "--jobs", "2")}
start = partial(run_tools.start, script=SCRIPT, cwd=".")
finish = partial(run_tools.finish, script=SCRIPT, cwd=".")
KINDS = pytest.mark.parametrize("way", WAYS)
LOCAL = pytest.mark.parametrize("way", ["one process", "--jobs 2"])


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Let a cluster's workers import the faults."""
    monkeypatch.setenv("PYTHONPATH", IMPORTABLE)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The maps of a run that nothing strikes."""
    folder = tmp_path_factory.mktemp("whole")
    pictures(folder / "in", COUNT, size=(64, 64))
    code, _, told = run_tools.finish(*COMMAND, "-o", "whole", script=SCRIPT, cwd=folder)
    assert code == 0, told
    return maps(folder / "whole")


@pytest.fixture(autouse=True)
def inputs(here):
    pictures("in", COUNT, size=(64, 64))


@KINDS
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_run_struck(way, number, expected, tally):
    began = time.monotonic()
    assert finish(*COMMAND, "-o", "timed", *WAYS[way])[0] == 0
    lasts = time.monotonic() - began
    assert maps("timed") == expected
    strike_on(
        moments(MOMENTS, COUNT, lasts, 1), number, expected, COUNT, *WAYS[way], delay=0, tally=tally,
        kind=f"real model, {way}: {number.name} to the run", command=COMMAND, script=SCRIPT,
    )  # fmt: skip


def test_a_worker_struck(expected, tally):
    began = time.monotonic()
    assert finish(*COMMAND, "-o", "timed", *WAYS["--jobs 2"])[0] == 0
    lasts = time.monotonic() - began
    chance, at_work = random.Random(5), 0
    for turn, moment in enumerate(moments(MOMENTS, COUNT, lasts, 2)):
        out = f"out{turn}"
        with start(*COMMAND, "-o", out, *WAYS["--jobs 2"], stderr=subprocess.PIPE) as process:
            await_moment(process, moment, out)
            if workers := children(process.pid):
                begun = bool(ids(out))
                os.kill(chance.choice(workers), chance.choice([signal.SIGKILL, signal.SIGSEGV]))
                at_work += begun and process.poll() is None
            told = process.stderr.read()
            code = process.wait(300)
        if code == 4:  # struck while the first one opened the model: nothing was begun
            assert b"died while" in told
            assert not Path(out).exists()
            continue
        assert code == 0, told
        require_finished(expected, COUNT, out)
    tally("real model, --jobs 2: a worker killed", strikes=MOMENTS, at_work=at_work)


@pytest.mark.parametrize("way", ["--jobs 2", "--engine dask"])
def test_poison(way, monkeypatch, tally):
    """All others are done, and it alone is named."""
    monkeypatch.setenv("DEADLY", "1")
    poison = {"in/5z.png", "in/17z.png"}
    for path in poison:
        Image.fromarray(np.full((64, 64, 3), 255, np.uint8)).save(path)
    code, _, told = finish(*COMMAND, "-o", "out", *WAYS[way])
    assert code == 3, told
    records = require_sound()
    assert {record["id"] for record in records if record["status"] == "error"} == poison
    assert {record["error"]["reason"] for record in records if record["status"] == "error"} == {"worker-died"}
    assert len(records) == COUNT + len(poison)
    assert not list(Path("out").rglob(".saliency-*"))
    tally(f"real model, {way}: inputs that kill", runs=1)


@LOCAL
@pytest.mark.parametrize(("kind", "number", "name"), FAULTS, ids=[f"{f[0]}-{f[1]}-{f[2]}" for f in FAULTS])
def test_a_write_that_fails(way, kind, number, name, expected, monkeypatch, tally):
    monkeypatch.setenv("STAND_IN_FAULT", f"{kind}:{number}:{name}")
    code, _, told = finish(*COMMAND, "-o", "out", *WAYS[way])
    assert code == 5, told
    if Path("out").is_dir():
        require_sound()
        assert not list(Path("out").rglob(".saliency-*"))
    monkeypatch.delenv("STAND_IN_FAULT")
    assert finish(*COMMAND, "-o", "out", "--resume", *WAYS[way])[0] == 0
    require_finished(expected, COUNT)
    tally(f"real model, {way}: the k-th write or rename fails", runs=1)


@LOCAL
def test_real_disks_of_32_sizes(way, expected, tally):
    Path("small").mkdir()
    for size in range(100, 100 + 32 * 72, 72):
        small_disk("small", size)
        try:
            code, _, told = finish(*COMMAND, "-o", "small/out", *WAYS[way])
            assert (code, "No space left on device" in told) in ((5, True), (0, False)), told
            require_sound("small/out")
            subprocess.run(["mount", "-o", "remount,size=32m", "small"], check=True)
            assert finish(*COMMAND, "-o", "small/out", "--resume", *WAYS[way])[0] == 0
            require_finished(expected, COUNT, "small/out")
            tally(f"real model, {way}: disks of 32 sizes", runs=1, filled=int(code == 5))
        finally:
            subprocess.run(["umount", "small"], check=True)


@KINDS
@pytest.mark.parametrize("closed", ["1>&-", "0<&- 1>&- 2>&-"])
def test_a_closed_stream_spoils_no_file(way, closed, expected, tally):
    told = subprocess.run(
        ["sh", "-c", f'exec "$0" "$@" {closed}', sys.executable, str(SCRIPT), *COMMAND, *WAYS[way], "-o", "out"],
        capture_output=True, timeout=300, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    require_finished(expected, COUNT)
    tally(f"real model, {way}: stdout closed", runs=1)


def test_ten_lock_races(expected, tally):
    for turn in range(10):
        racing = [start(*COMMAND, "-o", f"out{turn}", stderr=subprocess.DEVNULL) for _ in range(3)]
        assert sorted(process.wait(300) for process in racing) == [0, 5, 5]
        require_finished(expected, COUNT, f"out{turn}")
    tally("real model: three starts of one run", races=10)


def test_two_shards_at_once(expected, tally):
    for turn in range(5):
        out = f"out{turn}"
        racing = [start(*COMMAND, "-o", out, "--shard", name, log=f"{name[0]}.log") for name in ("1/2", "2/2")]
        assert [process.wait(300) for process in racing] == [0, 0]
        require_finished(expected, COUNT, out)
    tally("real model: two shards at once", runs=5)


def test_a_worker_and_a_node_of_a_cluster_struck(expected, tally, tmp_path_factory):
    pytest.importorskip("distributed", reason="dask.distributed is not installed: pip install 'saliency-cli[dask]'")
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    chance = random.Random(7)
    try:
        nodes = [cluster.add_node() for _ in range(2)]
        until(lambda: cluster.file.exists())
        for turn in range(10):
            out = f"out{turn}"
            joined = ("--scheduler", str(cluster.file))
            with start(*COMMAND, "-o", out, *joined, log="struck.log") as process:
                await_moment(process, chance.randrange(COUNT - 1), out)
                node = nodes.pop(0)
                if turn % 2:
                    cluster.kill(node)
                    node = cluster.add_node()
                else:
                    for worker in children(node.pid):
                        os.kill(worker, signal.SIGKILL)
                nodes.append(node)
                assert process.wait(300) == 0, Path("struck.log").read_text()
            require_finished(expected, COUNT, out)
            tally(f"real model, --scheduler: {'a node' if turn % 2 else 'a worker'} killed", strikes=1)
    finally:
        cluster.__exit__()
