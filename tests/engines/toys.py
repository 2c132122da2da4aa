"""Workers that know nothing of models: what they do with an item is said by the item."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from saliency_cli.engines.protocol import Answer
from saliency_cli.errors import InputError, ModelError


def kill_self(number=signal.SIGKILL):
    os.kill(os.getpid(), number)


def die_once(path):
    """Die, unless somebody has died of it before."""
    if not Path(path).exists():
        Path(path).touch()
        kill_self(signal.SIGSEGV)


def fail(_):
    raise InputError("no", hint="yes", reason="toy")


def fail_by_a_bug(_):
    raise ZeroDivisionError("a bug")


def fail_beyond_pickling(_):
    raise type("Local", (Exception,), {})("inside")


HAPPENING = {
    "die": lambda _: kill_self(),
    "once": die_once,
    "raise": fail,
    "bug": fail_by_a_bug,
    "unpicklable": fail_beyond_pickling,
    "sleep": lambda seconds: time.sleep(float(seconds)),
    "exit": lambda _: os._exit(3),
    "after": lambda _: None,
}


@dataclass
class Toy:
    """Squares numbers; other items are things to happen: a word and its value. `rows N` dies after N answers."""

    told: object
    ahead: int = 6
    batch: int = 2

    def run(self, items, answer, check=lambda: None):
        for number, item in items:
            check()
            result = item * item if isinstance(item, int) else item
            if isinstance(item, str):
                self.happen(number, item, answer)
            answer(Answer(number, "", (result, os.getpid(), self.told), last=True))

    def happen(self, number, item, answer):
        word, _, value = item.partition(" ")
        if word == "rows":
            for row in range(int(value)):
                answer(Answer(number, f"#{row}", (item, row, os.getpid()), last=False))
            kill_self()
        else:
            HAPPENING[word](value)


def open_toy(given, told):
    """Open a worker that tells what it was given and its first process's id."""
    if given == "refuse":
        raise ModelError("it is refused", hint="another", reason="refused")
    if given == "crash":
        kill_self(signal.SIGSEGV)
    if given == "first only" and told is not None:
        os._exit(7)
    return Toy((given, os.getpid()) if told is None else told)
