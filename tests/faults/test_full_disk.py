"""Writes that fail: the run ends with 5 and a hint, and goes on once there is room."""

import errno
import os
import threading
from functools import partial
from pathlib import Path

import pytest
from run_tools import Heard, maps, picture, pictures
from stand_in import open_stand_in
from striking import require_finished, require_sound

from saliency_cli.errors import OutputError
from saliency_cli.runs import compute as module
from saliency_cli.runs import destination, journal
from saliency_cli.runs.request import ComputeRequest

COUNT = 12


def compute(out="out", **fields):
    heard = Heard()
    request = ComputeRequest("picture.keras", ("in",), out=out, formats=("heatmap", "npy"), batch_size=4, **fields)
    return module.compute(request, heard, open_engine=open_stand_in), heard


@pytest.fixture
def expected():
    pictures("in", COUNT)
    compute("whole")
    return maps("whole")


class Full:
    """A disk on which the k-th write fails, half of it written, and every one after that."""

    def __init__(self, room):
        self.room = room

    def wrap(self, file):
        original = file.write

        def write(data):
            self.room -= 1
            if self.room < 0:
                original(bytes(data)[: len(data) // 2])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return original(data)

        return type("File", (), {"write": staticmethod(write), "__getattr__": lambda _, name: getattr(file, name)})()


def fill(monkeypatch, room):
    """Make the run folder's files share a disk with room for some writes: maps, `run.json` and journal alike."""
    full = Full(room)
    replacing = destination.replacing

    class Replacing:
        def __init__(self, path):
            self.inner = replacing(path)

        def __enter__(self):
            return full.wrap(self.inner.__enter__())

        def __exit__(self, *error):
            return self.inner.__exit__(*error)

    monkeypatch.setattr(destination, "replacing", Replacing)
    monkeypatch.setattr(journal, "replacing", Replacing)
    opened = Path.open

    def open_(self, *arguments, **options):
        file = opened(self, *arguments, **options)
        return full.wrap(file) if self.name == "items.jsonl" and "a" in (arguments or ("",))[0] else file

    monkeypatch.setattr(Path, "open", open_)


@pytest.mark.parametrize("room", [0, 1, 2, 3, 4, 7, 12, 20, 30, 36, 37, 38])
def test_a_full_disk(expected, monkeypatch, room, tally):
    with monkeypatch.context() as patch:
        fill(patch, room)
        with pytest.raises(OutputError, match="No space left on device") as caught:
            compute()
    assert (caught.value.exit_code, caught.value.reason) == (5, "disk-full")
    assert caught.value.hint == "free some space, then go on with --resume"
    done = require_sound()
    assert len(done) <= COUNT
    lines = Path("out/items.jsonl").read_bytes() if done else b"\n"
    assert lines.endswith(b"\n"), "the half line that fitted was not taken back"
    _, heard = compute(resume=True)
    assert len(heard.done) == COUNT - len(done)
    require_finished(expected, COUNT)
    tally("one process: the k-th write or rename fails", runs=1)


@pytest.mark.parametrize("at", [0, 1, 5, 13, 25])
def test_a_rename_that_fails(expected, monkeypatch, at, tally):
    left = [at]
    replace = Path.replace

    def failing(self, target):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", failing)
        with pytest.raises(OutputError, match="Input/output error") as caught:
            compute()
    assert caught.value.exit_code == 5
    assert not list(Path("out").rglob(".saliency-*"))
    require_sound()
    compute(resume=True)
    require_finished(expected, COUNT)
    tally("one process: the k-th write or rename fails", runs=1)


def test_a_journal_that_takes_half_a_line(expected, monkeypatch):
    """A raw write may take less than it is given, and say so only by its result."""
    opened = Path.open

    def open_(self, *arguments, **options):
        file = opened(self, *arguments, **options)
        if self.name != "items.jsonl" or "a" not in (arguments or ("",))[0]:
            return file
        return type(
            "File",
            (),
            {"write": lambda _, data: file.write(data[:100]), "__getattr__": lambda _, n: getattr(file, n)},
        )()

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", open_)
        compute()
    require_finished(expected, COUNT)


def test_a_real_disk_that_fills(tmp_path):
    import subprocess

    Path("small").mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=100k", "none", "small"], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting needs more rights than these tests have")
    try:
        pictures("in", 40)
        with pytest.raises(OutputError, match="No space left on device") as caught:
            compute("small/out")
        assert caught.value.reason == "disk-full"
        done = require_sound("small/out")
        assert 0 < len(done) < 40
        subprocess.run(["mount", "-o", "remount,size=8m", "small"], check=True)
        compute("whole")
        compute("small/out", resume=True)
        require_finished(maps("whole"), 40, "small/out")
    finally:
        subprocess.run(["umount", "small"], check=True)


def test_an_error_leaves_no_thread_behind(expected, monkeypatch):
    before = set(threading.enumerate())
    with monkeypatch.context() as patch:
        fill(patch, 9)
        with pytest.raises(OutputError):
            compute()
    left = [thread for thread in threading.enumerate() if thread not in before]
    for thread in left:
        thread.join(1)
    assert [thread.name for thread in left if thread.is_alive()] == []


def test_a_bug_in_a_writer_ends_the_run(expected, monkeypatch):
    from saliency_cli.writers.heatmap import Heatmap

    monkeypatch.setattr(Heatmap, "encode", partial(lambda *_: 1 / 0))
    with pytest.raises(ZeroDivisionError):
        compute()
    assert require_sound() == []


def test_the_only_file_asked_for(monkeypatch):
    picture("in/0.png")
    with monkeypatch.context() as patch:
        fill(patch, 0)
        with pytest.raises(OutputError):
            compute_one("o.png")
    assert sorted(path.name for path in Path().iterdir()) == ["in"]


def compute_one(out):
    return module.compute(ComputeRequest("picture.keras", ("in",), out=out), Heard(), open_engine=open_stand_in)
