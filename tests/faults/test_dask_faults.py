"""A Dask cluster struck at any moment: the command, a worker's process, a whole node; and what a worker can't write.

All of it is slow: `tests/engines/test_dask.py` has a quick case of each.
"""

import errno
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from dask_tools import IMPORTABLE, Cluster, until
from PIL import Image
from run_tools import finish, pictures, run_json, start
from striking import COMMAND, await_moment, ids, moments, require_finished, require_sound, strike_on, whole_run
from test_worker_faults import FAULTS, children, small_disk

pytest.importorskip("distributed", reason="dask.distributed is not installed: pip install 'saliency-cli[dask]'")
pytestmark = pytest.mark.slow

COUNT = 60
NODES = 2


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A scheduler and two nodes, whose stand-in takes a tenth of a second a batch."""
    found = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        for _ in range(NODES):
            found.add_node(STAND_IN_DELAY="0.1")
        until(lambda: found.file.exists())
        yield found
    finally:
        found.__exit__()


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Let the workers import the stand-in."""
    monkeypatch.setenv("PYTHONPATH", IMPORTABLE)


def nodes(cluster):
    return [process for process in cluster.processes[1:] if process.poll() is None]


def joined(cluster):
    return ("--scheduler", str(cluster.file))


def lasting(cluster, count=COUNT):
    """Make the inputs and a whole run of them; return its maps and the seconds that the cluster takes."""
    pictures("in", count)
    expected = whole_run()
    for _ in range(2):  # the first time the workers import what they need
        began = time.monotonic()
        assert finish(*COMMAND, "-o", "timed", "--overwrite", *joined(cluster), cwd=".")[0] == 0
    require_finished(expected, count, "timed")
    return expected, time.monotonic() - began


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_command_struck(number, cluster, tally):
    expected, lasts = lasting(cluster)
    kind = f"--scheduler: {number.name} to the run"
    at_work = strike_on(
        moments(50, COUNT, lasts, 1), number, expected, COUNT, *joined(cluster), delay=0, tally=tally, kind=kind
    )
    assert at_work >= 5  # answers come some seconds of work at a time: many strikes are before or after


@pytest.mark.parametrize(("whole_node", "times"), [(False, 50), (True, 10)], ids=["worker", "node"])
def test_a_worker_struck(whole_node, times, cluster, tally):
    """The child of a nanny, which starts another; or the nanny and its child, and a new node comes."""
    expected, lasts = lasting(cluster)
    chance, at_work = random.Random(5), 0
    for turn, moment in enumerate(moments(times, COUNT, lasts, 2)):
        out = f"out{turn}"
        with start(*COMMAND, "-o", out, *joined(cluster), cwd=".", stderr=subprocess.PIPE) as process:
            await_moment(process, moment, out)
            begun, node = bool(ids(out)), chance.choice(nodes(cluster))
            if whole_node:
                cluster.kill(node)
                cluster.add_node(STAND_IN_DELAY="0.1")
            else:
                for worker in children(node.pid):
                    os.kill(worker, chance.choice([signal.SIGKILL, signal.SIGSEGV]))
            at_work += begun and process.poll() is None
            told = process.stderr.read()
            code = process.wait(300)
        assert code == 0, told
        require_finished(expected, COUNT, out)
    tally(f"--scheduler: {'a node' if whole_node else 'a worker'} killed", strikes=times, at_work=at_work)
    assert at_work >= times // 10


def test_poison(cluster, tally):
    """However the poison lies among the others, it alone is named."""
    pictures("in", 30)
    for turn in range(10):
        poison = {f"in/{place}z.png" for place in random.Random(turn).sample(range(30), 1 + turn % 3)}
        for path in poison:
            Image.fromarray(np.full((8, 8, 3), 255, np.uint8)).save(path)
        out = f"out{turn}"
        code, _, told = finish("compute", "deadly.keras", "in", "-o", out, "-q", *joined(cluster), cwd=".")
        assert code == 3, told
        records = require_sound(out)
        assert {record["id"] for record in records if record["status"] == "error"} == poison
        assert {record["error"]["reason"] for record in records if record["status"] == "error"} == {"worker-died"}
        assert len(records) == 30 + len(poison)
        assert not list(Path(out).rglob(".saliency-*"))
        for path in poison:
            Path(path).unlink()
    tally("--scheduler: inputs that kill", runs=10)


