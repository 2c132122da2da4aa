"""A Dask cluster of two workers of one thread against one process of two, ResNet50, files and all.

Both are warm: models are open, traced, and what a call of a worker should hold is found. What is timed begins with
the first path and ends with the last line of the journal.
"""

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from common import Row, Spent, clocked, finish, interleaved, model, photographs, ratio, workshop

from saliency_cli.engines.dask import Cluster
from saliency_cli.runs.compute import compute
from saliency_cli.runs.distributing import Distributed, task_for
from saliency_cli.runs.engine import open_engine
from saliency_cli.runs.journal import Journal
from saliency_cli.runs.ledger import Ledger
from saliency_cli.runs.relaying import Given
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.sources import Source, listed
from saliency_cli.runs.worker import Told

PICTURES, BATCH, ROUNDS, WORKERS = 96, 8, 3, 2
BOUND = 0.9


class Silent:
    """A listener that hears nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


class Warm:
    """Workers that have opened the model, and carry the same run again and again."""

    def __init__(self, executor: Cluster, request: ComputeRequest, sources: list[Source]) -> None:
        self.executor, self.request, self.sources = executor, request, sources
        self.told: Told = executor.begin(task_for(request, WORKERS, sources, open_engine))
        self.root = Path(request.out or "")

    def __call__(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)
        with Journal.open(self.root, self.told.run, resume=False, overwrite=False) as journal:
            ledger = Ledger(journal, Silent())
            self.executor.carry((Given(source, {}) for source in self.sources), Distributed(self.executor, ledger))
            journal.settle()
        if ledger.counts.ok != len(self.sources):
            raise RuntimeError(f"{ledger.counts} of {len(self.sources)}")


def measure() -> list[Row]:
    with workshop() as shared, tempfile.TemporaryDirectory(dir=shared) as name:
        folder, path = Path(name), model(shared, "resnet50")
        pictures = photographs(shared, PICTURES, (224, 224))
        one = ComputeRequest(str(path), (str(pictures),), out=str(folder / "one"), batch_size=BATCH, threads=WORKERS)
        many = ComputeRequest(str(path), (str(pictures),), out=str(folder / "many"), batch_size=BATCH, threads=1)
        engine = open_engine(one, single=False)

        def alone() -> None:
            shutil.rmtree(folder / "one", ignore_errors=True)
            compute(one, Silent(), lambda *_, **__: engine)

        began = time.perf_counter()
        with Cluster(folder, scheduler=None, workers=WORKERS, warn=print) as executor:
            warm = Warm(executor, many, listed(many) or [])
            opened = time.perf_counter() - began
            warm()
            alone()
            a, b = interleaved(ROUNDS, lambda: clocked(alone), lambda: clocked(warm))
        return rows(a, b, opened)


def rows(alone: list[Spent], warm: list[Spent], opened: float) -> list[Row]:
    """Return the bound's row, and what a cluster costs once."""
    value = ratio([each.wall for each in alone], [each.wall for each in warm])
    best, least = (min(each.wall for each in found) for found in (alone, warm))
    speeds = f"{PICTURES / least:.1f} : {PICTURES / best:.1f} pictures/s"
    return [
        Row(
            f"Dask, {WORKERS} warm workers of one thread : one process of {WORKERS}, ResNet50, throughput",
            "1.0",
            f"{value:.2f} ({speeds})",
            f"≥ {BOUND:.2f}",
            value >= BOUND,
        ),
        Row("starting a cluster of this machine and opening the model in its first worker", "8 s", f"{opened:.1f} s"),
    ]


if __name__ == "__main__":
    finish(measure)
