"""Studies of tiny models, asked from Python and from the command line."""

import io
import os
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from saliency_cli.cli import entry

for room in ("models", "autodiff"):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / room))

Told = namedtuple("Told", "code out err")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Make a fresh folder the current one."""
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def saliency(here, monkeypatch, capfdbinary):
    """Return a function that runs a command line and gives (code, out, err)."""

    def run(*arguments):
        with monkeypatch.context() as patch:
            patch.setattr("sys.stdin", io.StringIO())
            code = entry.run([os.fspath(argument) for argument in arguments])
        out, err = capfdbinary.readouterr()
        return Told(code, out.decode(), err.decode())

    return run
