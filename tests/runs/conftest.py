"""Every test of a run works in a folder of its own, and most with a stand-in for the model."""

import io
import os
import sys
from collections import namedtuple
from functools import partial
from pathlib import Path

import pytest
from run_tools import Heard
from stand_in import open_stand_in

from saliency_cli.cli import entry
from saliency_cli.runs import compare as comparing
from saliency_cli.runs import compute as module
from saliency_cli.runs import studying
from saliency_cli.runs.request import ComputeRequest

sys.path.append(str(Path(__file__).parents[1] / "engines"))

Told = namedtuple("Told", "code out err")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Make a fresh folder the current one."""
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


@pytest.fixture
def compute():
    """Return a function: inputs and fields of a request → (report, what the listener heard)."""

    def run(*inputs, model="picture.keras", open_engine=open_stand_in, **fields):
        heard = Heard()
        request = ComputeRequest(model, tuple(map(os.fspath, inputs)), **fields)
        return module.compute(request, heard, open_engine=open_engine), heard

    return run


@pytest.fixture
def saliency(monkeypatch, capfdbinary):
    """Return a function that runs a command line with the stand-in and gives (code, out, err)."""
    monkeypatch.setattr(module, "compute", partial(module.compute, open_engine=open_stand_in))
    monkeypatch.setattr(studying, "run_study", partial(studying.run_study, open_engine=open_stand_in))
    monkeypatch.setattr(comparing, "compare", partial(comparing.compare, open_engine=open_stand_in))

    def run(*arguments, stdin=b""):
        reader, writer = os.pipe()
        os.write(writer, stdin)
        os.close(writer)
        with io.TextIOWrapper(os.fdopen(reader, "rb")) as stream, monkeypatch.context() as patch:
            patch.setattr("sys.stdin", stream)
            code = entry.run([os.fspath(argument) for argument in arguments])
        out, err = capfdbinary.readouterr()
        return Told(code, out.decode("utf-8", "surrogateescape"), err.decode("utf-8", "surrogateescape"))

    return run
