"""The faults strike runs with the stand-in of `tests/runs`, as processes of their own."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "runs"))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Make a fresh folder the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pytest_configure(config):
    """Name the marker of what needs TensorFlow."""
    config.addinivalue_line("markers", "real_model: runs TensorFlow")
