"""The engine without files: the packer and a method against a bare compiled loop of as many gradients."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from bare import bare
from common import Row, clocked, finish, interleaved, model, ratio, workshop

from saliency_cli.autodiff.packing import Job, Packer
from saliency_cli.differentiable import Sample
from saliency_cli.runs.engine import Engine, open_engine
from saliency_cli.runs.explaining import Question, explain
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.settings import METHODS
from saliency_cli.targets import Classes, parse_target

ROUNDS = 5
# method, pictures, gradients a picture, predicted, bound
CASES = (
    ("gradient", 64, 1, "1.03", 1.10),
    ("integrated-gradients", 3, 52, "1.00", 1.10),
    ("smoothgrad", 3, 51, "1.07", 1.15),
)
SIZES = {"small": (8, 16, 32, 64), "mobilenet": (4, 8, 16)}


def opened(path: Path, batch: int) -> Engine:
    """Open a model at a batch shape, as a run of many pictures does."""
    return open_engine(ComputeRequest(str(path), batch_size=batch), single=False)


def solver(engine: Engine, method: str, pictures: int) -> Callable[[], None]:
    """Return a run of one method over random samples through the packer, warmed up."""
    shape = tuple(size or 1 for size in engine.specs[0].shape)
    name = engine.specs[0].name
    rng = np.random.default_rng(0)
    samples = [
        Sample({name: rng.random(shape, np.float32)}, (name,), lambda _: {name: np.zeros(shape, np.float32)})
        for _ in range(pictures)
    ]
    question = Question(engine, {method: METHODS.build(method, {})}, parse_target("top"), Classes(engine.classes, ()))

    def run(count: int = pictures) -> None:
        packer = Packer(engine.evaluator, classes=engine.classes)
        jobs = (Job(None, sample, explain(sample, question, None)) for sample in samples[:count])
        for outcome in packer.run(jobs):
            if outcome.error is not None:
                raise outcome.error

    run(1)
    return run


def against_loop(path: Path) -> list[Row]:
    """Compare every method with the loop at batch 8."""
    loop, engine = bare(path, 8), opened(path, 8)
    rows = []
    for method, pictures, gradients, predicted, bound in CASES:
        run = solver(engine, method, pictures)
        batches = -(-pictures * gradients // 8)
        a, b = interleaved(ROUNDS, lambda run=run: clocked(run), lambda n=batches: clocked(lambda: loop(n)))
        points = pictures * gradients
        each = f"{1000 * min(s.wall for s in a) / points:.1f} : {1000 * min(s.wall for s in b) / points:.1f} ms"
        wall = ratio([s.wall for s in a], [s.wall for s in b])
        cpu = ratio([s.cpu for s in a], [s.cpu for s in b])
        note = f"{each} a gradient; CPU {cpu:.2f}"
        rows.append(Row.ratio(f"engine, mobilenet, {method} : bare loop, wall", predicted, wall, bound, note))
    return rows


def batch_sizes(name: str, path: Path) -> Row:
    """Tell what a gradient takes at several batch sizes, through the packer and bare."""
    pictures = 1024 if name == "small" else 32
    sizes = SIZES[name]
    runs = [solver(opened(path, size), "gradient", pictures) for size in sizes]
    loops = [bare(path, size) for size in sizes]
    tries = [lambda run=run: clocked(run) for run in runs]
    tries += [
        lambda loop=loop, size=size: clocked(lambda: loop(pictures // size))
        for loop, size in zip(loops, sizes, strict=True)
    ]
    best = [1000 * min(s.wall for s in taken) / pictures for taken in interleaved(ROUNDS, *tries)]
    packed, plain = (" · ".join(f"{ms:.3g}" for ms in part) for part in (best[: len(sizes)], best[len(sizes) :]))
    what = f"ms a gradient, {name}, at batch {' · '.join(map(str, sizes))}"
    return Row(what, "8 or 16 best", f"{packed} (bare loop {plain})")


def measure() -> list[Row]:
    with workshop() as folder:
        rows = against_loop(model(folder, "mobilenet"))
        return [*rows, *(batch_sizes(name, model(folder, name)) for name in SIZES)]


if __name__ == "__main__":
    finish(measure)
