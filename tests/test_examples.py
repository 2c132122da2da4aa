"""The examples are run as they stand."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def place(tmp_path):
    """A folder with the samples, as a clone has them, and the installed command first on the path."""
    for name in ("sample_models", "sample_images", "examples"):
        shutil.copytree(ROOT / name, tmp_path / name)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    return tmp_path, environment


def shell(script, place):
    folder, environment = place
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_batch_script_goes_on_where_it_stopped(place):
    script = "examples/batch.sh sample_models/shapes.keras sample_images/masks/.. out --target 1"
    (place[0] / "sample_images" / "broken.png").write_bytes(b"")
    first = shell(script, place)
    assert first.returncode == 3, first.stderr
    assert "some pictures failed; the others are done" in first.stderr
    done = (place[0] / "out" / "items.jsonl").read_text().count('"status":"ok"')
    assert done > 5
    (place[0] / "sample_images" / "broken.png").unlink()
    again = shell(script, place)
    assert again.returncode == 0, again.stderr
    assert (place[0] / "out" / "items.jsonl").read_text().count('"status":"ok"') == done


def test_the_workflow_steps_run(place):
    workflow = yaml.safe_load((ROOT / "examples" / "github.yml").read_text())
    steps = [step for step in workflow["jobs"]["maps"]["steps"] if "run" in step]
    assert steps[0]["run"] == "python -m pip install --quiet ."
    # The project is installed already; every other step runs as it stands.
    for step in steps[1:]:
        result = shell(step["run"], place)
        assert result.returncode == 0, (step["name"], result.stderr)
    assert "done: " in result.stdout
    assert "failed: 0" in result.stdout
    assert list((place[0] / "out" / "maps" / "maps").rglob("*.overlay.png"))
