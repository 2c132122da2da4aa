"""Gradient of the target with respect to the input: what would change it most, at this very point.

Definition
    φ = ∂s/∂x at the unperturbed sample x, where s is the target. No noise, no baseline, no absolute value.

When it misleads
    It is local: where the model saturates it is small although the input matters, and in networks with
    ReLUs it is noisy from pixel to pixel. It says where a small change acts, not what the score is made of.

Source
    Simonyan, Vedaldi, Zisserman 2013, Deep Inside Convolutional Networks, arXiv:1312.6034, section 3.
    Baehrens et al. 2010, How to Explain Individual Classification Decisions, JMLR 11.

Often mistaken for
    Its absolute value, or its maximum over channels, which is how it is drawn (`--reduce max`); the
    array keeps the signed gradient of every channel.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from saliency_cli.differentiable import Attributing, Explanation, Reduce, Sample

__all__ = ["Gradient"]


@dataclass(frozen=True)
class Gradient:
    """φ = ∂s/∂x."""

    reduce: ClassVar[Reduce] = "max"
    unit: ClassVar[str] = "target per unit of input"
    signed: ClassVar[bool] = True

    def attribute(self, sample: Sample) -> Attributing:
        """Ask once, for the gradient at the sample."""
        answer = yield sample.itself()
        return Explanation({name: np.asarray(g, np.float32) for name, g in answer.gradients.items()})
