"""Guided backpropagation: the gradient with all that is negative left out at every ReLU.

Definition
    φ = ∂s/∂x with another derivative of ReLU. With g what comes back to a ReLU and z what went in:
    `guided` g·1[g > 0]·1[z > 0]; `deconvnet` g·1[g > 0], whatever z was (the gradient itself is g·1[z > 0]).
    A ReLU that is cut off at 6 counts among them (it is on where 0 < z < 6), and so does a maximum with 0; not one
    that another activation is written with (PReLU, hard swish). All else goes back by its derivative. `patched` in
    the record counts the ReLUs, `unpatched` other activations on the way.

When it misleads
    It draws edges well and says little about the target: maps of other classes, and of networks with random
    upper layers, look nearly the same. It is no gradient: its size means nothing, and it does not add up.
    Where other activations than ReLU stand beside ReLUs only part of the network is guided (the flag
    `unpatched-activations`); a network without ReLUs (swish, GELU, tanh) is refused.

Source
    Springenberg, Dosovitskiy, Brox, Riedmiller 2014, Striving for Simplicity, arXiv:1412.6806, section 3.4.
    Deconvnet: Zeiler, Fergus 2013, Visualizing and Understanding Convolutional Networks, arXiv:1311.2901.
    Against both: Adebayo et al. 2018, Sanity Checks for Saliency Maps, arXiv:1810.03292; Nie, Zhang, Patel 2018,
    arXiv:1805.07039.

Differs from
    tf-keras-vis and Xplique, which find ReLUs at the top level of a Keras model only and return the plain gradient
    for nested ones without a word; Zeiler's deconvnet also normalises contrast on the way.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from msgspec import Meta

from saliency_cli.differentiable import Ask, Attributing, Explanation, Reduce, Sample, Trace

__all__ = ["GuidedBackprop"]

PRESETS = {
    "deconvnet": ("The gradient with ReLU put on the way back instead of the way there.", {"form": "deconvnet"}),
}


@dataclass(frozen=True)
class GuidedBackprop:
    """φ = ∂s/∂x with another derivative of ReLU."""

    form: Annotated[Literal["guided", "deconvnet"], Meta(description="what a ReLU lets back")] = "guided"

    reduce: ClassVar[Reduce] = "max"
    unit: ClassVar[str] = "target per unit of input, of what rises only"
    signed: ClassVar[bool] = True

    @property
    def traces(self) -> tuple[Trace]:
        """What it asks by."""
        return (Trace(rule=f"guided:form={self.form}"),)

    def attribute(self, sample: Sample) -> Attributing:
        """Ask once, by the rule."""
        answer = yield Ask(1, lambda _, out: sample.write(out), np.ones(1), trace=self.traces[0])
        details = {name: float(number) for name, number in answer.activations.items()}
        values = {name: np.asarray(g, np.float32) for name, g in answer.gradients.items()}
        return Explanation(values, details, ("unpatched-activations",) if details.get("unpatched") else ())
