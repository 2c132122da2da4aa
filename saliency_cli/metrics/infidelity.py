"""How badly the map predicts what noise does to the target.

Definition
    E[(IᵀΦ − (s(x) − s(x − I)))²] over n draws, I normal with σ = `noise` · (max x − min x) for each input on
    its own, Φ the signed map over every differentiated input. 0 is a map that tells every change exactly: the
    gradient of a linear model.

When it misleads
    Φ must be in units of the target per unit of input, as a gradient is; a map in units of the target
    (integrated gradients, gradient × input) is off by a factor of its own at every value. It grows with the
    square of the target's scale, and a network that hardly reacts has the lowest: compare it with a baseline,
    or take unexplained-fraction.

Source
    Yeh et al. 2019, On the (In)fidelity and Sensitivity of Explanations, arXiv:1901.09392, definition 2.

Differs from
    Quantus, which blackens square patches one after another and restores none; Captum, which
    leaves the perturbation to the caller.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta

from saliency_cli.differentiable import VALUES, Answer, Array, Arrays, Ask, Sample
from saliency_cli.subject import NOT_FINITE, Better, Measured, Measurement, Need, Subject

__all__ = ["Infidelity"]

CONSTANT = "the sample is constant: it has no range"


@dataclass(frozen=True)
class Infidelity:
    """Mean squared difference between what the map predicts and what the target does."""

    noise: Annotated[float, Meta(gt=0, le=1, description="σ as a share of the sample's range, max − min")] = 0.01
    draws: Annotated[int, Meta(ge=1, le=1_000_000, description="perturbed copies")] = 100

    better: ClassVar[Better] = "lower"
    lowest: ClassVar[float] = 0.0
    highest: ClassVar[float] = float("inf")
    unit: ClassVar[str] = "target²"
    needs: ClassVar[frozenset[Need]] = frozenset({"map"})

    @property
    def cost(self) -> str:
        """A forward pass for every draw, and one beside them at the sample."""
        return f"{self.draws + 1} forward passes"

    def measure(self, subject: Subject) -> Measurement:
        """Ask for the target at every perturbed copy."""
        if is_constant(subject.sample):
            return Measured(np.nan, CONSTANT)
        predicted, dropped, _ = yield from predictions(subject, self.noise, self.draws)
        if not np.isfinite(dropped).all():
            return Measured(np.nan, NOT_FINITE)
        return Measured(float(np.mean((predicted - dropped) ** 2)))


def is_constant(sample: Sample) -> bool:
    """Whether every differentiated input holds one value throughout."""
    return all(bool((sample.inputs[name] == sample.inputs[name].flat[0]).all()) for name in sample.floating)


def predictions(subject: Subject, noise: float, draws: int) -> Generator[Ask, Answer, tuple[Array, Array, float]]:
    """Return IᵀΦ and s(x) − s(x − I) for every draw of I, float64 `(draws,)` each, and s(x)."""
    sample, predicted = subject.sample, np.zeros(draws + 1)

    def point(draw: int, out: Arrays) -> None:
        sample.write(out)
        predicted[draw] = 0
        if draw == draws:  # the sample itself, by the same trace as the others
            return
        for name in sample.floating:
            x = sample.inputs[name]
            sigma = noise * (float(x.max()) - float(x.min()))
            out[name][...] = x - sigma * sample.generator(f"infidelity|{name}", draw).standard_normal(x.shape)
            if name in subject.attribution:
                # What was subtracted is read back, rounding included: it is what the target sees.
                moved = np.subtract(x, out[name], dtype=np.float64)
                predicted[draw] += float((moved * subject.attribution[name]).sum())

    answer = yield Ask(draws + 1, point, np.zeros(draws + 1), trace=VALUES)
    value = float(answer.values[-1])
    return predicted[:-1], value - answer.values[:-1], value
