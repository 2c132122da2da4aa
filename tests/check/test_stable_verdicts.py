"""One verdict from one model, however it is computed: ten runs, other batch sizes, without oneDNN."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def saliency(*arguments, **environment):
    done = subprocess.run(
        [sys.executable, "-m", "saliency_cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("policy")
    inputs = [str(path) for path in sorted((ROOT / "sample_images").glob("*.png"))]
    code, _, err = saliency("init", ROOT / "sample_models" / "shapes.keras", *inputs, "-o", folder / "saliency.toml")
    assert code == 0, err
    return folder / "saliency.toml"


def verdicts(policy, *arguments, **environment):
    code, out, err = saliency("check", policy, "--json", *arguments, **environment)
    record = json.loads(out)
    return code, [(rule["id"], rule["verdict"]) for rule in record["rules"]], record, err


def test_ten_runs_give_one_answer_to_the_last_digit(policy):
    runs = [verdicts(policy) for _ in range(10)]
    values = {json.dumps([(rule["id"], rule["value"], rule["interval"]) for rule in run[2]["rules"]]) for run in runs}
    assert len(values) == 1
    assert {run[0] for run in runs} == {0}


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["--batch-size", "1"], {}),
        (["--batch-size", "7"], {}),
        (["--batch-size", "32"], {}),
        ([], {"TF_ENABLE_ONEDNN_OPTS": "0"}),
        (["--threads", "1"], {}),
    ],
)
def test_another_way_to_compute_gives_the_same_verdicts(policy, arguments, environment):
    code, found, record, err = verdicts(policy, *arguments, **environment)
    _, expected, before, _ = verdicts(policy)
    assert code == 0, err
    assert found == expected
    for rule, other in zip(record["rules"], before["rules"], strict=True):
        assert rule["value"] == pytest.approx(other["value"], rel=2e-3)
