"""`--layout sharded`: runs struck at any moment and disks that fill; a part is whole, or believed by nobody."""

import random
import signal
import subprocess
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
from run_tools import finish, pictures, run_json, start
from striking import require_struck
from test_worker_faults import small_disk

from saliency_cli.runs.sharded_parts import read_part, whole_parts

COUNT = 48
COMMAND = ("compute", "picture.keras", "in", "--keep-maps", "all", "--batch-size", "4", "-q")
WAYS = {"one": (), "jobs": ("--jobs", "2")}


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """End a part after four rows."""
    monkeypatch.setenv("STAND_IN_PART_ROWS", "4")


def told(folder):
    """Return what the whole parts tell: by id a record without what differs from run to run, and its map.

    Asserts that each part agrees with its marker, and that no id comes twice.
    """
    found = {}
    for name in whole_parts(Path(folder)):
        records = read_part(Path(folder), name)
        assert records is not None, f"{name} has a marker and is not whole"
        for record in records:
            assert record.id not in found
            stack = record.maps[0].inputs["x"].stack
            assert np.load(Path(folder, stack.file), mmap_mode="r").shape[0] > stack.index
            values = np.load(Path(folder, stack.file))[stack.index] * stack.scale
            plain = msgspec.to_builtins(record) | {"seconds": None}
            plain["maps"][0]["inputs"]["x"]["stack"] = None
            found[record.id] = plain, values.tobytes()
    return found


def whole():
    """Return what an undisturbed run tells."""
    pictures("in", COUNT)
    assert finish(*COMMAND, "-o", "whole", cwd=".")[0] == 0
    expected = told("whole")
    assert len(expected) == COUNT
    return expected


def require_finished(expected, folder):
    assert told(folder) == expected
    assert run_json(folder)["status"] == "done"
    assert not list(Path(folder).rglob(".saliency-*"))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("times", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_struck_at_any_moment(way, number, times, tally):
    """What was done since the last part is lost in a kill, and nothing that a marker speaks of."""
    expected = whole()
    began = time.monotonic()
    assert finish(*COMMAND, "-o", "timed", *WAYS[way], cwd=".", delay=0.05)[0] == 0
    lasts = time.monotonic() - began
    chance = random.Random(times)
    finished = at_work = 0
    for turn in range(times):
        out = f"out{finished}"
        before = told(out) if Path(out).is_dir() else {}
        more = ("-o", out, "--resume", *WAYS[way])
        with start(*COMMAND, *more, cwd=".", delay=0.05, log="struck.log") as process:
            if turn % 3:
                parts, wanted = len(before) // 4, chance.randrange(1, 8)
                while process.poll() is None and len(whole_parts(Path(out))) < parts + wanted:
                    time.sleep(0.005)
            else:
                time.sleep(chance.uniform(0.1, lasts))
            process.send_signal(number)
            code = process.wait(300)
        require_struck(code, number, "struck.log")
        if not Path(out).is_dir():
            continue  # struck before it did anything
        after = told(out)
        assert before.keys() <= after.keys(), "finished inputs were lost"
        at_work += code != 0 and 0 < len(after) < COUNT
        if code == 0:
            require_finished(expected, out)
            finished += 1
    assert finish(*COMMAND, "-o", f"out{finished}", "--resume", *WAYS[way], cwd=".")[0] == 0
    require_finished(expected, f"out{finished}")
    assert at_work >= times // 3
    kind = f"sharded, {' '.join(WAYS[way]) or 'one process'}: {number.name} to the run"
    tally(kind, strikes=times, at_work=at_work)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_real_disks_of_32_sizes(way, tally):
    expected = whole()
    Path("small").mkdir()
    for size in range(12, 140, 4):
        small_disk("small", size)
        try:
            code, _, said = finish(*COMMAND, "-o", "small/out", *WAYS[way], cwd=".")
            assert (code, "No space left on device" in said) in ((5, True), (0, False)), said
            if Path("small/out").is_dir():
                assert told("small/out").keys() <= expected.keys()
            subprocess.run(["mount", "-o", "remount,size=8m", "small"], check=True)
            assert finish(*COMMAND, "-o", "small/out", "--resume", *WAYS[way], cwd=".")[0] == 0
            require_finished(expected, "small/out")
            kind = f"sharded, {' '.join(WAYS[way]) or 'one process'}: disks of 32 sizes"
            tally(kind, runs=1, filled=int(code == 5))
        finally:
            subprocess.run(["umount", "small"], check=True)
