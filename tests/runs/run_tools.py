"""What the tests of runs share: tiny inputs, a listener that remembers, and ways to start a run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

SCRIPT = Path(__file__).with_name("stand_in_saliency.py")


def picture(path, seed=0, size=(9, 10)):
    """Write a small picture of noise, in the format its suffix names; return its path as text."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(path, {".jpg": "JPEG"}.get(path.suffix, "PNG"))
    return str(path)


def pictures(folder, count, size=(9, 10)):
    """Write `count` pictures `0.png`, `1.png`, …; return the folder as text."""
    for number in range(count):
        picture(Path(folder) / f"{number}.png", number, size)
    return str(folder)


def array(path, shape, seed=0):
    """Save an array of noise; return its path as text."""
    np.save(path, np.random.default_rng(seed).random(shape, np.float32))
    return str(path)


def called(name, seed=0, folder="in"):
    """Write a picture under a name of bytes, which need be no text."""
    path = Path(folder) / os.fsdecode(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    Path(picture(f"{folder}/seed.png", seed)).rename(path)


def names(folder="."):
    """Return the names in a folder, sorted."""
    return sorted(path.name for path in Path(folder).iterdir())


def tree(folder):
    """Return the files below a folder, relative, sorted, without the lock."""
    paths = [path for path in Path(folder).rglob("*") if path.is_file() and path.name != ".lock"]
    return sorted(path.relative_to(folder).as_posix() for path in paths)


def maps(folder):
    """Return what the files of a run folder's maps hold, by name."""
    root = Path(folder) / "maps"
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def journal(folder):
    """Return the journal's lines, decoded; a torn or doubled line is an error."""
    text = (Path(folder) / "items.jsonl").read_bytes()
    assert text.endswith(b"\n") or not text
    return [json.loads(line) for line in text.splitlines()]


def run_json(folder):
    """Return a run folder's `run.json`."""
    return json.loads((Path(folder) / "run.json").read_text())


def named_files(record):
    """Return every file an item's JSON names."""
    inputs = [entry for found in record["maps"] for entry in found["inputs"].values()]
    return [file for holder in (record, *record["maps"], *inputs) for file in holder["files"].values()]


class Heard:
    """A listener that remembers."""

    def __init__(self):
        self.records, self.notices, self.warnings, self.totals, self.loaded = [], [], [], [], []

    def loading(self, model_path):
        self.loaded.append(model_path)

    def notice(self, text):
        self.notices.append(text)

    def warning(self, text):
        self.warnings.append(text)

    def planned(self, total):
        self.totals.append(total)

    def item(self, record):
        self.records.append(record)

    def finished(self, report):
        pass

    @property
    def done(self):
        return [record.id for record in self.records if record.status == "ok"]

    @property
    def failed(self):
        return {record.id: record.error for record in self.records if record.status == "error"}


def start(*arguments, cwd, delay=0.0, script=SCRIPT, log=None, **options):
    """Start `saliency` with the stand-in as a process of its own; `log` is a file for its stderr."""
    environment = {**os.environ, "STAND_IN_DELAY": str(delay), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, str(script), *map(os.fspath, arguments)]
    if log is None:
        return subprocess.Popen(command, cwd=cwd, env=environment, **options)
    with Path(log).open("wb") as stderr:
        return subprocess.Popen(command, cwd=cwd, env=environment, stderr=stderr, **options)


def finish(*arguments, cwd, **options):
    """Run such a process to its end; return (exit code, stdout, stderr)."""
    process = start(*arguments, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    out, told = process.communicate(timeout=300)
    return process.returncode, out, told
