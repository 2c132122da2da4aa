"""What a local worker tells its parent, and how its process is started."""

import json
import sys
from typing import Any, NamedTuple


class Opened(NamedTuple):
    """The worker is open: what it tells, and how many items it can make use of at a time."""

    told: Any
    ahead: int


class Failed(NamedTuple):
    """The worker can't open, or can't go on: the error and where it came from."""

    error: BaseException
    trace: str


class Ended(NamedTuple):
    """All that was sent is answered, or let go because the parent asked to stop."""


def command(descriptor: int) -> list[str]:
    """Return the command line of a worker's process, which finds modules where this one does."""
    # -P: what lies in the current folder is no module of ours.
    return [sys.executable, "-P", "-c", _START, str(descriptor), json.dumps(sys.path)]


_START = (
    "import json,sys;sys.path[:]=json.loads(sys.argv[2]);"
    "from saliency_cli.engines.child import main;main(int(sys.argv[1]))"
)
