"""The faults strike runs with the stand-in of `tests/runs`, as processes of their own."""

import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "runs"))
sys.path.append(str(Path(__file__).parents[1] / "engines"))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Make a fresh folder the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


_TALLY = pytest.StashKey()


@pytest.fixture
def tally(request):
    """Return a function that adds to the counts printed at the end: what was done, and how often."""
    counts = request.config.stash.setdefault(_TALLY, {})

    def add(kind, **numbers):
        row = counts.setdefault(kind, {})
        for name, number in numbers.items():
            row[name] = row.get(name, 0) + number

    return add


def pytest_terminal_summary(terminalreporter, config):
    """Print the counts: `docs/reliability.md` keeps them."""
    counts = config.stash.get(_TALLY, {})
    if counts:
        terminalreporter.section("faults")
        for kind, numbers in sorted(counts.items()):
            told = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in numbers.items())
            terminalreporter.write_line(f"{kind:50} {told}")


def pytest_configure(config):
    """Name the marker of what needs TensorFlow."""
    # A job in the background ignores it, and so would every run that is struck.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "real_model: runs TensorFlow")
