"""LIME: the weights of a linear model that imitates the target on randomly hidden features.

Definition
    φ = β of the ridge regression min Σᵢ πᵢ (s(zᵢ) − β₀ − β·zᵢ)² + α |β|², with zᵢ in {0, 1}ᵈ the features kept
    of sample i (each with probability ½; the first keeps all), the others as in the baseline, β₀ not
    penalised, and weights πᵢ = exp(−D² / width²), D the distance of zᵢ from (1, …, 1):
    `cosine` D = 1 − √(|z| / d); `l2` D = √(1 − |z| / d), so the width means the same for any d.
    Features: superpixels of a picture (SLIC), the columns of a table, a grid of any other array. Every
    value of a feature carries the feature's whole φ. `fidelity` is R² of the fit, weighted by π.

When it misleads
    It describes the straight line, not the model: look at `fidelity`, and not at the map where it is low.
    It changes with the width, the number of draws and the segmentation more than most methods do; the
    penalty α shrinks all weights, the more the fewer draws count.

Source
    Ribeiro, Singh, Guestrin 2016, "Why Should I Trust You?", arXiv:1602.04938, sections 3.2 to 3.4.

Differs from
    The authors' package, which takes the root of π (a width √2 as large) and for tables perturbs by the
    training data's statistics; Captum, which has 2·width² under D²; Xplique, with a width of 45.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from msgspec import Meta

from saliency_cli.differentiable import Array, Attributing, Explanation, Reduce, Sample
from saliency_cli.features import Absent, Cells, Kind, Segments, ask_kept, features_of, require_kind, require_solvable

__all__ = ["Lime"]


@dataclass(frozen=True)
class Lime:
    """φ = the weights of a local linear model."""

    draws: Annotated[int, Meta(ge=2, le=1_000_000, description="random sets of features kept")] = 1000
    distance: Annotated[Literal["cosine", "l2"], Meta(description="from the sample with every feature")] = "cosine"
    width: Annotated[float, Meta(gt=0, le=1000, description="width of the kernel that weighs the draws")] = 0.25
    alpha: Annotated[float, Meta(ge=0, le=1e9, description="penalty of the ridge regression")] = 1.0
    features: Kind = "auto"
    cells: Cells = 8
    segments: Segments = 50
    baseline: Absent = "black"

    reduce: ClassVar[Reduce] = "mean"
    unit: ClassVar[str] = "target"
    signed: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_kind(self.features)

    def attribute(self, sample: Sample) -> Attributing:
        """Ask for the value at each draw, and gather what the regression needs of them."""
        absent = sample.baseline(self.baseline)
        features = features_of(sample, self.features, self.cells, self.segments, picture="superpixels")
        d = features.count
        require_solvable("lime", d, self.draws, d + 1)

        def draws() -> Iterator[Array]:
            for i in range(self.draws):
                yield np.ones(d, bool) if i == 0 else sample.generator("lime", i).random(d) < 0.5

        # Columns: every feature, 1, and s − s(x), whose products are all that a regression needs.
        products = np.zeros((d + 2, d + 2))
        whole: float | None = None

        def take(kept: Array, values: Array) -> None:
            nonlocal products, whole
            whole = float(values[0]) if whole is None else whole
            rows = np.column_stack([kept, np.ones(len(kept)), values - whole])
            products += rows.T @ (rows * self._weights(kept)[:, None])

        yield from ask_kept(sample, features, absent, draws(), take)
        shares, fidelity = _ridge(products, self.alpha)
        details = {"features": float(d), "intercept_weight": float(products[d, d])}
        if fidelity is not None:
            details["fidelity"] = fidelity
        same = all(np.array_equal(sample.inputs[name], absent[name]) for name in sample.floating)
        return Explanation(features.spread(shares, sample), details, ("baseline-is-input",) if same else ())

    def _weights(self, kept: Array) -> Array:
        share = kept.mean(axis=1)
        squared = (1 - np.sqrt(share)) ** 2 if self.distance == "cosine" else 1 - share
        return np.asarray(np.exp(-squared / self.width**2))


def _ridge(products: Array, alpha: float) -> tuple[Array, float | None]:
    """Return β and the weighted R² (None where s never changed) of the sums of products of (z, 1, y)."""
    d = len(products) - 2
    centred = products - np.outer(products[d], products[d]) / products[d, d]
    inner, outer, spread = centred[:d, :d], centred[:d, -1], float(centred[-1, -1])
    shares = np.linalg.lstsq(inner + alpha * np.eye(d), outer, rcond=None)[0]
    if spread <= 0 or not products[:d, -1].any():
        return shares, None
    missed = spread - 2 * shares @ outer + shares @ inner @ shares
    return shares, float(1 - missed / spread)
