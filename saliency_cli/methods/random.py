"""Random: a map that knows neither model nor input, for other maps to beat.

Definition
    φ = standard normal noise, a function of (seed, content of the sample, input name, `draw`) alone.

When it misleads
    It is a control, no attribution: a metric on which a method does no better than this tells nothing.

Source
    Adebayo, Gilmer, Muelly, Goodfellow, Hardt, Kim 2018, Sanity Checks for Saliency Maps, arXiv:1810.03292,
    section 3; Hooker et al. 2018, A Benchmark for Interpretability Methods, arXiv:1806.10758.

Differs from
    iNNvestigate's `random`, which is not the same twice.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta

from saliency_cli.differentiable import Attributing, Explanation, Reduce, Sample

__all__ = ["Random"]


@dataclass(frozen=True)
class Random:
    """φ = noise."""

    draw: Annotated[int, Meta(ge=0, description="which of the random maps of this seed and sample")] = 0

    reduce: ClassVar[Reduce] = "mean"
    unit: ClassVar[str] = "none (a control)"
    signed: ClassVar[bool] = True

    def attribute(self, sample: Sample) -> Attributing:
        """Ask nothing."""
        yield from ()
        return Explanation(
            {
                name: sample.generator(f"random|{name}", self.draw).standard_normal(
                    sample.inputs[name].shape, dtype=np.float32
                )
                for name in sample.floating
            }
        )
