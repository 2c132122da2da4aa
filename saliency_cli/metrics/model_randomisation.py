"""Likeness of the map to that of the same model with its top layers drawn anew.

Definition
    The likeness (`pearson` unless told) of the folded |map| with that which the same method gives, about the same
    target, by the model whose `depth` layers of weights nearest the output are drawn anew: kernels
    from a normal distribution of their own size, everything else shuffled; a function of the run's seed, the
    same for every sample. `cascading-randomisation`: the mean over `steps` depths, from `depth` to all layers.
    A method that doesn't look at those layers has 1, and so explains another model as well.

When it misleads
    It tests the method more than the model. Edges of the picture stay in any map that is multiplied by it. Signs are
    folded away. A low value is no praise: noise has one too. Where only the scale of the top layer matters, one
    draw may come out alike by chance: look at the median over seeds.

Source
    Adebayo et al. 2018, Sanity Checks for Saliency Maps, arXiv:1810.03292. Its weaknesses: Binder et al.
    2023, arXiv:2211.12486; Hedström et al. 2023, arXiv:2401.06465.

Differs from
    Adebayo et al., who initialise layers as if new; Quantus, which shuffles the kernels of TensorFlow models (along
    the first axis alone), resets those of PyTorch, and counts the untouched model in its average; Xplique,
    which draws from U[0, 1), saturating the output, and for short networks redraws nothing and reports 1.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta

from saliency_cli.differentiable import Answer, Ask, Trace
from saliency_cli.metrics.random_logit import LIKENESS, Likeness
from saliency_cli.subject import Better, Measured, Measurement, Need, Subject, is_rounding, why_blank

__all__ = ["ModelRandomisation"]

PRESETS = {
    "cascading-randomisation": (
        "Mean likeness of the map to those of models drawn anew from the top down.",
        {"steps": 5},
    ),
}


@dataclass(frozen=True)
class ModelRandomisation:
    """Likeness to the map of a model with layers drawn anew."""

    depth: Annotated[int, Meta(ge=1, le=10_000, description="layers of weights drawn anew, from the output down")] = 1
    steps: Annotated[int, Meta(ge=1, le=10_000, description="depths of a cascade, evenly down to all layers")] = 1
    similarity: Annotated[Likeness, Meta(description="how two maps are compared")] = "pearson"

    better: ClassVar[Better] = "lower"
    lowest: ClassVar[float] = -1.0
    highest: ClassVar[float] = 1.0
    unit: ClassVar[str] = ""
    needs: ClassVar[frozenset[Need]] = frozenset({"map", "depth"})

    @property
    def cost(self) -> str:
        """A map and a look at the target for every depth."""
        most = "up to " if self.steps > 1 else ""
        return f"{most}{self.steps} maps and {self.steps} forward passes"

    def measure(self, subject: Subject) -> Measurement:
        """Run the method by every randomised model."""
        sample = subject.sample
        if self.depth > subject.depth:
            return Measured(np.nan, f"the target depends on {subject.depth} layers of weights")
        if blank := why_blank(subject.plane):
            return Measured(np.nan, blank)
        found = []
        for depth in self._depths(subject.depth):
            redrawn = (sample.seed, depth)
            trace = Trace(gradient=False, randomised=redrawn)
            answer: Answer = yield Ask(1, lambda _, out: sample.write(out), np.zeros(1), trace=trace)
            # A layer that the target doesn't hear of, or a saturated one, would pass for a method that is blind.
            if is_rounding(answer.values - subject.value, subject.value):
                return Measured(
                    np.nan, f"drawing anew at depth {depth} leaves the target as it was: nothing is tested"
                )
            explanation = yield from subject.again(sample.inputs, Trace(randomised=redrawn))
            value, reason = LIKENESS[self.similarity](subject.plane, subject.fold(explanation.values))
            if reason:
                return Measured(np.nan, f"{reason}, at depth {depth}")
            found.append(value)
        return Measured(float(np.mean(found)))

    def _depths(self, most: int) -> list[int]:
        return [self.depth, *sorted({round(d) for d in np.linspace(self.depth, most, self.steps)} - {self.depth})]
