"""How far the map's sum is from the change of the target it should share out.

Definition
    |Σφ − (s(x) − s(x′))| / |s(x) − s(x′)|, φ the signed map over every differentiated input and x′ the
    baseline, to which every input moves: 0 is completeness; 0.1 leaves a tenth of the change unaccounted for.

When it misleads
    It means something for maps in units of the target that promise completeness (integrated gradients with
    this very baseline; gradient × input of a linear model without bias from a baseline of zero). For a
    gradient, a SmoothGrad or any map without signs it is a number without meaning. A right sum is no right
    map: any map can be scaled to have it.

Source
    Sundararajan, Taly, Yan 2017, Axiomatic Attribution for Deep Networks, arXiv:1703.01365, section 3.

Differs from
    Captum's convergence delta, which has a sign and the target's unit; Quantus's Completeness, which asks for
    equality of floating-point numbers and so is False throughout.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta

from saliency_cli.differentiable import VALUES, Arrays, Ask
from saliency_cli.subject import NOT_FINITE, Better, Measured, Measurement, Need, Subject, is_rounding

__all__ = ["CompletenessGap"]


@dataclass(frozen=True)
class CompletenessGap:
    """Relative difference between the map's sum and the change of the target from a baseline."""

    baseline: Annotated[
        str, Meta(description="what φ is relative to: black, white, zero, mean, min, max, blur, noise, or a file")
    ] = "black"

    better: ClassVar[Better] = "lower"
    lowest: ClassVar[float] = 0.0
    highest: ClassVar[float] = float("inf")
    unit: ClassVar[str] = ""
    needs: ClassVar[frozenset[Need]] = frozenset({"map"})
    cost: ClassVar[str] = "2 forward passes"

    def measure(self, subject: Subject) -> Measurement:
        """Ask for the target at the sample and at the baseline."""
        sample, absent = subject.sample, subject.sample.baseline(self.baseline)

        def point(i: int, out: Arrays) -> None:
            sample.write(out)
            for name in sample.floating if i else ():
                out[name][...] = absent[name]

        answer = yield Ask(2, point, np.zeros(2), trace=VALUES)
        if not np.isfinite(answer.values).all():
            return Measured(np.nan, NOT_FINITE)
        change = float(answer.values[0] - answer.values[1])
        if is_rounding(np.array(change), float(np.abs(answer.values).max())):
            return Measured(np.nan, f"the target at the baseline '{self.baseline}' is the same")
        return Measured(abs(float(subject.flat().sum()) - change) / abs(change))
