"""Ctrl-C, SIGTERM, and readers that go away."""

import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from run_tools import Heard, finish, journal, picture, pictures, run_json, start
from stand_in import open_stand_in
from striking import COMMAND, moments, require_finished, require_sound, strike_on, whole_run

from saliency_cli.runs.compute import compute
from saliency_cli.runs.request import ComputeRequest


def wait_for_lines(process, count, folder="out"):
    path = Path(folder) / "items.jsonl"
    for _ in range(500):
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return
        assert process.poll() is None, "it ended before it was struck"
        time.sleep(0.02)
    pytest.fail("it never came so far")


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_run_is_stopped_and_gone_on_with(number, code, word):
    pictures("in", 60)
    expected = whole_run()
    command = [part for part in COMMAND if part != "-q"]
    with start(
        *command, "-o", "out", cwd=".", delay=0.05, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:
        wait_for_lines(process, 8)
        process.send_signal(number)
        began = time.monotonic()
        told = process.communicate(timeout=20)[1]
    assert process.returncode == code
    assert time.monotonic() - began < 5
    assert "Traceback" not in told
    done = require_sound()
    assert 8 <= len(done) < 60
    last = [line for line in told.splitlines() if line.startswith((word, "hint"))]
    assert last == [f"{word}: {len(done)} of 60 done", "hint: the same command with --resume goes on from there"]
    assert run_json("out")["status"] == "interrupted"
    assert finish(*COMMAND, "-o", "out", "--resume", cwd=".")[0] == 0
    require_finished(expected, 60)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("times", [4, pytest.param(50, marks=pytest.mark.slow)])
def test_struck_at_any_moment(number, times, tally):
    pictures("in", 60)
    expected = whole_run()
    began = time.monotonic()
    assert finish(*COMMAND, "-o", "timed", cwd=".", delay=0.1)[0] == 0
    lasts = time.monotonic() - began
    kind = f"one process: {number.name} to the run"
    at_work = strike_on(moments(times, 60, lasts, times), number, expected, 60, delay=0.1, tally=tally, kind=kind)
    assert at_work >= times // 3


def test_ctrl_c_while_the_recorder_starts(monkeypatch):
    """Its thread may run already; a process that ends waits for no thread that nobody told to end."""
    pictures("in", 3)
    begin, begun = threading.Thread.start, []

    def struck(thread):
        begin(thread)
        if thread.name == "recorder":
            begun.append(thread)
            raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", struck)
    with pytest.raises(KeyboardInterrupt):
        compute(ComputeRequest("picture.keras", ("in",), out="out"), Heard(), open_engine=open_stand_in)
    (recorder,) = begun
    recorder.join(10)
    assert not recorder.is_alive()
    assert recorder.daemon


def test_ctrl_c_while_lines_are_awaited():
    pictures("in", 2)
    with start(
        "compute", "picture.keras", "--files-from", "-", "-o", "out", "--jsonl", cwd=".",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        process.stdin.write("in/0.png\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["id"] == "in/0.png"
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 130
        process.communicate()
    assert [line["id"] for line in journal("out")] == ["in/0.png"]


def test_ctrl_c_while_a_picture_is_awaited_on_stdin():
    with start(
        "compute", "picture.keras", "-", "-o", "out", cwd=".", stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        for _ in range(200):
            if Path("out/run.json").exists():
                break
            time.sleep(0.02)
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 130
        process.stderr.read()
        process.stdin.close()


def test_a_reader_that_goes_away(tally):
    pictures("in", 60)
    with start(
        "compute", "picture.keras", "in", "-o", "out", "--jsonl", "-q", cwd=".", delay=0.02,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        process.stdout.readline()
        process.stdout.close()
        told = process.stderr.read()
        assert process.wait(20) == 141
    assert told == ""
    require_sound()
    tally("one process: stdout closed", runs=1)


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "1>&- 2>&-", "0<&- 1>&- 2>&-"])
def test_a_closed_stream_spoils_no_file(closed, monkeypatch, tally):
    pictures("in", 8)
    expected = whole_run()
    monkeypatch.setenv("STAND_IN_LOG", "1")
    command = f'exec "$0" "$@" {closed}'
    process = start(cwd=".")
    python, script = process.args[:2]
    process.wait()
    code = subprocess.run(
        ["sh", "-c", command, python, script, *COMMAND, "-o", "out"], capture_output=True, timeout=30, check=False
    ).returncode
    assert code == 0
    require_finished(expected, 8)
    tally("one process: stdout closed", runs=1)


def test_a_closed_stdout_where_the_picture_should_go():
    picture("x.png")
    process = start(cwd=".", stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    python, script = process.args[:2]
    process.wait()
    told = subprocess.run(
        ["sh", "-c", 'exec "$0" "$@" >&-', python, script, "compute", "picture.keras", "x.png", "-o", "-"],
        capture_output=True, timeout=30, check=False, text=True, env={**os.environ, "COLUMNS": "80"},
    )  # fmt: skip
    assert told.returncode == 5, told.stderr
    assert "stdout, which is closed" in told.stderr
