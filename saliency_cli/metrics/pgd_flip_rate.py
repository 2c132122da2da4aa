"""Whether a search in a small ball around the sample finds another class: 1 if so, 0 if not.

Definition
    From a point drawn uniformly in the ball |xᵢ′ − xᵢ| ≤ ε rᵢ, `steps` times x′ ← clip(x′ + α r ⊙ sign ∂L/∂x′),
    α = 2.5 ε / steps, clipped to the ball and to the valid range, whose width is r. L = −log p_y, y the true
    class where it is known and the one on top else. 1 as soon as a point of the way, or the sample itself,
    has another class on top than y, else 0: the mean over samples is the rate. The direction is taken from
    the logits (see fgsm-flip-eps).

When it misleads
    0 says that this search found nothing, not that nothing is there; with masked gradients (quantisation,
    saturation inside the model, randomness) it finds little. The rate is one of an ε: state it.

Source
    Madry et al. 2018, Towards Deep Learning Models Resistant to Adversarial Attacks, arXiv:1706.06083,
    section 2.1.

Differs from
    Madry's evaluation, which looks at the last point only: every point on the way is in the ball as well.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta

from saliency_cli.differentiable import VALUES, Arrays, Ask, Point, Trace
from saliency_cli.metrics.fgsm_flip_eps import away
from saliency_cli.subject import NOT_FINITE, Better, Measured, Measurement, Need, Subject

__all__ = ["PgdFlipRate"]


@dataclass(frozen=True)
class PgdFlipRate:
    """1 where projected gradient ascent of the loss changes the prediction, else 0."""

    epsilon: Annotated[float, Meta(gt=0, le=1, description="radius of the ball, as a share of the input's range")] = (
        4 / 255
    )
    steps: Annotated[int, Meta(ge=1, le=10_000, description="steps of the search")] = 20

    better: ClassVar[Better] = "lower"
    lowest: ClassVar[float] = 0.0
    highest: ClassVar[float] = 1.0
    unit: ClassVar[str] = ""
    needs: ClassVar[frozenset[Need]] = frozenset({"classes", "limits"})

    @property
    def cost(self) -> str:
        """A gradient a step, and a forward pass for its direction; fewer where something is found."""
        return f"up to {self.steps} gradients and {self.steps + 1} forward passes"

    def measure(self, subject: Subject) -> Measurement:
        """Ask for the class on top and then for the direction, step after step."""
        truth, moved = subject.truth, False
        if subject.top != truth:
            return Measured(1.0)
        if subject.logits.size < 2:
            return Measured(np.nan, "there is no other class")
        draws = {name: subject.sample.generator(f"pgd-flip-rate|{name}", 0) for name in subject.spans()}
        start = {name: draw.uniform(-1, 1, subject.sample.inputs[name].shape) for name, draw in draws.items()}
        here = self._inside(subject, {name: self.epsilon * step for name, step in start.items()})
        for step in range(self.steps + 1):
            reached = yield Ask(1, _at(subject, here), np.zeros(1), trace=VALUES)
            if not np.isfinite(reached.values).all():
                return Measured(np.nan, NOT_FINITE)
            if reached.tops[0] != truth:
                return Measured(1.0)
            if step < self.steps:
                trace, about = Trace(space=subject.logit_space), away(reached.logits, truth)
                answer = yield Ask(1, _at(subject, here), np.ones(1), trace=trace, about=about)
                signs = {name: np.sign(answer.gradients[name]) for name in here}
                moved = moved or any(np.any(sign) for sign in signs.values())
                here = self._inside(subject, {n: here[n] + 2.5 * self.epsilon / self.steps * signs[n] for n in here})
        return Measured(0.0) if moved else Measured(np.nan, "the loss has no gradient")

    def _inside(self, subject: Subject, away_by: Arrays) -> Arrays:
        """Project a displacement, in shares of the range, into the ball and the valid range."""
        found = {}
        for name, span in subject.spans().items():
            x, (low, high) = np.asarray(subject.sample.inputs[name], np.float64), subject.limits[name]
            moved = x + span * np.clip(away_by[name], -self.epsilon, self.epsilon)
            share = np.divide(np.clip(moved, low, high) - x, span, out=np.zeros(x.shape), where=span > 0)
            found[name] = share
        return found


def _at(subject: Subject, away_by: Arrays) -> Point:
    """Return the point that lies away from the sample by shares of the range."""

    def point(_: int, out: Arrays) -> None:
        subject.sample.write(out)
        for name, span in subject.spans().items():
            out[name][...] = subject.sample.inputs[name] + span * away_by[name]

    return point
