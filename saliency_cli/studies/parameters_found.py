"""What all samples' gradients by the weights tell together: sums, layers, which of them learn nothing or too much.

Of layer l with weights w, from the gradients gᵢ of n samples: its typical gradient √(mean ‖gᵢ‖²), which samples that
pull in opposite ways don't cancel out of, and relative to the layer ρ = √(mean ‖gᵢ‖²)/‖w‖, the share of itself by
which a step at learning rate 1 would change it. A layer is

- `dead` where no sample has a gradient by any of its weights,
- `vanishing` where ρ is below 10⁻³ of the median layer's, `exploding` where it is above 10³ times that.

One learning rate serves all layers only as far as ρ is alike. In networks that train well ρ differs between layers by
two to three powers of ten (You et al. found 230 at the first step of AlexNet), so 10³ to either side of the middle is
beyond what is usual; both are options. A layer whose weights are all 0 has no ρ and is not judged by it.

The noise scale tr Σ/|G|² is about the batch size beyond which a larger batch hardly lets training go faster. Both
parts are estimated without bias from n single gradients: tr Σ = n/(n−1)·(mean ‖gᵢ‖² − ‖ḡ‖²), |G|² = ‖ḡ‖² − tr Σ/n.

Sources: You, Gitman & Ginsburg 2017, Large Batch Training of Convolutional Networks, arXiv:1708.03888; Glorot &
Bengio 2010, Understanding the difficulty of training deep feedforward neural networks, AISTATS; McCandlish, Kaplan,
Amodei et al. 2018, An Empirical Model of Large-Batch Training, arXiv:1812.06162.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from msgspec import Struct

from saliency_cli.clipping import norm
from saliency_cli.differentiable import Array

if TYPE_CHECKING:
    from saliency_cli.autodiff.model import Weight
    from saliency_cli.autodiff.parameters import Summed

Verdict = Literal["", "dead", "vanishing", "exploding"]


class WeightRecord(Struct, kw_only=True, frozen=True):
    """The gradient by one array of weights. `relative` is l2/‖w‖, None where all of them are 0."""

    name: str
    shape: list[int]
    l2: float
    max: float
    zeros: float
    relative: float | None


class LayerRecord(Struct, kw_only=True, frozen=True):
    """The gradient by a layer's weights.

    `l2`, `max` and `zeros` (a share) are of the gradient over all samples, `typical` of single ones; `relative` is
    typical/‖w‖, and `of_median` that as a multiple of the median layer's.
    """

    layer: str
    size: int
    l2: float
    max: float
    zeros: float
    typical: float
    relative: float | None
    of_median: float | None
    verdict: Verdict
    weights: list[WeightRecord]


@dataclass(eq=False)
class Totals:
    """Sums over samples, in float64: the gradients, and Σ‖gᵢ‖² of each weight."""

    sums: list[Array] = field(default_factory=list)
    squares: Array = field(default_factory=lambda: np.zeros(0))
    n: int = 0

    def add(self, batch: "Summed") -> None:
        """Take in one batch."""
        if not self.sums:
            self.sums = [np.zeros(gradient.shape) for gradient in batch.gradients]
            self.squares = np.zeros(len(batch.gradients))
        for total, gradient in zip(self.sums, batch.gradients, strict=True):
            total += gradient
        self.squares += batch.squares.sum(axis=0, dtype=np.float64)
        self.n += len(batch.squares)

    def gradients(self, reduction: str) -> list[Array]:
        """Return the mean over the samples or their sum, float64."""
        return [total / self.n for total in self.sums] if reduction == "mean" else self.sums

    def typical(self) -> Array:
        """Return the mean of ‖gᵢ‖² for each weight, float64.

        It is no less than the square of the mean gradient: the squares of single ones are summed in the precision of
        the weights, where those of a gradient below 1e-23 are nothing.
        """
        return np.maximum(self.squares, [norm(total) ** 2 / self.n for total in self.sums]) / self.n

    def noise_scale(self) -> float | None:
        """Return tr Σ/|G|², None of fewer than two samples, or where nothing is left of |G|² but noise."""
        if self.n < 2:
            return None
        of_mean = sum(norm(total) ** 2 for total in self.sums) / self.n**2
        spread = self.n / (self.n - 1) * max(float(self.typical().sum()) - of_mean, 0.0)
        signal = of_mean - spread / self.n
        return spread / signal if signal > 0 else None


def layer_records(
    weights: "Sequence[Weight]", gradients: Mapping[str, Array], totals: Totals, *, vanishing: float, exploding: float
) -> list[LayerRecord]:
    """Return the layers in the order of the weights."""
    lengths = {weight.name: norm(np.asarray(weight.read()).astype(np.float64)) for weight in weights}
    typical = {w.name: float(square) for w, square in zip(weights, totals.typical(), strict=True)}
    members: dict[str, list[Weight]] = {}
    for weight in weights:
        members.setdefault(weight.layer, []).append(weight)
    relative = {}
    for layer, own in members.items():
        length = np.sqrt(sum(lengths[weight.name] ** 2 for weight in own))
        relative[layer] = float(np.sqrt(sum(typical[w.name] for w in own)) / length) if length else None
    known = [value for value in relative.values() if value]
    median = float(np.median(known)) if known else 0.0
    records = []
    for layer, own in members.items():
        arrays = [gradients[weight.name] for weight in own]
        size = sum(array.size for array in arrays)
        value = relative[layer]
        share = value / median if value is not None and median else None
        dead = not any(typical[weight.name] for weight in own) and not any(array.any() for array in arrays)
        records.append(
            LayerRecord(
                layer=layer,
                size=size,
                l2=float(np.sqrt(sum(norm(array) ** 2 for array in arrays))),
                max=max((float(np.abs(array).max(initial=0)) for array in arrays), default=0.0),
                zeros=sum(int(array.size - np.count_nonzero(array)) for array in arrays) / max(size, 1),
                typical=float(np.sqrt(sum(typical[weight.name] for weight in own))),
                relative=value,
                of_median=share,
                verdict="dead" if dead else verdict(share, vanishing, exploding),
                weights=[_weight(weight, gradients[weight.name], lengths[weight.name]) for weight in own],
            )
        )
    return records


def verdict(share: float | None, vanishing: float, exploding: float) -> Verdict:
    """Judge a layer by its relative gradient as a multiple of the median layer's."""
    if share is None:
        return ""
    return "vanishing" if share < vanishing else "exploding" if share > exploding else ""


def _weight(weight: "Weight", gradient: Array, length: float) -> WeightRecord:
    l2 = norm(gradient)
    return WeightRecord(
        name=weight.name,
        shape=list(weight.shape),
        l2=l2,
        max=float(np.abs(gradient).max(initial=0)),
        zeros=float(np.mean(gradient == 0)) if gradient.size else 0.0,
        relative=l2 / length if length else None,
    )
