"""Local Lipschitz estimate of the map: how fast it changes with the input.

Definition
    max over n draws of ‖Φ̂(x + δ) − Φ̂(x)‖₂ / ‖δ‖₂, Φ̂ = Φ/‖Φ‖₂ the signed map over every differentiated
    input at length 1, δ uniform in ±r (max x − min x) for each input on its own, in the model's input units.
    `unit-length=false` takes the map as it is. The method is run again with the target and the noise of the
    unperturbed sample.

When it misleads
    As it is, the map grows with the gradient, and an untrained network, which hardly reacts, comes out as
    the stablest: compare raw values with a baseline only. Either way it depends on the input's scale. A
    maximum over few draws is a lower bound.

Source
    Alvarez-Melis, Jaakkola 2018, On the Robustness of Interpretability Methods, arXiv:1806.08049, section 3.

Differs from
    Quantus, which takes the raw map (divided by its largest value), Gaussian δ of absolute σ = 0.1, and
    draws a method's own noise anew.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta

from saliency_cli.metrics.max_sensitivity import NO_RANGE, neighbour
from saliency_cli.subject import Better, Measured, Measurement, Need, Subject, flatten

__all__ = ["LocalLipschitz"]


@dataclass(frozen=True)
class LocalLipschitz:
    """Largest ratio of the map's change to the input's."""

    radius: Annotated[
        float, Meta(gt=0, le=1, description="largest change of a value, as a share of the sample's range, max − min")
    ] = 0.02
    draws: Annotated[int, Meta(ge=1, le=100_000, description="changed copies")] = 10
    unit_length: Annotated[bool, Meta(description="divide each map by its ℓ2 norm first")] = True

    better: ClassVar[Better] = "lower"
    lowest: ClassVar[float] = 0.0
    highest: ClassVar[float] = float("inf")
    needs: ClassVar[frozenset[Need]] = frozenset({"map"})

    @property
    def unit(self) -> str:
        """A map of length 1 has no unit of its own."""
        return "per unit of input" if self.unit_length else "map per unit of input"

    @property
    def cost(self) -> str:
        """A map for every draw."""
        return f"{self.draws} maps"

    def measure(self, subject: Subject) -> Measurement:
        """Run the method on every changed copy."""
        sample, largest = subject.sample, 0.0
        x, here = flatten(sample.inputs, sample.floating), subject.flat()
        size = float(np.linalg.norm(here)) if self.unit_length else 1.0
        if not size > 0:
            return Measured(np.nan, "the map is zero everywhere")
        for draw in range(self.draws):
            arrays = neighbour(sample, "local-lipschitz", draw, self.radius)
            distance = float(np.linalg.norm(flatten(arrays, sample.floating) - x))
            if not distance > 0:
                return Measured(np.nan, NO_RANGE)
            found = flatten((yield from subject.again(arrays)).values, sample.floating)
            length = float(np.linalg.norm(found)) if self.unit_length else 1.0
            if not np.isfinite(found).all() or not length > 0:
                return Measured(np.nan, "the map of a changed copy is zero everywhere or not finite")
            largest = max(largest, float(np.linalg.norm(found / length - here / size)) / distance)
        return Measured(largest)
