"""Jacobians and Hessian-vector products against as many gradients: time through the packer, memory of the command."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import Row, clocked, finish, interleaved, model, photographs, ratio, saliency, spend, workshop

from saliency_cli.autodiff.packing import Job, Packer, Query
from saliency_cli.differentiable import Ask, Sample, Trace, against
from saliency_cli.runs.engine import Engine, open_engine
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.studies.jacobian_asking import ask_block
from saliency_cli.studies.jacobian_found import End

ROUNDS = 4
CLASSES = 10
PICTURES = 8


def samples_of(engine: Engine) -> list[Sample]:
    (spec,) = engine.specs
    shape = tuple(size or 1 for size in spec.shape)
    rng = np.random.default_rng(0)
    return [Sample({spec.name: rng.random(shape, np.float32)}, (spec.name,), lambda _: {}) for _ in range(PICTURES)]


def runner(engine: Engine, program: Callable[[Sample], object]) -> Callable[[], None]:
    """Return a run of one program over every sample, warmed up."""
    samples = samples_of(engine)

    def run() -> None:
        for outcome in Packer(engine.evaluator, classes=engine.classes).run(
            Job(None, sample, program(sample)) for sample in samples
        ):
            if outcome.error is not None:
                raise outcome.error

    run()
    return run


def gradients(sample: Sample):
    for index in range(CLASSES):
        weights = np.zeros(1000, np.float32)
        weights[index] = 1
        yield Query(Ask(1, lambda _, out: sample.write(out), np.ones(1)), weights)


def rows(engine: Engine, folder: Path):
    end = End(engine.output, engine.space, engine.shape, engine.classes, engine.connected, tuple(range(CLASSES)))

    def program(sample: Sample):
        return ask_block(
            sample, end, "reverse", batch=engine.evaluator.batch, other=False, folder=folder, watch=lambda _: None
        )

    return program


def products(trace: Trace):
    def program(sample: Sample):
        def point(_, out):
            sample.write(out)
            for name in sample.floating:
                out[against(0, name)][...] = 1

        weights = np.zeros(1000, np.float32)
        weights[0] = 1
        for _ in range(2):
            yield Query(Ask(4, point, np.zeros(4), trace=trace, references=1), weights)

    return program


def few_gradients(sample: Sample):
    for _ in range(2):
        yield Query(Ask(4, lambda _, out: sample.write(out), np.zeros(4)), np.eye(1, 1000, dtype=np.float32)[0])


def times(folder: Path) -> list[Row]:
    engine, smooth = (
        open_engine(ComputeRequest(str(model(folder, name)), batch_size=8), single=False)
        for name in ("mobilenetv2", "efficientnetv2b0")
    )
    tries = {
        "gradients": runner(engine, gradients),
        "rows": runner(engine, rows(engine, folder)),
        "few": runner(engine, few_gradients),
        "J·v": runner(engine, products(Trace(product="jacobian", gradient=False))),
        "smooth": runner(smooth, few_gradients),
        "H·v": runner(smooth, products(Trace(product="hessian"))),
    }
    taken = dict(zip(tries, interleaved(ROUNDS, *(lambda r=r: clocked(r) for r in tries.values())), strict=True))
    wall = {name: [spent.wall for spent in each] for name, each in taken.items()}
    each = 1000 * min(wall["rows"]) / (PICTURES * CLASSES)
    note = f"{each:.1f} : {1000 * min(wall['gradients']) / (PICTURES * CLASSES):.1f} ms a class"
    return [
        Row.ratio(
            f"Jacobian of {CLASSES} classes : {CLASSES} gradients, mobilenet, {PICTURES} pictures",
            "1.00",
            ratio(wall["rows"], wall["gradients"]),
            1.1,
            note,
        ),
        Row("J·v (a column) : gradient (a row), mobilenet, batch 8", "1.5", f"{ratio(wall['J·v'], wall['few']):.2f}"),
        Row("H·v : gradient, efficientnet, batch 8", "2.5", f"{ratio(wall['H·v'], wall['smooth']):.2f}"),
    ]


def memory(path: Path, folder: Path) -> list[Row]:
    """Compare the command's peak with that of as many gradients, of other pictures: as many full batches."""
    few, many = (photographs(folder, count, (320, 240)) for count in (PICTURES, PICTURES * CLASSES))
    common = ["--preprocess", "unit", "--batch-size", "8", "--overwrite"]
    classes = ",".join(map(str, range(CLASSES)))
    ours = saliency("jacobian", str(path), str(few), *common, "--classes", classes, "-o", str(folder / "jacobian"))
    theirs = saliency("compute", str(path), str(many), *common, "--format", "npy", "-o", str(folder / "gradient"))
    first, second = (spend(command, folder).memory for command in (ours, theirs))
    what = f"peak memory, Jacobian of {CLASSES} classes of {PICTURES} pictures : gradients of {PICTURES * CLASSES}"
    return [Row.ratio(what, "1.05", first / second, 1.1, f"{first:.0f} : {second:.0f} MiB")]


def measure() -> list[Row]:
    with workshop() as folder:
        found = [] if "--memory" in sys.argv else times(folder)
        return [*found, *memory(model(folder, "mobilenetv2"), folder)]


if __name__ == "__main__":
    finish(measure)
