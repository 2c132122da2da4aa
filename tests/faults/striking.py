"""Runs that are struck, and what must hold of a run folder whatever struck it."""

import io
import json
import random
import signal
import time
from pathlib import Path

import numpy as np
from PIL import Image
from run_tools import SCRIPT, finish, maps, named_files, run_json, start

COMMAND = (
    "compute", "picture.keras", "in", "--format", "heatmap", "--format", "npy", "--format", "json",
    "--batch-size", "4", "-q",
)  # fmt: skip


def whole_run(folder="whole", delay=0.0):
    """Run to the end, for comparison; return the maps' bytes."""
    assert finish(*COMMAND, "-o", folder, cwd=".", delay=delay)[0] == 0
    return maps(folder)


def moments(times, count, lasts, seed):
    """Yield moments to strike at: every third anywhere in a run of `lasts` seconds, others by how much is done."""
    chance = random.Random(seed)
    for turn in range(times):
        yield chance.uniform(0.1, lasts) if turn % 3 == 0 else chance.randrange(count - 1)


def await_moment(process, moment, out):
    """Wait for seconds (a float), or until so many lines more than before are in a run folder's journals (an int)."""
    if isinstance(moment, float):
        time.sleep(moment)
        return
    while process.poll() is None and len(ids(out)) <= moment:
        time.sleep(0.005)


def require_struck(code, number, log):
    """Assert that a process ended as one may that a signal reached, at whatever moment; `log` holds its stderr."""
    told = Path(log).read_text()
    # Python itself says it so, where it was struck while it started and nothing of ours was loaded.
    unborn = code == 1 and "Fatal Python error: init" in told
    assert code in (0, -number, 128 + number) or unborn, f"it ended with {code}: {told[-3000:]}"


def strike_on(moments, number, expected, count, *more, delay, tally, kind, command=COMMAND, script=SCRIPT):
    """Strike a run again and again, each going on from the one before; begin anew where one came to its end.

    Returns how many were struck while they worked.
    """
    finished = at_work = strikes = 0
    for moment in moments:
        out = f"out{finished}"
        before = {record["id"] for record in require_sound(out)} if Path(out).is_dir() else set()
        if isinstance(moment, int):
            moment = len(before) + moment % max(1, count - len(before) - 1)
        with start(
            *command, "-o", out, "--resume", *more, cwd=".", delay=delay, script=script, log="struck.log"
        ) as process:
            await_moment(process, moment, out)
            process.send_signal(number)
            code = process.wait(300)
        strikes += 1
        require_struck(code, number, "struck.log")
        if not Path(out).is_dir():
            continue  # struck before it did anything
        after = {record["id"] for record in require_sound(out)}
        assert before <= after, "finished inputs were lost"
        if number != signal.SIGKILL:
            assert not list(Path(out).rglob(".saliency-*")), "something half written was left"
        at_work += code != 0 and 0 < len(after) < count
        if code == 0:
            require_finished(expected, count, out)
            finished += 1
    code, _, told = finish(*command, "-o", f"out{finished}", "--resume", *more, cwd=".", script=script)
    assert code == 0, told
    require_finished(expected, count, f"out{finished}")
    tally(kind, strikes=strikes, at_work=at_work)
    return at_work


def struck(signal_at, number, *more, delay=0.005, out="out", **options):
    """Start a run, send it a signal after some seconds, and return its exit code."""
    process = start(*COMMAND, "-o", out, *more, cwd=".", delay=delay, **options)
    try:
        return process.wait(signal_at)
    except Exception:
        process.send_signal(number)
        return process.wait(20)


def journals(folder):
    """Return a run folder's journals: its own, or its shards'."""
    root = Path(folder)
    return [path for path in (root / "items.jsonl", *sorted((root / "shards").glob("*.jsonl"))) if path.exists()]


def ids(folder):
    """Return the ids of the whole lines of all journals."""
    texts = [path.read_bytes() for path in journals(folder)]
    return [json.loads(line)["id"] for text in texts for line in text.splitlines(keepends=True) if line[-1:] == b"\n"]


def require_sound(folder="out"):
    """Assert that every file under a final name is whole, and that the journal's lines tell the truth."""
    root = Path(folder)
    for path in root.glob("maps/**/*"):
        if path.is_file() and not path.name.startswith(".saliency-"):
            require_whole(path)
    for path in (root / "run.json", root / "metrics.json", *(root / "shards").glob("*.json")):
        assert not path.exists() or json.loads(path.read_text())
    records = []
    for path in journals(folder):
        lines = path.read_bytes().split(b"\n")
        assert lines[-1] == b"" or len(lines[-1]) < 5000  # at most the last one is torn
        records += [json.loads(line) for line in lines[:-1]]
    assert len({record["id"] for record in records}) == len(records)
    for record in records:
        for file in named_files(record):
            assert (root / file).is_file(), f"{record['id']} is journalled before {file} is there"
    return records


def require_whole(path):
    """Assert that a file can be read to its end."""
    data = path.read_bytes()
    if path.suffix == ".png":
        Image.open(io.BytesIO(data)).load()
        assert data.endswith(b"IEND\xaeB\x60\x82")
    elif path.suffix == ".npy":
        np.load(io.BytesIO(data))
    else:
        assert data.endswith(b"}\n")


def require_finished(expected, count, folder="out"):
    """Assert that a run folder is what an undisturbed run leaves."""
    assert maps(folder) == expected
    found = ids(folder)
    assert len(found) == len(set(found)) == count
    assert run_json(folder)["status"] == "done"
    assert not list(Path(folder).rglob(".saliency-*"))
