"""`kill -9` at any moment: nothing torn, nothing done twice, and the rest of the run gives the same bytes."""

import random
import signal
import time
from pathlib import Path

import pytest
from run_tools import finish, journal, pictures
from striking import COMMAND, require_finished, require_sound, struck, whole_run

PICTURES = 200
DELAY = 0.02  # a batch, so that most moments of a run are within its work


def kill_and_go_on(kills, seed, tally):
    """Strike until so many runs were struck at work; each goes on from the one before, or begins anew."""
    pictures("in", PICTURES)
    began = time.monotonic()
    expected = whole_run(delay=DELAY)
    lasts = time.monotonic() - began
    moments = random.Random(seed)
    finished = at_work = strikes = 0
    while at_work < kills:
        strikes += 1
        out = f"out{finished}"
        before = {record["id"] for record in require_sound(out)} if Path(out).is_dir() else set()
        code = struck(moments.uniform(0.15, lasts), signal.SIGKILL, "--resume", out=out, delay=DELAY)
        if not Path(out).is_dir():
            continue  # struck before it did anything
        after = {record["id"] for record in require_sound(out)}
        assert before <= after, "finished inputs were lost"
        at_work += code != 0 and 0 < len(after) < PICTURES
        if code == 0:
            require_finished(expected, PICTURES, out)
            finished += 1
    done = len(require_sound(out))
    code, _, told = finish(*[word for word in COMMAND if word != "-q"], "-o", out, "--resume", cwd=".")
    assert code == 0, told
    assert f"{PICTURES - done:,} done, {done:,} done before" in told
    require_finished(expected, PICTURES, out)
    tally("one process: SIGKILL to the run", strikes=strikes, at_work=at_work)


@pytest.mark.parametrize("strikes", [3, pytest.param(10, marks=pytest.mark.slow)])
def test_some_kills(strikes, tally):
    kill_and_go_on(strikes, seed=1, tally=tally)


@pytest.mark.slow
def test_a_hundred_kills(tally):
    kill_and_go_on(100, seed=2, tally=tally)


def test_killed_runs_of_one_folder_each_do_some(here):
    """A kill after each half second still ends: every start does what the one before left."""
    pictures("in", 40)
    expected = whole_run()
    for _ in range(30):
        if struck(0.6, signal.SIGKILL, "--resume", delay=0.03) == 0:
            break
    require_finished(expected, 40)
    assert len(journal("out")) == 40