@pytest.mark.parametrize(("kind", "number", "name"), FAULTS, ids=[f"{f[0]}-{f[1]}-{f[2]}" for f in FAULTS])
def test_a_worker_that_can_not_write(kind, number, name, monkeypatch, tally):
    pictures("in", 40)
    expected = whole_run()
    monkeypatch.setenv("STAND_IN_FAULT", f"{kind}:{number}:{name}")
    local = ("--engine", "dask", "--jobs", "2")
    code, _, told = finish(*COMMAND, "-o", "out", *local, cwd=".")
    assert code == 5, told
    assert "can't be written: " + os.strerror(getattr(errno, name)) in told
    require_sound()
    assert run_json("out")["status"] == "interrupted"
    assert not list(Path("out").rglob(".saliency-*"))
    monkeypatch.delenv("STAND_IN_FAULT")
    assert finish(*COMMAND, "-o", "out", "--resume", *local, cwd=".")[0] == 0
    require_finished(expected, 40)
    tally("--engine dask: the k-th write or rename fails", runs=1)


def test_real_disks_of_32_sizes(cluster, tally):
    pictures("in", 40)
    expected = whole_run()
    Path("small").mkdir()
    for size in range(32, 544, 16):
        small_disk("small", size)
        try:
            code, _, told = finish(*COMMAND, "-o", "small/out", *joined(cluster), cwd=".")
            assert (code, "No space left on device" in told) in ((5, True), (0, False)), told
            done = require_sound("small/out")
            subprocess.run(["mount", "-o", "remount,size=8m", "small"], check=True)
            assert finish(*COMMAND, "-o", "small/out", "--resume", *joined(cluster), cwd=".")[0] == 0
            require_finished(expected, 40, "small/out")
            tally("--scheduler: disks of 32 sizes", runs=1, filled=int(len(done) < 40))
        finally:
            subprocess.run(["umount", "--lazy", "small"], check=True)


def test_a_reader_that_goes_away(cluster, tally):
    pictures("in", 40)
    with start(
        "compute", "picture.keras", "in", "-o", "out", "--jsonl", "-q", *joined(cluster), cwd=".",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        process.stdout.readline()
        process.stdout.close()
        told = process.stderr.read()
        assert process.wait(60) == 141
    assert told == ""
    require_sound()
    tally("--scheduler: stdout closed", runs=1)


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
@pytest.mark.parametrize("way", ["joined", "local"])
def test_a_closed_stream_spoils_no_file(closed, way, cluster, tally):
    pictures("in", 12)
    expected = whole_run()
    process = start(cwd=".")
    python, script = process.args[:2]
    process.wait()
    more = joined(cluster) if way == "joined" else ("--engine", "dask", "--jobs", "2")
    told = subprocess.run(
        ["sh", "-c", f'exec "$0" "$@" {closed}', python, script, *COMMAND, *more, "-o", "out"],
        capture_output=True, timeout=300, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert told.stdout == b""
    require_finished(expected, 12)
    tally(f"{'--scheduler' if way == 'joined' else '--engine dask'}: stdout closed", runs=1)


def test_two_shards_at_once_through_one_cluster(cluster, tally):
    pictures("in", 24)
    expected = whole_run()
    for turn in range(5):
        out = f"out{turn}"
        racing = [
            start(*COMMAND, "-o", out, "--shard", name, *joined(cluster), cwd=".", stderr=subprocess.PIPE, text=True)
            for name in ("1/2", "2/2")
        ]
        said = [process.communicate(timeout=300)[1] for process in racing]
        assert [process.returncode for process in racing] == [0, 0], said
        require_finished(expected, 24, out)
    tally("--scheduler: two shards at once", runs=5)
