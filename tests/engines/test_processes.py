"""Local workers: every item answered once, whatever dies."""

import os
import threading
import time

import pytest
from toys import open_toy

from saliency_cli.engines.processes import Processes
from saliency_cli.engines.protocol import Task, WorkerError
from saliency_cli.errors import InputError, ModelError


class Heard:
    """Remembers what was found, by item."""

    def __init__(self, enough_after=None):
        self.answers, self.losses, self.enough_after = [], [], enough_after

    def found(self, item, found):
        self.answers.append((item, found))

    def lost(self, item, how):
        self.losses.append((item, how))

    def enough(self):
        return self.enough_after is not None and len(self.answers) >= self.enough_after

    @property
    def squares(self):
        return {item: found[0] for item, found in self.answers if isinstance(item, int)}


def carried(items, jobs=2, given="toy", **options):
    heard = Heard(**options)
    with Processes(jobs) as processes:
        processes.begin(Task(open_toy, given))
        processes.carry(items, heard)
    return heard, processes


def test_every_item_is_answered_once():
    heard, processes = carried(range(200))
    assert heard.squares == {n: n * n for n in range(200)}
    assert len(heard.answers) == 200
    assert (heard.losses, processes.casualties) == ([], [])


def test_what_the_first_worker_told_is_given_to_the_others():
    heard, _ = carried([0, *["sleep 0.2"] * 20])
    tellers = {found[2] for _, found in heard.answers}
    workers = {found[1] for _, found in heard.answers}
    assert len(workers) == 2
    ((given, first),) = tellers
    assert given == "toy"
    assert first in workers


def test_an_item_that_kills_is_lost_alone():
    heard, processes = carried([*range(40), "die", *range(40, 80), "exit", *range(80, 120)])
    assert heard.squares == {n: n * n for n in range(120)}
    assert dict(heard.losses) == {
        "die": "it was ended by SIGKILL, as the system does when memory runs out",
        "exit": "it ended with exit code 3",
    }
    assert 3 <= len(processes.casualties) <= 4  # in company and alone, or in company with each other


def test_an_item_that_kills_once_is_done_the_second_time(tmp_path):
    heard, processes = carried([*range(30), f"once {tmp_path}/dead", *range(30, 60)])
    assert heard.squares == {n: n * n for n in range(60)}
    assert len(heard.answers) == 61
    assert heard.losses == []
    assert len(processes.casualties) == 1


def test_what_was_found_of_an_item_before_its_worker_died_is_heard_once():
    heard, _ = carried([*range(10), "rows 3", *range(10, 20)])
    rows = [found[1] for item, found in heard.answers if item == "rows 3"]
    assert rows == [0, 1, 2]
    assert [item for item, _ in heard.losses] == ["rows 3"]


def test_items_that_come_slowly_are_answered_as_they_come():
    went_on = threading.Event()
    heard = Heard()

    def slowly():
        for n in range(4):
            yield n
            went_on.wait(10)
            went_on.clear()

    class Waking(Heard):
        def found(self, item, found):
            super().found(item, found)
            went_on.set()

    heard = Waking()
    with Processes(2) as processes:
        processes.begin(Task(open_toy, "toy"))
        processes.carry(slowly(), heard)
    assert list(heard.squares) == [0, 1, 2, 3]


def test_enough_ends_it():
    heard, _ = carried(range(100_000), enough_after=30)
    assert 30 <= len(heard.answers) <= 30 + 2 * 6


@pytest.mark.parametrize(
    ("item", "kind", "message"),
    [("raise", InputError, "no"), ("bug", ZeroDivisionError, "a bug"), ("unpicklable", WorkerError, "Local: inside")],
)
def test_an_error_of_a_worker_is_raised_with_its_origin(item, kind, message):
    with pytest.raises(kind, match=message) as caught:
        carried([1, item, 2])
    assert "toys.py" in str(caught.value.__cause__)
    if item == "raise":
        assert (caught.value.hint, caught.value.reason) == ("yes", "toy")


def test_an_error_of_the_listing_is_raised():
    def broken():
        yield 1
        raise OSError("the list can't be read")

    with pytest.raises(OSError, match="the list"):
        carried(broken())


@pytest.mark.parametrize(
    ("given", "message"),
    [("refuse", "it is refused"), ("crash", "a worker died while it opened the model: .* SIGSEGV")],
)
def test_a_worker_that_can_not_open(given, message):
    with pytest.raises(ModelError, match=message):
        carried([1], given=given)


def test_workers_that_all_die_while_they_open_end_the_run():
    with pytest.raises(ModelError, match="it ended with exit code 7") as caught:
        carried(["sleep 0.1"] * 100, given="first only")
    assert "fewer --jobs" in caught.value.hint


def test_an_interrupted_run_hears_what_was_finished():
    class Interrupting(Heard):
        def found(self, item, found):
            super().found(item, found)
            if item == "sleep 0.3":
                raise KeyboardInterrupt

    heard = Interrupting()
    with Processes(2) as processes:
        processes.begin(Task(open_toy, "toy"))
        with pytest.raises(KeyboardInterrupt):
            processes.carry(["sleep 0.3", "sleep 0.31", *["sleep 0.02"] * 50], heard)
    assert len(heard.answers) < 40
    assert processes.casualties == []


def test_nothing_is_left_running():
    with Processes(2) as processes:
        first = processes.begin(Task(open_toy, "toy"))[1]
        heard = Heard()
        processes.carry(range(10), heard)
    workers = {found[1] for _, found in heard.answers} | {first}
    for _ in range(100):
        if not any(_runs(worker) for worker in workers):
            break
        time.sleep(0.02)
    assert not any(_runs(worker) for worker in workers)


def _runs(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_fast_worker_takes_more_than_a_slow_one():
    """Few items are under way where each takes long: the last ones do not wait behind one worker."""
    began = time.monotonic()
    heard, _ = carried(["sleep 0.2"] * 16)
    assert time.monotonic() - began < 16 * 0.2
    shares = [found[1] for _, found in heard.answers]
    assert min(shares.count(worker) for worker in set(shares)) >= 4
