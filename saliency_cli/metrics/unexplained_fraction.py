"""Share of what small noise does to the target that the map does not predict.

Definition
    min_β E[(β IᵀΦ − Δ)²] / E[Δ²], Δ = s(x) − s(x − I), over n draws, I normal with
    σ = `noise` · (max x − min x) for each input on its own: infidelity with the best scale of the map, as a
    share of what there was to predict. 0: the map tells every change up to one factor (which may be
    negative); 1: it tells nothing, as a map of zeros does.

When it misleads
    It asks for the gradient: the smaller σ, the closer the model is to linear, and at large σ no map does
    well (on a small network 0.18 at σ = 0.01, 0.98 at 0.2). A map in units of the target, or one without
    signs, is another thing and scores badly however right it may be. A model that computes in few digits
    (float16, quantised) has noise of its own that no map explains.

Source
    Yeh et al. 2019, On the (In)fidelity and Sensitivity of Explanations, arXiv:1901.09392, section 3: the
    optimal scaling of definition 2. The share of E[Δ²] is ours.

Differs from
    Captum's `normalize=True`, which scales the map likewise and leaves the result in target².
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta

from saliency_cli.metrics.infidelity import CONSTANT, is_constant, predictions
from saliency_cli.subject import NOT_FINITE, Better, Measured, Measurement, Need, Subject, is_rounding

__all__ = ["UnexplainedFraction"]


@dataclass(frozen=True)
class UnexplainedFraction:
    """Infidelity of the best-scaled map, as a share of the mean squared change."""

    noise: Annotated[float, Meta(gt=0, le=1, description="σ as a share of the sample's range, max − min")] = 0.01
    draws: Annotated[int, Meta(ge=2, le=1_000_000, description="perturbed copies")] = 100

    better: ClassVar[Better] = "lower"
    lowest: ClassVar[float] = 0.0
    highest: ClassVar[float] = 1.0
    unit: ClassVar[str] = ""
    needs: ClassVar[frozenset[Need]] = frozenset({"map"})

    @property
    def cost(self) -> str:
        """A forward pass for every draw, and one beside them at the sample."""
        return f"{self.draws + 1} forward passes"

    def measure(self, subject: Subject) -> Measurement:
        """Ask for the target at every perturbed copy, and fit one factor."""
        if is_constant(subject.sample):
            return Measured(np.nan, CONSTANT)
        predicted, dropped, value = yield from predictions(subject, self.noise, self.draws)
        if not np.isfinite(dropped).all():
            return Measured(np.nan, NOT_FINITE)
        if is_rounding(dropped, value):
            return Measured(np.nan, "the target does not change beyond its rounding")
        squares = float(predicted @ predicted)
        factor = float(predicted @ dropped) / squares if squares > 0 else 0.0
        left = factor * predicted - dropped
        return Measured(min(1.0, float(left @ left) / float(dropped @ dropped)))
