"""Area under the curve of the target while the highest places are inserted.

Definition
    As deletion, the other way about: everything is replaced by the baseline but the ⌊k d / n⌋ highest of the
    d places, k = 0…n, and the value is ∫ v over the share kept, 0 to 1, by trapezoids. v is the target read
    as a probability (`of=target`: its own value). Not normalised; `normalised=true` measures v from its value
    at the baseline (0) to the sample's (1). A good map has a large area.

When it misleads
    A few pixels on a flat ground are unlike anything the model was trained on. Unnormalised it follows how
    sure the model was in the first place. The map's signs play no part.

Source
    Petsiuk, Das, Saenko 2018, RISE, arXiv:1806.07421, section 4.1. Normalised: Schulz et al. 2020, Restricting
    the Flow, arXiv:2001.00396, section 4.4.

Differs from
    RISE, which inserts into a blurred picture (`baseline=blur` does; it is not the default because it means
    nothing for a table) and ranks signed maps by value. Xplique, which weighs unequal steps equally.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from msgspec import Meta

from saliency_cli.metrics.deletion import Reading, area, even_steps, needs_of, with_replaced
from saliency_cli.subject import Better, Measurement, Need, Subject

__all__ = ["Insertion"]


@dataclass(frozen=True)
class Insertion:
    """Area under the insertion curve."""

    steps: Annotated[int, Meta(ge=1, le=100_000, description="steps from nothing to everything inserted")] = 32
    baseline: Annotated[
        str, Meta(description="what it is inserted into: black, white, zero, mean, min, max, blur, noise, or a file")
    ] = "black"
    of: Annotated[Reading, Meta(description="the curve's value: the target's probability, or its own value")] = (
        "probability"
    )
    normalised: Annotated[bool, Meta(description="scale the curve to 0 at the baseline and 1 at the sample")] = False

    better: ClassVar[Better] = "higher"
    lowest: ClassVar[float] = float("-inf")
    highest: ClassVar[float] = float("inf")

    @property
    def unit(self) -> str:
        """The curve's own unit, none where it is scaled."""
        return "" if self.normalised else self.of

    @property
    def needs(self) -> frozenset[Need]:
        """Probabilities where the curve is of one."""
        return needs_of(self.of)

    @property
    def cost(self) -> str:
        """A forward pass a point of the curve."""
        return f"{self.steps + 1} forward passes"

    def measure(self, subject: Subject) -> Measurement:
        """Ask for the target with more and more inserted."""
        shares, counts = even_steps(subject, self.steps)
        values, note = yield from with_replaced(subject, counts, self.baseline, self.of, kept=True)
        return area(shares, values, note, (values[0], values[-1]) if self.normalised else None)
