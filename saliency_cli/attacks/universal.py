"""One perturbation for all inputs together: the same change, whatever it is added to.

Definition
    From δ = 0, `steps` times δ ← Π(δ + α s), s = sign Σᵢ gᵢ in ℓ∞ and Σᵢ gᵢ / ‖Σᵢ gᵢ‖₂ in ℓ2, gᵢ = ∂L(xᵢ + δ)/∂x over
    the inputs that the step before has not brought to the goal, α = `stride` · ε / `steps`, Π the projection onto
    ‖δ‖ ≤ ε. xᵢ + δ is cut to the valid range; δ is rounded once to the steps of the format. L = −log p_y, y each
    input's true class, or for a target t: L = log p_t, the direction taken from the logits (see fgsm). It ends when
    every input has reached the goal; the last δ that brought most there is kept.

When it misleads
    It is made of the inputs that it is tried on, so its rate is higher than on others: make it of some and try it
    on others by adding the δ that is written. Inputs that differ much have little in common.

Source
    Moosavi-Dezfooli, Fawzi, Fawzi, Frossard 2017, Universal Adversarial Perturbations, arXiv:1610.08401; by gradients
    summed over inputs: Shafahi et al. 2020, Universal Adversarial Training, arXiv:1811.11304, section 3.

Differs from
    Moosavi-Dezfooli et al. and ART, which add up DeepFool's steps one input after another, so that the result
    depends on their order.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
from msgspec import Meta

from saliency_cli.differentiable import Answer, Array, Arrays, Ask, Trace
from saliency_cli.errors import InputError
from saliency_cli.threat import SPACES, Ball, Common, Goal, Loss, Perturbed, Perturbing, look_at

__all__ = ["Universal"]


class Member(NamedTuple):
    """One of the inputs, and what is looked for with it."""

    ball: Ball
    goal: Goal


@dataclass(frozen=True)
class Universal:
    """Projected gradient ascent of the sum of all inputs' losses."""

    steps: Annotated[int, Meta(ge=1, le=100_000, description="steps, each with a gradient of every input")] = 20
    stride: Annotated[float, Meta(gt=0, le=100, description="how long all steps are together, in ε")] = 2.5
    loss: Annotated[Loss, Meta(description="what grows: cross-entropy, or the margin between two logits")] = (
        "cross-entropy"
    )

    minimal: ClassVar[bool] = False

    @property
    def cost(self) -> str:
        """A gradient of every input and step, and a look at where the last one leads."""
        return f"up to {self.steps} gradients and 1 forward pass an input"

    def perturb(self, ball: Ball, goal: Goal) -> Perturbing:
        """Find the perturbation of one input alone, and look at it."""
        common = yield from self.perturb_all([Member(ball, goal)])
        trace = Trace(space=SPACES[self.loss], gradient=False)
        seen = yield from look_at(ball, ball.moved_by(common.delta), trace, goal.objective())
        return Perturbed(seen.values, goal.reached(seen.top), seen.top, common.steps, common.stuck)

    def perturb_all(self, members: Sequence[tuple[Ball, Goal]]) -> Generator[Ask, Answer, Common]:
        """Find the perturbation of all of them; they are looked up again and again, and may be made when they are.

        Raises `InputError` where the model gives nothing finite.
        """
        groups = _groups([goal for _, goal in members])
        anywhere = members[0][0].anywhere()
        moves, best = anywhere.still(), Common(anywhere.still(), 0, 0)
        reached = np.zeros(len(members), bool)
        for step in range(self.steps + 1):
            delta = anywhere.settled(moves)
            trace = Trace(space=SPACES[self.loss], gradient=step < self.steps)
            total: dict[str, Array] = {}
            for indices in groups:
                goal = members[indices[0]][1]
                weights = np.where(reached[indices], 0.0, 1.0)
                answer = yield _ask(members, indices, delta, weights, trace, goal.objective())
                reached[indices] = [goal.reached(int(top)) for top in answer.tops]
                _require_finite(answer.values)
                for name, gradient in answer.gradients.items():
                    total[name] = total.get(name, 0.0) + gradient
            if reached.sum() >= best.reached:
                best = Common(delta, int(reached.sum()), step)
            if reached.all() or step == self.steps:
                break
            way = anywhere.steepest(anywhere.pulled(total))
            if step == 0 and not any(each.any() for each in way.values()):
                return replace(best, stuck=True)
            length = self.stride / self.steps
            moves = anywhere.projected({name: moves[name] + length * way[name] for name in moves})
        return replace(best, steps=step)


def _groups(goals: Sequence[Goal]) -> list[Array]:
    """Return the indices of goals that are the same: an ask is about one."""
    found: dict[Goal, list[int]] = {}
    for index, goal in enumerate(goals):
        found.setdefault(goal, []).append(index)
    return [np.array(indices) for indices in found.values()]


def _require_finite(values: Array) -> None:
    bad = values[~np.isfinite(values)]
    if bad.size:
        raise InputError(
            f"the model's output is {bad[0]} at a perturbed point",
            hint="check the input's scale (--preprocess) and the model's weights",
            reason="non-finite-output",
        )


def _ask(
    members: Sequence[tuple[Ball, Goal]], indices: Array, delta: Arrays, weights: Array, trace: Trace, about: Array
) -> Ask:
    def point(i: int, out: Arrays) -> None:
        ball, _ = members[indices[i]]
        ball.write(ball.moved_by(delta), out)

    return Ask(len(indices), point, weights, trace=trace, about=about)
