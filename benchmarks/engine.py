"""The engine without files: the packer and a method against a bare loop of the same gradients.

The loop calls the very function that the packer calls, as often, on one buffer: the two differ by packing, the method
and its noise. What that function is worth is in `gradients.py`.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from bare import bare
from common import Row, clocked, finish, interleaved, model, ratio, workshop

from saliency_cli.autodiff.packing import Job, Packer
from saliency_cli.differentiable import GRADIENT, Sample
from saliency_cli.runs.engine import Engine, open_engine
from saliency_cli.runs.explaining import Question, explain
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.settings import METHODS
from saliency_cli.targets import Classes, parse_target

ROUNDS = 5
# method, pictures, gradients a picture (first asks fill batches too: 8 pictures), predicted, bound
CASES = (
    ("gradient", 128, 1, "1.05", 1.10),
    ("integrated-gradients", 8, 52, "1.02", 1.03),
    ("smoothgrad", 8, 51, "1.04", 1.05),
)
SIZES = {"small": (8, 16, 32, 64), "mobilenetv2": (4, 8, 16)}


def opened(path: Path, batch: int) -> Engine:
    """Open a model at a batch shape, as a run of many pictures does."""
    return open_engine(ComputeRequest(str(path), batch_size=batch), single=False)


def solver(engine: Engine, method: str, pictures: int, **options: str) -> Callable[[], None]:
    """Return a run of one method over random samples through the packer, warmed up."""
    shape = tuple(size or 1 for size in engine.specs[0].shape)
    name = engine.specs[0].name
    rng = np.random.default_rng(0)
    samples = [
        Sample({name: rng.random(shape, np.float32)}, (name,), lambda _: {name: np.zeros(shape, np.float32)})
        for _ in range(pictures)
    ]
    question = Question(
        engine, {method: METHODS.build(method, options)}, parse_target("top"), Classes(engine.classes, ())
    )

    def run(count: int = pictures) -> None:
        packer = Packer(engine.evaluator, classes=engine.classes)
        jobs = (Job(None, sample, explain(sample, question, None)) for sample in samples[:count])
        for outcome in packer.run(jobs):
            if outcome.error is not None:
                raise outcome.error

    run(1)
    return run


def same(engine: Engine) -> Callable[[int], None]:
    """Return a function that computes that many batches of the engine's own gradients, on one buffer."""
    batch, spec = engine.evaluator.batch, engine.specs[0]
    shape = (batch, *(size or 1 for size in spec.shape))
    inputs = {spec.name: np.random.default_rng(0).random(shape, np.float32)}
    rows = np.zeros((batch, engine.classes), np.float32), np.ones(batch, bool), np.zeros(batch, np.float32)

    def loop(batches: int) -> None:
        for _ in range(batches):
            engine.evaluator(inputs, *rows, GRADIENT)

    loop(2)
    return loop


def against_loop(path: Path) -> list[Row]:
    """Compare every method with the loop at batch 8."""
    engine = opened(path, 8)
    loop = same(engine)
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
        rows.append(
            Row.ratio(f"packing, mobilenetv2, {method} : its gradients in a loop, wall", predicted, wall, bound, note)
        )
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
        rows = against_loop(model(folder, "mobilenetv2"))
        return [*rows, *(batch_sizes(name, model(folder, name)) for name in SIZES)]


if __name__ == "__main__":
    finish(measure)
