"""Smallest step along the sign of the loss's gradient that changes the prediction.

Definition
    The smallest ε of a grid for which the class on top at clip(x + ε r ⊙ sign ∂L/∂x) is not y: L = −log p_y,
    y the true class where it is known and the one on top else, r the width of each value's valid range, into
    which the point is clipped. The grid halves from `largest`: by default ½, 1, 2, 4, 8 and 16 of 255.
    0 where the sample is wrong already; infinity, with the largest ε tried, where none changes it.
    The direction is taken from the logits, ∂L/∂x up to a positive factor = ∂(Σ q_j z_j − z_y)/∂x with q the
    softmax over the other classes: it is not lost where the softmax is saturated.

When it misleads
    One step along one gradient is a weak attack: infinity is no proof of robustness. A larger step may fail
    where a smaller one succeeded. Without labels wrong predictions count as right ones.

Source
    Goodfellow, Shlens, Szegedy 2015, Explaining and Harnessing Adversarial Examples, arXiv:1412.6572,
    section 4.

Differs from
    ART's `empirical_robustness`, which is 0 where no attack succeeds, the same as where every one does. The
    gradient of a float32 softmax, which turns to zero or to the wrong sign once p_y rounds to 1.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta

from saliency_cli.differentiable import VALUES, Array, Arrays, Ask, Trace
from saliency_cli.subject import NOT_FINITE, Better, Measured, Measurement, Need, Subject

__all__ = ["FgsmFlipEps"]


@dataclass(frozen=True)
class FgsmFlipEps:
    """Smallest ε of a halving grid whose FGSM point has another class on top."""

    largest: Annotated[
        float, Meta(gt=0, le=1, description="the largest ε tried, as a share of the input's range")
    ] = 16 / 255
    halvings: Annotated[int, Meta(ge=0, le=50, description="how often ε is halved from there")] = 5

    better: ClassVar[Better] = "higher"
    lowest: ClassVar[float] = 0.0
    highest: ClassVar[float] = float("inf")
    unit: ClassVar[str] = "share of the input's range"
    needs: ClassVar[frozenset[Need]] = frozenset({"classes", "limits"})

    @property
    def cost(self) -> str:
        """The direction, and a point for every ε."""
        return f"1 gradient and {self.halvings + 1} forward passes"

    def measure(self, subject: Subject) -> Measurement:
        """Ask for the direction, then for the class on top at every ε."""
        sample, truth, spans = subject.sample, subject.truth, subject.spans()
        if subject.top != truth:
            return Measured(0.0)
        if subject.logits.size < 2:
            return Measured(np.nan, "there is no other class")
        trace, about = Trace(space=subject.logit_space), away(subject.logits, truth)
        answer = yield Ask(1, lambda _, out: sample.write(out), np.ones(1), trace=trace, about=about)
        steps = {name: span * np.sign(answer.gradients[name]) for name, span in spans.items()}
        if not any(np.any(step) for step in steps.values()):
            return Measured(np.nan, "the loss has no gradient")
        grid = self.largest * 0.5 ** np.arange(self.halvings, -1, -1)

        def point(k: int, out: Arrays) -> None:
            sample.write(out)
            for name, step in steps.items():
                low, high = subject.limits[name]
                out[name][...] = np.clip(sample.inputs[name] + grid[k] * step, low, high)

        answer = yield Ask(grid.size, point, np.zeros(grid.size), trace=VALUES)
        if not np.isfinite(answer.values).all():
            return Measured(np.nan, NOT_FINITE)
        flipped = grid[answer.tops != truth]
        return Measured(float(flipped[0])) if flipped.size else Measured(np.inf, f"> {self.largest:.3g}")


def away(logits: Array, label: int) -> Array:
    """Return the class weights whose gradient is that of −log p of `label`, up to a positive factor.

    Σ_j q_j z_j − z_label with q the softmax over the other classes: (p − y) / (1 − p_label), without the
    cancellation.
    """
    others = np.array(logits, np.float64)
    others[label] = -np.inf
    weights = np.exp(others - others.max())
    weights /= weights.sum()
    weights[label] = -1
    return np.asarray(weights, np.float32)
