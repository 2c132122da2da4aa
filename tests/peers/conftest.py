"""Peers in environments of their own: their scripts are run once, what was compared is written down.

These tests run only when they are asked for: `make test-peers`, `pytest -m peers`, or by their path.
"""

import json
import os
import subprocess
from functools import lru_cache
from pathlib import Path

import numpy as np
import peer_nets
import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PEERS = ROOT / ".peers"
ROWS: list[dict] = []


def pytest_collection_modifyitems(config, items):
    asked = "peers" in (config.option.markexpr or "") or any("peers" in argument for argument in config.args)
    here = [item for item in items if HERE in item.path.parents]
    for item in here:
        item.add_marker(pytest.mark.peers)
    if here and not asked:
        config.hook.pytest_deselected(items=here)
        items[:] = [item for item in items if item not in here]


def pytest_runtest_logreport(report):
    """Write down what is expected to fail: there ours is at fault."""
    if "tests/peers/" in report.nodeid and report.skipped and getattr(report, "wasxfail", ""):
        what = report.nodeid.rpartition("::test_")[2].replace("_", "-")
        ROWS.append({"peer": "", "version": "", "what": what, "difference": None, "note": report.wasxfail})


def pytest_sessionfinish(session):
    if ROWS and PEERS.is_dir():
        (PEERS / "results.json").write_text(json.dumps(ROWS, indent=1), encoding="utf-8")


class Found:
    """What a peer's script found: `found["case/name"]`, or the case's own failure."""

    def __init__(self, peer, arrays):
        self.peer, self.arrays, self.version = peer, arrays, str(arrays["version"])

    def __getitem__(self, name):
        case = name.partition("/")[0]
        if f"{case}/error" in self.arrays:
            pytest.fail(f"{self.peer}: {self.arrays[f'{case}/error']}")
        return self.arrays[name]

    def agrees(self, what, ours, theirs, tolerance=1e-4, note=""):
        """Assert that two results differ by no more than the tolerance, relative to theirs, and write it down."""
        theirs = self[theirs] if isinstance(theirs, str) else theirs
        ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
        assert ours.shape == theirs.shape
        assert np.abs(theirs).max() > 0, "nothing is compared"
        difference = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
        assert difference <= tolerance, f"{self.peer}, {what}: {difference:.3g}"
        ROWS.append(
            {"peer": self.peer, "version": self.version, "what": what, "difference": difference, "note": note}
        )

    def differs(self, what, reason):
        """Write down that a peer computes something else; the test has shown it."""
        ROWS.append({"peer": self.peer, "version": self.version, "what": what, "difference": None, "note": reason})


@pytest.fixture(scope="session")
def ask(tmp_path_factory):
    """Run a peer's script once a session."""

    @lru_cache
    def run(peer):
        python = PEERS / peer / "bin" / "python"
        if not (PEERS / peer / ".installed").exists():
            pytest.skip(f"{peer} has no environment in .peers: make test-peers makes it")
        folder = tmp_path_factory.mktemp(peer)
        np.savez(folder / "given.npz", **peer_nets.given())
        script = HERE / "scripts" / f"{peer.replace('-', '_')}_cases.py"
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "KERAS"))}
        done = subprocess.run(
            [python, script, folder / "given.npz", folder / "found.npz"],
            cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        with np.load(folder / "found.npz") as found:
            return Found(peer, dict(found))

    return run


def _fixture(name):
    return pytest.fixture(name=name.replace("-", "_"))(lambda ask: ask(name))


art = _fixture("art")
captum = _fixture("captum")
foolbox = _fixture("foolbox")
grad_cam = _fixture("grad-cam")
pair = _fixture("pair")
quantus = _fixture("quantus")
shap = _fixture("shap")
tf_keras_vis = _fixture("tf-keras-vis")
xplique = _fixture("xplique")
zennit = _fixture("zennit")


@pytest.fixture
def here():
    """A package of this very environment, by name."""

    def found(package):
        from importlib.metadata import version

        pytest.importorskip({"scikit-image": "skimage"}.get(package, package))
        return Found(package, {"version": version(package)})

    return found
