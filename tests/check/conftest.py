"""Checks in a folder of their own, with stand-ins for the models."""

import os
import sys
from functools import partial
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "runs"))

from check_models import open_model

from saliency_cli.cli import entry
from saliency_cli.runs.check import check as checking
from saliency_cli.runs.check import init as initialising
from saliency_cli.runs.check import updating


class Told:
    """A command line's end: code, stdout, stderr."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __repr__(self):
        return f"exit code {self.code}\n{self.out}\n{self.err}"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Make a fresh folder the current one, outside of any continuous integration."""
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "FORCE_COLOR", "CI", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
    """Put the stand-ins where models are opened."""
    monkeypatch.setattr(checking, "check", partial(checking.check, open_engine=open_model))
    monkeypatch.setattr(updating, "update_baseline", partial(updating.update_baseline, open_engine=open_model))
    monkeypatch.setattr(initialising, "initialise", partial(initialising.initialise, open_engine=open_model))


@pytest.fixture
def saliency(capfd):
    """Return a function that runs a command line and gives (code, out, err)."""

    def run(*arguments):
        capfd.readouterr()
        code = entry.run([os.fspath(argument) for argument in arguments])
        return Told(code, *capfd.readouterr())

    return run
