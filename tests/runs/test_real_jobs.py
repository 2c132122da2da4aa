"""Real models: one process, workers and shards give the same bytes, whatever the number of threads."""

import subprocess
import sys
from pathlib import Path

import pytest
from run_tools import array, pictures
from test_shards import require_same

ROOT = Path(__file__).parents[2]
MODELS = {
    "shapes": ("pictures", (64, 64)),
    "nested": ("pictures", (32, 32)),
    "signal": ("signals", (128, 2)),
}
METHODS = "gradient,smoothgrad,integrated-gradients"


def run(model, out, *more):
    command = [sys.executable, "-m", "saliency_cli", "compute", str(ROOT / f"sample_models/{model}.keras"), "in"]
    options = ["-o", out, "--format", "npy", "--method", METHODS, "-p", "points=8", "-p", "draws=9", "-q"]
    done = subprocess.run([*command, *options, *more], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_one_process_workers_and_shards_give_the_same_bytes(model):
    kind, size = MODELS[model]
    if kind == "pictures":
        pictures("in", 20, size=size)
    else:
        Path("in").mkdir()
        for n in range(20):
            array(f"in/{n}.npy", size, n)
    run(model, "one")
    run(model, "thread", "--threads", "1")
    require_same("one", "thread")
    run(model, "two", "--jobs", "2")
    require_same("one", "two")
    for i in (1, 2, 3):
        run(model, "shards", "--shard", f"{i}/3")
    require_same("one", "shards")
