"""One run at a time in a folder, and a lock that dies with its owner."""

import signal

import pytest
from run_tools import Heard, finish, pictures, start
from stand_in import open_stand_in
from striking import COMMAND, require_finished, require_sound, whole_run
from test_signals import wait_for_lines

from saliency_cli.errors import OutputError
from saliency_cli.runs import journal
from saliency_cli.runs.compute import compute
from saliency_cli.runs.request import ComputeRequest


def test_two_runs_in_one_folder():
    pictures("in", 30)
    expected = whole_run()
    with start(*COMMAND, "-o", "out", cwd=".", delay=0.1) as first:
        wait_for_lines(first, 1)
        first.send_signal(signal.SIGSTOP)  # however slow this machine is
        for word in ("--resume", "--overwrite"):
            code, _, told = finish(*COMMAND, "-o", "out", word, cwd=".")
            assert code == 5
            assert told.splitlines() == [
                "error: another run is writing to 'out'", "hint: wait for it, or choose another -o",
            ]  # fmt: skip
        code, _, told = finish(*COMMAND, "-o", "out", cwd=".")
        assert (code, "unfinished run" in told) == (5, True)
        first.send_signal(signal.SIGCONT)
        assert first.wait(30) == 0
    require_finished(expected, 30)


def test_the_lock_dies_with_its_owner():
    pictures("in", 30)
    expected = whole_run()
    with start(*COMMAND, "-o", "out", cwd=".", delay=0.1) as first:
        wait_for_lines(first, 3)
        first.send_signal(signal.SIGKILL)
        first.wait()
    done = require_sound()
    assert 3 <= len(done) < 30
    assert finish(*COMMAND, "-o", "out", "--resume", cwd=".")[0] == 0
    require_finished(expected, 30)


@pytest.mark.parametrize("times", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_many_starts_at_once(times, tally):
    """Whoever loses is told; nobody removes what the winner wrote."""
    pictures("in", 6)
    expected = whole_run()
    for turn in range(times):
        racing = [start(*COMMAND, "-o", f"out{turn}", cwd=".", stderr=-3) for _ in range(6)]
        assert sorted(process.wait(60) for process in racing) == [0, 5, 5, 5, 5, 5]
        require_finished(expected, 6, f"out{turn}")
    tally("one process: six starts of one run", races=times)


def test_a_run_that_comes_and_goes_before_the_lock(monkeypatch):
    """Looked at, found free, filled by another run, then locked: what the other wrote stays."""
    pictures("in", 3)
    locked = journal._locked

    def late(root):
        monkeypatch.setattr(journal, "_locked", locked)
        assert finish(*COMMAND, "-o", "out", cwd=".")[0] == 0
        return locked(root)

    monkeypatch.setattr(journal, "_locked", late)
    with pytest.raises(OutputError, match="holds a finished run already"):
        compute(ComputeRequest("picture.keras", ("in",), out="out"), Heard(), open_engine=open_stand_in)
    require_finished(whole_run(), 3)
