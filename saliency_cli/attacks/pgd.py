"""Many small steps that climb the loss, each brought back into the ball around the input: the standard search.

Definition
    x⁰ drawn uniformly from the ball ‖x − x₀‖ ≤ ε (`start=sample`: x₀ itself), then `steps` times
    xᵗ⁺¹ = Π(xᵗ + α s), s = sign ∂L/∂x in ℓ∞ and g/‖g‖₂ in ℓ2, α = `stride` · ε / `steps`; Π cuts to the ball and to
    the valid range. It ends at the first point that reaches the goal, else after `restarts` starts with the
    point of the highest loss. L = −log p_y, y the true class, or for a target t: L = log p_t, the direction
    taken from the logits (see fgsm); `margin`: L = max_{j≠y} z_j − z_y. Where the format has whole steps the
    gradient is taken at the rounded point while xᵗ itself keeps its fractions.

When it misleads
    Nothing found is no proof that nothing is there: with masked gradients (quantisation, saturation inside the
    model, randomness) it finds little. More `restarts` and the other loss are worth a try.

Source
    Madry et al. 2018, Towards Deep Learning Models Resistant to Adversarial Attacks, arXiv:1706.06083,
    section 2.1; the iterative form from the sample: Kurakin, Goodfellow, Bengio 2017, Adversarial Examples in the
    Physical World, arXiv:1607.02533, section 2.2.

Differs from
    Madry's, Foolbox's and ART's last point: every point on the way is in the ball too, so the first that reaches
    the goal is taken, which costs less, and where none does the one of the highest loss.
"""

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from saliency_cli.differentiable import Answer, Arrays, Ask, Trace
from saliency_cli.threat import SPACES, Ball, Goal, Loss, Perturbed, Perturbing, Seen, look

__all__ = ["Pgd"]

PRESETS = {
    "iterative": (
        "Several FGSM steps from the input itself: the basic iterative method (BIM, I-FGSM).",
        {"start": "sample", "steps": 10, "stride": 1.25},
    ),
}


@dataclass(frozen=True)
class Pgd:
    """Projected gradient ascent of the loss."""

    steps: Annotated[int, Meta(ge=1, le=100_000, description="steps of a search")] = 20
    stride: Annotated[float, Meta(gt=0, le=100, description="how long all steps of a search are together, in ε")] = (
        2.5
    )
    restarts: Annotated[int, Meta(ge=1, le=10_000, description="searches, each from a start of its own")] = 1
    start: Annotated[
        Literal["random", "sample"],
        Meta(description="where the first search begins: at a random point of the ball, or at the input"),
    ] = "random"
    loss: Annotated[Loss, Meta(description="what grows: cross-entropy, or the margin between two logits")] = (
        "cross-entropy"
    )

    minimal: ClassVar[bool] = False

    @property
    def cost(self) -> str:
        """A gradient a step, and a look at where the last one leads."""
        gradients, passes = self.steps * self.restarts, self.restarts
        return f"up to {gradients} gradients and {passes} forward pass{'es' if passes > 1 else ''}"

    def perturb(self, ball: Ball, goal: Goal) -> Perturbing:
        """Climb from one start after another until a point reaches the goal."""
        best: Seen | None = None
        stuck, steps = True, 0
        for draw in range(self.restarts):
            first = ball.still() if self.start == "sample" and draw == 0 else ball.drawn(draw)
            seen, taken, moved = yield from self._climbed(ball, goal, first)
            stuck, steps = stuck and not moved, steps + taken
            if goal.reached(seen.top):
                return Perturbed(seen.values, True, seen.top, steps)
            best = seen if best is None or seen.objective > best.objective else best
        assert best is not None
        return Perturbed(best.values, False, best.top, steps, stuck)

    def _climbed(self, ball: Ball, goal: Goal, moves: Arrays) -> Generator[Ask, Answer, tuple[Seen, int, bool]]:
        """Return the first point that reaches the goal, else the best; the steps taken; whether any moved."""
        trace, about = Trace(space=SPACES[self.loss]), goal.objective()
        best: Seen | None = None
        moved = False
        for step in range(self.steps):
            seen = yield from look(ball, moves, trace, about)
            if goal.reached(seen.top):
                return seen, step, moved
            best = seen if best is None or seen.objective > best.objective else best
            moved = moved or any(slope.any() for slope in seen.slopes.values())
            way = ball.steepest(seen.slopes)
            length = self.stride / self.steps
            moves = ball.projected({name: moves[name] + length * way[name] for name in moves})
        seen = yield from look(ball, moves, replace(trace, gradient=False), about)
        assert best is not None
        return seen if goal.reached(seen.top) or seen.objective > best.objective else best, self.steps, moved
