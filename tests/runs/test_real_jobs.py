"""Real models: one process, workers, shards and a cluster give the same bytes, whatever the number of threads."""

import subprocess
import sys
from pathlib import Path

import pytest
from dask_tools import Cluster, until
from run_tools import array, pictures
from test_shards import require_same

ROOT = Path(__file__).parents[2]
MODELS = {
    "shapes": ("pictures", (64, 64)),
    "nested": ("pictures", (32, 32)),
    "signal": ("signals", (128, 2)),
}
METHODS = "gradient,smoothgrad,integrated-gradients"


def inputs(model):
    kind, size = MODELS[model]
    if kind == "pictures":
        pictures("in", 20, size=size)
        Path("in/broken.png").write_text("no picture")
    else:
        Path("in").mkdir()
        for n in range(20):
            array(f"in/{n}.npy", size, n)
        Path("in/broken.npy").write_text("no array")


def run(model, out, *more, code=3):
    command = [sys.executable, "-m", "saliency_cli", "compute", str(ROOT / f"sample_models/{model}.keras"), "in"]
    options = ["-o", out, "--format", "npy", "--method", METHODS, "-p", "points=8", "-p", "draws=9", "-q"]
    done = subprocess.run([*command, *options, *more], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == code, done.stderr


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A scheduler and two workers, each a process of its own, as somebody starts them by hand."""
    pytest.importorskip("distributed", reason="dask.distributed is not installed: pip install 'saliency-cli[dask]'")
    found = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        for _ in range(2):
            found.add_node()
        until(lambda: found.file.exists())
        yield found
    finally:
        found.__exit__()


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_one_process_workers_and_shards_give_the_same_bytes(model):
    inputs(model)
    run(model, "one")
    run(model, "thread", "--threads", "1")
    require_same("one", "thread")
    run(model, "two", "--jobs", "2")
    require_same("one", "two")
    for i in (1, 2, 3):
        run(model, "shards", "--shard", f"{i}/3", code=3 if i == 3 else 0)
    require_same("one", "shards")


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_a_dask_cluster_gives_the_same_bytes(model, cluster):
    """Of this machine, and a real scheduler that is joined; its workers open one model after the other."""
    inputs(model)
    run(model, "one")
    run(model, "dask", "--engine", "dask", "--jobs", "2")
    require_same("one", "dask")
    run(model, "joined", "--scheduler", str(cluster.file))
    require_same("one", "joined")
    for i in (1, 2):
        run(model, "shards", "--shard", f"{i}/2", "--scheduler", str(cluster.file), code=3 if i == 1 else 0)
    require_same("one", "shards")
