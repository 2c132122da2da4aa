"""Kernel SHAP: each feature's Shapley value, its fair share of the target's change from the baseline.

Definition
    φ = β of min Σ_z π(z) (v(z) − v(0) − β·z)² subject to Σβ = v(1) − v(0), with v(z) the target where the
    features in z in {0, 1}ᵈ are kept and the others are as in the baseline, and the Shapley kernel
    π(z) = (d − 1) / (C(d, |z|) |z| (d − |z|)). With all 2ᵈ − 2 sets in the sum (when `draws` allow it)
    φ is exact; else whole sizes |z| = 1, d − 1, 2, d − 2, … are taken as long as the draws suffice, and the rest
    is drawn from the kernel, each set with its complement. Σφ over features = s(x) − s(x′) always.
    Features: the columns of a table, else a grid of `cells`, or `superpixels`, or a file's groups; channels
    together, all inputs' features in one game. Every value of a feature carries the feature's whole φ.

When it misleads
    Sets of features that never occur together in data are shown to the model. It is relative to the
    baseline: a feature that equals it gets 0. Drawn (`exact` is 0 in the record) it has noise.

Source
    Lundberg, Lee 2017, A Unified Approach to Interpreting Model Predictions, arXiv:1705.07874, section 4.1,
    theorem 2. Pairs of sets: Covert, Lee 2021, Improving KernelSHAP, arXiv:2012.01536, section 4.

Differs from
    The shap package, which averages over a background set (this has one baseline) and may select features
    by an L1 penalty; Captum, which draws all sets, 25 by default, and holds Σφ by a large weight only.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta

from saliency_cli.differentiable import Array, Attributing, Explanation, Reduce, Sample
from saliency_cli.features import Absent, Cells, Kind, Segments, ask_kept, features_of, require_kind, require_solvable

__all__ = ["KernelShap"]


@dataclass(frozen=True)
class KernelShap:
    """φ = Shapley values by weighted least squares."""

    draws: Annotated[int, Meta(ge=2, le=10_000_000, description="sets of features tried, beside all and none")] = 2048
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
        """Ask for all, for none, and for each set, gathering what the least squares need."""
        absent = sample.baseline(self.baseline)
        features = features_of(sample, self.features, self.cells, self.segments)
        d = features.count
        require_solvable("kernel-shap", d, self.draws, min(2 * d, 2**d - 2))
        weights: list[float] = []

        def sets() -> Iterator[Array]:
            for kept, weight in ((np.ones(d, bool), 0.0), (np.zeros(d, bool), 0.0)):
                weights.append(weight)
                yield kept
            for kept, weight in coalitions(sample, d, self.draws):
                weights.append(weight)
                yield kept

        inner, outer = np.zeros((d, d)), np.zeros(d)
        ends: list[float] = []

        def take(kept: Array, values: Array) -> None:
            nonlocal inner, outer
            ends.extend(values[: max(0, 2 - len(ends))])
            scaled = kept * np.array(weights)[:, None]
            inner += scaled.T @ kept
            outer += scaled.T @ (values - ends[1])
            weights.clear()

        yield from ask_kept(sample, features, absent, sets(), take)
        difference = float(ends[0] - ends[1])
        shares = _shares(inner, outer, difference)
        details = {"features": float(d), "exact": float(2**d - 2 <= self.draws), "baseline_value": float(ends[1])}
        details["completeness_gap"] = float(shares.sum()) - difference
        same = all(np.array_equal(sample.inputs[name], absent[name]) for name in sample.floating)
        return Explanation(features.spread(shares, sample), details, ("baseline-is-input",) if same else ())


def coalitions(sample: Sample, d: int, draws: int) -> Iterator[tuple[Array, float]]:
    """Yield sets of features kept, `(d,)` bool, with weights that stand for the Shapley kernel and sum to 1."""
    masses = {k: 1 / (k * (d - k)) for k in range(1, d)}
    total, left = sum(masses.values()), draws
    for k in range(1, d // 2 + 1):
        sizes = {k, d - k}
        mass = sum(masses[size] for size in sizes)
        # A size whose fair share of the draws left is all of its sets is taken whole.
        if len(sizes) * comb(d, k) > left * min(1.0, mass / sum(masses.values()) + 1e-12):
            break
        for chosen in combinations(range(d), k):
            kept = np.zeros(d, bool)
            kept[list(chosen)] = True
            for each in (kept, ~kept) if len(sizes) == 2 else (kept,):
                yield each, mass / total / (len(sizes) * comb(d, k))
        left -= len(sizes) * comb(d, k)
        for size in sizes:
            del masses[size]
    if not masses:
        return
    sizes_left, rest = np.array(list(masses)), sum(masses.values())
    chances = np.array(list(masses.values())) / rest
    pairs = max(1, left // 2)
    for draw in range(pairs):
        random = sample.generator("kernel-shap", draw)
        kept = np.zeros(d, bool)
        kept[random.permutation(d)[: random.choice(sizes_left, p=chances)]] = True
        for each in (kept, ~kept):
            yield each, rest / total / (2 * pairs)


def _shares(inner: Array, outer: Array, difference: float) -> Array:
    """Solve the least squares of these sums with Σβ = difference, held by a Lagrange multiplier."""
    d = len(outer)
    system = np.ones((d + 1, d + 1))
    system[:d, :d], system[d, d] = inner, 0
    shares = np.linalg.lstsq(system, np.append(outer, difference), rcond=None)[0][:d]
    return np.asarray(shares + (difference - shares.sum()) / d)
