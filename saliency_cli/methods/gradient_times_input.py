"""Gradient times input: the share of the target that each value holds, to first order.

Definition
    φ = x ⊙ ∂s/∂x at the unperturbed sample x, with x in the model's own units (after preparing).

When it misleads
    It is zero wherever the input is zero, whatever the model does there, so it depends on how the input
    was scaled and shifted: a black pixel gets nothing under [0, 1] scaling and something under [−1, 1].

Source
    Shrikumar, Greenside, Shcherbina, Kundaje 2016, Not Just a Black Box, arXiv:1605.01713, section 3.

Often mistaken for
    Integrated gradients with a zero baseline: the two agree only where the model is linear.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from saliency_cli.differentiable import Attributing, Explanation, Reduce, Sample

__all__ = ["GradientTimesInput"]


@dataclass(frozen=True)
class GradientTimesInput:
    """φ = x ⊙ ∂s/∂x."""

    reduce: ClassVar[Reduce] = "sum"
    unit: ClassVar[str] = "target"
    signed: ClassVar[bool] = True

    def attribute(self, sample: Sample) -> Attributing:
        """Ask once, for the gradient at the sample."""
        answer = yield sample.itself()
        found = {name: np.asarray(sample.inputs[name] * g, np.float32) for name, g in answer.gradients.items()}
        return Explanation(found)
