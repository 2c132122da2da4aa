"""One step of length ε along the sign of the loss's gradient: the quickest attack, and the weakest.

Definition
    x′ = x + ε sign ∂L/∂x within the valid range; in ℓ2 x′ = x + ε g/‖g‖₂ with g = ∂L/∂x. L = −log p_y, y the true
    class, or for a target t: L = log p_t. The direction is that of log(p/(1 − p)), taken from the logits: the
    same one, and it is not lost where the softmax is saturated. `margin`: L = max_{j≠y} z_j − z_y.

When it misleads
    Where it finds nothing, a longer search often does, and a larger ε may fail where a smaller one did not: it
    says little about how robust a model is.

Source
    Goodfellow, Shlens, Szegedy 2015, Explaining and Harnessing Adversarial Examples, arXiv:1412.6572, section 4;
    ℓ2: Miyato et al. 2017, arXiv:1605.07725, section 3.

Differs from
    Foolbox and ART, which go along the gradient of the softmax's own cross-entropy: in float32 it is zero, or
    lacks the true class's part, where p_y rounds to 1. ε is in the units of the file, not of the model.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from msgspec import Meta

from saliency_cli.differentiable import Trace
from saliency_cli.threat import SPACES, Ball, Goal, Loss, Perturbed, Perturbing, look

__all__ = ["Fgsm"]


@dataclass(frozen=True)
class Fgsm:
    """Fast gradient sign method; in ℓ2 the fast gradient method."""

    loss: Annotated[Loss, Meta(description="what grows: cross-entropy, or the margin between two logits")] = (
        "cross-entropy"
    )

    minimal: ClassVar[bool] = False

    @property
    def cost(self) -> str:
        """The direction, and the point it leads to."""
        return "1 gradient and 1 forward pass"

    def perturb(self, ball: Ball, goal: Goal) -> Perturbing:
        """Ask for the gradient at the sample, then for the class on top at the end of the step."""
        space, about = SPACES[self.loss], goal.objective()
        here = yield from look(ball, ball.still(), Trace(space=space), about)
        moves = ball.projected(ball.steepest(here.slopes))
        seen = yield from look(ball, moves, Trace(space=space, gradient=False), about)
        stuck = not any(slope.any() for slope in here.slopes.values())
        return Perturbed(seen.values, goal.reached(seen.top), seen.top, 1, stuck)
