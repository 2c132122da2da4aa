"""Runs that are struck, and what must hold of a run folder whatever struck it."""

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image
from run_tools import finish, journal, maps, named_files, run_json, start

COMMAND = (
    "compute", "picture.keras", "in", "--format", "heatmap", "--format", "npy", "--format", "json",
    "--batch-size", "4", "-q",
)  # fmt: skip


def whole_run(folder="whole", delay=0.0):
    """Run to the end, for comparison; return the maps' bytes."""
    assert finish(*COMMAND, "-o", folder, cwd=".", delay=delay)[0] == 0
    return maps(folder)


def struck(signal_at, number, *more, delay=0.005, out="out", **options):
    """Start a run, send it a signal after some seconds, and return its exit code."""
    process = start(*COMMAND, "-o", out, *more, cwd=".", delay=delay, **options)
    try:
        return process.wait(signal_at)
    except Exception:
        process.send_signal(number)
        return process.wait(20)


def require_sound(folder="out"):
    """Assert that every file under a final name is whole, and that the journal's lines tell the truth."""
    root = Path(folder)
    for path in root.glob("maps/**/*"):
        if path.is_file() and not path.name.startswith(".saliency-"):
            require_whole(path)
    for path in (root / "run.json", root / "metrics.json"):
        assert not path.exists() or run_json(folder)
    lines = (root / "items.jsonl").read_bytes().split(b"\n") if (root / "items.jsonl").exists() else [b""]
    assert lines[-1] == b"" or len(lines[-1]) < 5000  # at most the last one is torn
    records = [json.loads(line) for line in lines[:-1]]
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
    ids = [record["id"] for record in journal(folder)]
    assert len(ids) == len(set(ids)) == count
    assert run_json(folder)["status"] == "done"
    assert not list(Path(folder).rglob(".saliency-*"))
