"""All inputs of a run at once, for an attack that finds one perturbation for them: read once, and kept small."""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

import numpy as np

from saliency_cli.autodiff.packing import Job, Packer, Query, Reply
from saliency_cli.differentiable import Arrays, Ask, Trace
from saliency_cli.errors import InputError, SaliencyError, UsageError
from saliency_cli.runs.checking import reads_stdin
from saliency_cli.runs.feeding import Fed
from saliency_cli.runs.preparing import Prepared
from saliency_cli.runs.sources import Source
from saliency_cli.studies.perturb_search import Cost, driven
from saliency_cli.threat import Ball, Common, Goal

BallOf = Callable[[Fed], Ball]
GoalOf = Callable[[int], Goal]


@dataclass(frozen=True, eq=False)
class Crowd(Sequence[tuple[Ball, Goal]]):
    """Samples as an attack meets them, made when they are asked for.

    `first` is the ball of one of them; `starts` the file values of all, bytes or float32; `held` the inputs that
    aren't moved, as the model gets them.
    """

    first: Ball
    starts: list[Arrays]
    held: list[Arrays]
    goals: list[Goal]

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, index: int) -> tuple[Ball, Goal]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[tuple[Ball, Goal]]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        reaches = {
            name: replace(reach, start=self.starts[index][name].astype(np.float64))
            for name, reach in self.first.reaches.items()
        }
        arrays = {**self.first.sample.inputs, **self.held[index]}
        return replace(self.first, sample=replace(self.first.sample, inputs=arrays), reaches=reaches), self.goals[
            index
        ]


def gathered(prepared: Prepared, sources: list[Source] | None, ball_of: BallOf, goal_of: GoalOf) -> Crowd:
    """Read every input, ask what the model says of it, and keep those that can be moved and aren't there already.

    Memory: a byte for each value of a picture, four for one of an array. An input that can't be read is left
    to the run itself, which tells why.

    Raises:
        UsageError: the inputs aren't known beforehand, come on stdin, are of different shapes, or one that the
            model takes holds whole numbers; none of them can be moved.
    """
    if sources is None or reads_stdin(prepared.request):
        raise UsageError(
            "one perturbation for all inputs is found before the first is written, so they are read twice",
            hint="name files in place of --files-from or -",
        )
    whole = next((spec.name for spec in prepared.engine.specs if not spec.floating), None)
    if whole is not None:
        raise UsageError(
            f"one perturbation for all needs a model whose inputs are floats, and '{whole}' holds whole numbers",
            hint="--attack pgd perturbs each input by itself",
        )
    crowd: Crowd | None = None
    packer = Packer(prepared.engine.evaluator, classes=prepared.engine.classes)
    for outcome in packer.run(Job(fed, fed.sample, _looked(prepared, fed)) for fed in _fed(prepared, sources)):
        if outcome.error is not None or outcome.result is None:
            continue
        top, truth = outcome.result
        goal = goal_of(truth)
        try:
            ball = ball_of(outcome.key)
        except InputError:
            continue
        if goal.reached(top):
            continue
        crowd = crowd or Crowd(ball, [], [], [])
        _join(crowd, outcome.key, ball, goal)
    if crowd is None:
        raise UsageError("none of the inputs can be perturbed", hint="--attack pgd tells of each why")
    return crowd


def _fed(prepared: Prepared, sources: list[Source]) -> Iterator[Fed]:
    for source in sources:
        try:
            found = prepared.feeder.feed(source)
        except SaliencyError:
            continue
        yield from (each for each in found if isinstance(each, Fed))


def _looked(prepared: Prepared, fed: Fed) -> Generator[Query, Reply, tuple[int, int]]:
    """Return the class on top of a sample, and its true one. Raises `InputError` where it has no label."""
    target = prepared.truths.target(fed.id)
    trace = Trace(gradient=False, space="log-odds")
    reply = yield Query(Ask(1, lambda _, out: fed.sample.write(out), np.zeros(1), trace=trace))
    top = int(reply.answer.tops[0])
    return top, top if target is None or target.index is None else target.index


def _join(crowd: Crowd, fed: Fed, ball: Ball, goal: Goal) -> None:
    for name, reach in ball.reaches.items():
        if reach.start.shape != crowd.first.reaches[name].start.shape:
            raise UsageError(
                f"one perturbation for all inputs needs inputs of one shape: '{fed.id}' is "
                f"{reach.start.shape}, another {crowd.first.reaches[name].start.shape}",
                hint="--attack pgd perturbs each input by itself",
            )
    starts = {n: reach.start.astype(np.uint8 if reach.whole else np.float32) for n, reach in ball.reaches.items()}
    crowd.starts.append(starts)
    crowd.held.append({name: array for name, array in fed.sample.inputs.items() if name not in ball.reaches})
    crowd.goals.append(goal)


def found_together(prepared: Prepared, attack: Any, crowd: Crowd) -> tuple[Common, Cost]:
    """Run an attack on all of them; return what it found, and its cost. Raises `InputError`."""
    cost = Cost()
    packer = Packer(prepared.engine.evaluator, classes=prepared.engine.classes)
    job = Job(None, crowd[0][0].sample, driven(attack.perturb_all(crowd), cost))
    (outcome,) = packer.run([job])
    if outcome.error is not None:
        raise outcome.error
    return outcome.result, cost
