"""The nearest class boundary, found by taking the model for linear again and again: how little it takes.

Definition
    From δ = 0: at x = x₀ + (1 + `overshoot`) δ, for each of the `rivals` classes k that score highest beside the
    true class y, f = z_k − z_y and w = ∂f/∂x; the boundary of the linear model is |f|/‖w‖₂ away (in ℓ∞ |f|/‖w‖₁), and
    δ goes to the nearest one: δ ← δ + |f|/‖w‖₂² · w (ℓ∞: |f|/‖w‖₁ · sign w), within the valid range. It ends where
    another class is on top, or after `steps`. A target is the only rival,
    and y then whichever class is on top. Of a linear model it is exact.
    ε is no bound of the search: it tells which results count.

When it misleads
    Each step is only as good as the linear model: the point found need not be the nearest. Classes that are not
    among the `rivals` at the input are not looked at.

Source
    Moosavi-Dezfooli, Fawzi, Frossard 2016, DeepFool: a Simple and Accurate Method to Fool Deep Neural Networks,
    arXiv:1511.04599, algorithm 2 and section 3.3.

Differs from
    The authors' code and Foolbox, which cut to the valid range only at the end: here a value at an end of its range
    is left out of w where it would be moved beyond it.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta

from saliency_cli.differentiable import Answer, Arrays, Ask, Trace
from saliency_cli.threat import Ball, Goal, Perturbed, Perturbing, Seen, euclidean, look

__all__ = ["Deepfool"]


@dataclass(frozen=True)
class Deepfool:
    """Steps to the nearest boundary of the linear model, until it is crossed."""

    steps: Annotated[int, Meta(ge=1, le=10_000, description="steps at most")] = 50
    overshoot: Annotated[float, Meta(ge=0, le=10, description="how far beyond the boundary, as a share")] = 0.02
    rivals: Annotated[int, Meta(ge=1, le=10_000, description="classes whose boundaries are looked at")] = 10

    minimal: ClassVar[bool] = True

    @property
    def cost(self) -> str:
        """A gradient for every rival and step, and one more to see."""
        return f"up to {self.steps * self.rivals + 1} gradients"

    def perturb(self, ball: Ball, goal: Goal) -> Perturbing:
        """Ask for every rival's margin and its gradient, step after step."""
        moves, leader = ball.still(), goal.truth
        rivals: tuple[int, ...] = () if goal.target is None else (goal.target,)
        for step in range(self.steps + 1):
            beyond = ball.projected({name: (1 + self.overshoot) * move for name, move in moves.items()})
            first = rivals[0] if rivals else int(leader == 0)
            seen = yield from _faced(ball, beyond, goal, first, leader)
            if goal.reached(seen.top) or step == self.steps:
                break
            if goal.target is not None and seen.top != leader:
                leader = seen.top  # a third class is ahead of the target now
                seen = yield from _faced(ball, beyond, goal, first, leader)
            known = {first: seen}
            if not rivals:
                order = np.argsort(-seen.logits, kind="stable")
                rivals = tuple(int(k) for k in order if k != leader)[: self.rivals]
            for rival in rivals:
                if rival not in known:
                    known[rival] = yield from _faced(ball, beyond, goal, rival, leader)
            ways = [_way(ball, beyond, known[rival], rival, leader) for rival in rivals]
            length, way = min(ways, key=lambda each: each[0])
            if not np.isfinite(length):
                return Perturbed(seen.values, False, seen.top, step, stuck=step == 0)
            moves = {name: moves[name] + length * way[name] for name in moves}
        return Perturbed(seen.values, goal.reached(seen.top), seen.top, step)


def _faced(ball: Ball, moves: Arrays, goal: Goal, rival: int, leader: int) -> Generator[Ask, Answer, Seen]:
    """Ask for a rival's margin over the class ahead, and its gradient."""
    return (yield from look(ball, moves, Trace(space=goal.space), goal.one(rival) - goal.one(leader)))


def _way(ball: Ball, moves: Arrays, seen: Seen, rival: int, leader: int) -> tuple[float, Arrays]:
    """Return how far a rival's boundary is by the linear model, infinitely where it is flat, and the direction."""
    slopes = ball.free(moves, seen.slopes)
    # On the boundary itself there would be no step, and none is to go nowhere.
    gap = max(float(seen.logits[leader] - seen.logits[rival]), 1e-6 * (1 + abs(float(seen.logits[rival]))))
    size = euclidean(slopes) if ball.norm == "2" else sum(float(np.abs(slope).sum()) for slope in slopes.values())
    return (gap / size if size > 0 else float("inf")), ball.steepest(slopes)
