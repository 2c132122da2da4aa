"""Our own CPU a picture over 10,000 tiny pictures: 28×28 PNG files in, rows, maps or files out, one process.

The engine is one that answers every batch at once with the arrays it has ready, so that all CPU is ours: finding,
reading, decoding, preparing, packing, numbers, records, files. What it answers is shaped as a small CNN's gradients.
"""

import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from common import Row, finish, photographs, workshop
from throughput import Silent

from saliency_cli.autodiff.packing import Evaluation
from saliency_cli.records import InputSpec, ModelRecord
from saliency_cli.runs.compute import compute
from saliency_cli.runs.engine import Engine
from saliency_cli.runs.request import ComputeRequest

PICTURES, BATCH, CLASSES, ROUNDS = 10_000, 16, 10, 3
FILES_BOUND, SHARDED_BOUND = 2.0, 0.5


class Ready:
    """An evaluator whose answer is there before it is asked."""

    batch = BATCH

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        logits = rng.standard_normal((BATCH, CLASSES))
        scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        gradients = {"x": rng.standard_normal((BATCH, 28, 28, 3)).astype(np.float32)}
        self.found = Evaluation(logits.max(axis=1), logits.argmax(axis=1), logits, scores, gradients)

    def __call__(self, *_: object) -> Evaluation:
        return self.found


def engine(*_: object, **__: object) -> Engine:
    return Engine(
        specs=(InputSpec("x", (28, 28, 3), "float32", 2),),
        output="scores",
        classes=CLASSES,
        shape=(CLASSES,),
        head="softmax",
        space="logit",
        evaluator=Ready(),
        record=ModelRecord(path="ready", format="none"),
        connected=("x",),
    )


def milliseconds(pictures: Path, folder: Path, **asked: object) -> float:
    """Return the CPU milliseconds a picture of one run, all threads and the system's share in them."""
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    request = ComputeRequest("ready", (str(pictures),), out=str(out), preprocess="unit", **asked)
    began = time.process_time()
    compute(request, Silent(), engine)
    return 1000 * (time.process_time() - began) / PICTURES


def measure() -> list[Row]:
    with workshop() as shared, tempfile.TemporaryDirectory(dir=shared) as name:
        pictures, folder = photographs(shared, PICTURES, (28, 28), ".png"), Path(name)
        ways = {
            "files layout, an array each": (FILES_BOUND, {"formats": ("npy",), "layout": "files"}),
            "sharded, no maps": (SHARDED_BOUND, {"layout": "sharded"}),
            "sharded, the 100 worst": (None, {"keep_maps": "worst:100"}),
            "sharded, all maps": (None, {"keep_maps": "all"}),
        }
        found: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(ROUNDS):
            for way, (_, asked) in ways.items():
                found[way].append(milliseconds(pictures, folder, **asked))
    return [row(way, bound, found[way]) for way, (bound, _) in ways.items()]


def row(way: str, bound: float | None, found: list[float]) -> Row:
    what = f"own CPU ms a picture, {PICTURES:,} of 28×28, {way}"
    told = f"{min(found):.2f} ({min(found):.2f}–{max(found):.2f})"
    if bound is None:
        return Row(what, "", told)
    return Row(what, "half", told, f"≤ {bound:.1f}", min(found) <= bound)


if __name__ == "__main__":
    finish(measure)
