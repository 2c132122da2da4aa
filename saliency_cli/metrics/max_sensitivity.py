"""Largest change of the map among small changes of the input.

Definition
    max over n draws of ‖Φ(x + δ) − Φ(x)‖₂ / ‖Φ(x)‖₂, Φ the signed map over every differentiated input, δ
    uniform in ±r (max x − min x) for each input on its own, not clipped to the valid range. The method is
    run again with the target, the baseline and the noise of the unperturbed sample: what a method draws at
    random is the same in both maps, so only the input's change is measured. 0 does not move; 1 changes by as
    much as the whole map.

When it misleads
    A map that ignores the model does not move at all. A maximum over few draws is a lower bound of what r
    can do. Samples of little contrast get small δ.

Source
    Yeh et al. 2019, On the (In)fidelity and Sensitivity of Explanations, arXiv:1901.09392, definition 3.

Differs from
    Captum (δ absolute, ±0.02 whatever the input's range) and Quantus (absolute, ±0.2), and both in that a
    method's own noise is drawn anew there, and measured with the rest.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta

from saliency_cli.differentiable import Arrays, Sample
from saliency_cli.subject import Better, Measured, Measurement, Need, Subject, flatten

__all__ = ["MaxSensitivity"]

NO_RANGE = "the sample is constant: it has no range to move in"


@dataclass(frozen=True)
class MaxSensitivity:
    """Largest relative change of the map within a small ℓ∞ ball."""

    radius: Annotated[
        float, Meta(gt=0, le=1, description="largest change of a value, as a share of the sample's range, max − min")
    ] = 0.02
    draws: Annotated[int, Meta(ge=1, le=100_000, description="changed copies")] = 10

    better: ClassVar[Better] = "lower"
    lowest: ClassVar[float] = 0.0
    highest: ClassVar[float] = float("inf")
    unit: ClassVar[str] = ""
    needs: ClassVar[frozenset[Need]] = frozenset({"map"})

    @property
    def cost(self) -> str:
        """A map for every draw."""
        return f"{self.draws} maps"

    def measure(self, subject: Subject) -> Measurement:
        """Run the method on every changed copy."""
        sample, largest = subject.sample, 0.0
        x, here = flatten(sample.inputs, sample.floating), subject.flat()
        size = float(np.linalg.norm(here))
        if not size > 0:
            return Measured(np.nan, "the map is zero everywhere")
        for draw in range(self.draws):
            arrays = neighbour(sample, "max-sensitivity", draw, self.radius)
            if not np.any(flatten(arrays, sample.floating) - x):
                return Measured(np.nan, NO_RANGE)
            found = yield from subject.again(arrays)
            change = float(np.linalg.norm(flatten(found.values, sample.floating) - here)) / size
            if not np.isfinite(change):
                return Measured(np.nan, "the map of a changed copy is not finite")
            largest = max(largest, change)
        return Measured(largest)


def neighbour(sample: Sample, purpose: str, draw: int, radius: float) -> Arrays:
    """Return x + δ for every differentiated input, δ uniform in ±radius · (max − min)."""
    found = {}
    for name in sample.floating:
        x = sample.inputs[name]
        reach = radius * (float(x.max()) - float(x.min()))
        delta = sample.generator(f"{purpose}|{name}", draw).uniform(-reach, reach, x.shape)
        found[name] = np.asarray(x + delta, x.dtype)
    return found
