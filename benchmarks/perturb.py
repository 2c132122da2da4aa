"""PGD of twenty steps against twenty gradients of a bare compiled loop, in both norms, on whole steps."""

from pathlib import Path

import numpy as np
from bare import bare
from common import Row, clocked, finish, interleaved, model, ratio, workshop

from saliency_cli.autodiff.packing import Job, Packer
from saliency_cli.differentiable import Sample
from saliency_cli.preprocessing import SYMMETRIC
from saliency_cli.runs.engine import open_engine
from saliency_cli.runs.feeding import Fed, Part
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.studies.perturb import ATTACKS
from saliency_cli.studies.perturb_reach import ball_of
from saliency_cli.studies.perturb_search import Cost, driven
from saliency_cli.threat import Ball, Goal, Norm

ROUNDS, PICTURES, STEPS, BATCH = 5, 8, 20, 8


def ball(engine, norm: Norm, number: int) -> Ball:
    """Return the ball around a picture of noise, as a run makes it."""
    (spec,) = engine.specs
    shape = tuple(size or 1 for size in spec.shape)
    raw = np.random.default_rng(number).integers(0, 256, shape).astype(np.float32)
    part = Part(SYMMETRIC.apply(raw, spec.channels), raw, "picture", SYMMETRIC, whole=True)
    fed = Fed("noise", Sample({spec.name: part.values}, (spec.name,), lambda _: {}), {spec.name: part}, {})
    epsilon = 1.0 if norm == "inf" else None
    return ball_of(fed, {spec.name: spec}, (spec.name,), norm=norm, epsilon=epsilon, ranges={}, bounded=True)


def attack(path: Path, norm: Norm):
    """Return a run of PGD over every picture, to a class that none reaches, warmed up."""
    engine = open_engine(ComputeRequest(str(path), batch_size=BATCH), single=False)
    balls = [ball(engine, norm, number) for number in range(PICTURES)]
    pgd, cost = ATTACKS.build("pgd", {"steps": STEPS}), Cost()

    def run() -> None:
        packer = Packer(engine.evaluator, classes=engine.classes)
        cost.gradients = 0
        for outcome in packer.run(
            Job(None, each.sample, driven(pgd.perturb(each, Goal(0, engine.classes, 7)), cost)) for each in balls
        ):
            if outcome.error is not None:
                raise outcome.error
        assert cost.gradients == PICTURES * STEPS, "one was reached, and its search ended"

    run()
    return run


def measure() -> list[Row]:
    """Compare both norms with the loop."""
    rows = []
    with workshop() as folder:
        path = model(folder, "mobilenet")
        loop = bare(path, BATCH)
        for norm, name in (("inf", "∞"), ("2", "2")):
            run = attack(path, norm)
            ours, theirs = interleaved(
                ROUNDS, lambda run=run: clocked(run), lambda: clocked(lambda: loop(PICTURES * STEPS // BATCH))
            )
            wall = ratio([each.wall for each in ours], [each.wall for each in theirs])
            cpu = ratio([each.cpu for each in ours], [each.cpu for each in theirs])
            each = f"{1000 * min(s.wall for s in ours) / PICTURES / STEPS:.1f} ms a step; CPU {cpu:.2f}"
            what = f"PGD-{STEPS} in ℓ{name}, mobilenet : {STEPS} gradients of a bare loop"
            rows.append(Row.ratio(what, "1.05", wall, 1.10, each))
    return rows


if __name__ == "__main__":
    finish(measure)
