"""An attack driven for one sample: its cost counted, and the smallest ε that it reaches its goal with."""

import math
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import TypeVar, cast

from saliency_cli.autodiff.packing import Query, Reply
from saliency_cli.differentiable import Answer, Ask, Trace
from saliency_cli.threat import Attack, Ball, Goal, Perturbed, look

Result = TypeVar("Result")

FINEST = 256  # parts of ε that the smallest one is told in where the format has no steps


@dataclass(eq=False)
class Cost:
    """What was asked of the model."""

    gradients: int = 0
    passes: int = 0

    def count(self, ask: Ask) -> None:
        """Take in one ask."""
        if ask.trace.gradient:
            self.gradients += ask.n
        else:
            self.passes += ask.n


def smallest(attack: Attack, ball: Ball, goal: Goal) -> Generator[Ask, Answer, tuple[Perturbed, float | None]]:
    """Return what an attack finds with the smallest ε it can do with, and that ε as a share of the ball's.

    By bisection: of a whole ε in the steps of the format, else in 256 parts. ε is None where the attack doesn't reach
    its goal in the whole ball. It is what this attack needs, so an upper bound: where a larger ε fails and a smaller
    one doesn't, bisection may miss the smaller. An attack that looks for the nearest point itself is asked once, and
    the way to what it found is shortened by bisection.
    """
    found = yield from attack.perturb(ball, goal)
    if not found.reached:
        return found, None
    if attack.minimal:
        found = yield from _shortened(ball, goal, found)
        return found, ball.length(found.values)
    parts = _parts(ball)
    low, high = 0, min(parts, math.ceil(parts * ball.length(found.values) - 1e-9))
    while high - low > 1:
        middle = (low + high) // 2
        trial = yield from attack.perturb(ball.within(middle / parts), goal)
        if trial.reached:
            # It may have stayed within less than it was allowed.
            shorter = math.ceil(parts * ball.length(trial.values) - 1e-9)
            found, high = trial, max(low + 1, min(middle, shorter))
        else:
            low = middle
    return found, high / parts


def _shortened(ball: Ball, goal: Goal, found: Perturbed) -> Generator[Ask, Answer, Perturbed]:
    """Return the nearest point that reaches the goal on the straight way to one that does, as bisection finds it."""
    way = {name: (found.values[name] - reach.start) / reach.epsilon for name, reach in ball.reaches.items()}
    trace, about = Trace(space=goal.space, gradient=False), goal.objective()
    low, high = 0, FINEST
    while high - low > 1:
        middle = (low + high) // 2
        moves = {name: middle / FINEST * each for name, each in way.items()}
        seen = yield from look(ball, moves, trace, about)
        if goal.reached(seen.top):
            found, high = replace(found, values=seen.values, top=seen.top), middle
        else:
            low = middle
    return found


def _parts(ball: Ball) -> int:
    """Return into how many parts ε is cut: its whole steps, where all inputs have the same."""
    radii = {reach.epsilon for reach in ball.reaches.values()}
    whole = all(reach.whole for reach in ball.reaches.values())
    return max(1, math.floor(radii.pop() + 1e-9)) if whole and len(radii) == 1 else FINEST


def driven(program: Generator[Ask, Answer, Result], cost: Cost) -> Generator[Query, Reply, Result]:
    """Drive an attack, or a search with it, by a run's queries, and count them."""
    try:
        ask = next(program)
        while True:
            cost.count(ask)
            reply = yield Query(ask, weights=ask.about)
            ask = program.send(reply.answer)
    except StopIteration as stop:
        return cast(Result, stop.value)
