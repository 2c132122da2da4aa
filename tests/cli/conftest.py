"""Stand-ins for the rooms behind the command line, so that these tests run in milliseconds."""

import sys
from types import ModuleType

import pytest

from saliency_cli.cli import entry, parameters
from saliency_cli.errors import UsageError

KNOWN = {"gradient": "The gradient.", "smoothgrad": "The mean gradient of noisy copies."}


class FakeMethods:
    """A registry of two methods."""

    def names(self):
        return tuple(KNOWN)

    def summary(self, name):
        if name not in KNOWN:
            raise UsageError(f"no method is called '{name}'", hint="did you mean 'gradient'?")
        return KNOWN[name]


@pytest.fixture
def fake_methods(monkeypatch):
    monkeypatch.setattr(parameters, "method_registry", FakeMethods)


@pytest.fixture
def fake_compute(monkeypatch, fake_methods):
    """Return a function that puts `compute(request, listen)` behind the command line."""

    def install(compute):
        module = ModuleType("saliency_cli.runs.compute")
        module.compute = compute
        monkeypatch.setitem(sys.modules, "saliency_cli.runs.compute", module)

    return install


@pytest.fixture(autouse=True)
def plain_display(monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "_SALIENCY_COMPLETE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def saliency(capfd):
    """Return a function that runs a command line and gives (exit code, stdout, stderr)."""

    def run(*arguments):
        code = entry.run(arguments)
        return (code, *capfd.readouterr())

    return run
