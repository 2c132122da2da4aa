"""Integrated gradients: the change of the target from a baseline, shared out among the values.

Definition
    φ = (x − x′) ⊙ Σ_k w_k ∂s/∂x at x′ + α_k (x − x′), with the baseline x′ and a quadrature on [0, 1] of
    n points whose weights sum to 1:
    `gauss-legendre` α = (1 + node)/2, w = weight/2, exact for polynomials up to degree 2n − 1;
    `midpoint` α = (k + ½)/n, w = 1/n; `trapezoid` α = k/(n − 1), w = 1/(n − 1), halved at both ends;
    `left` α = k/n, w = 1/n; `right` α = (k + 1)/n, w = 1/n; k = 0…n − 1.
    Completeness gap = Σφ − (s(x) − s(x′)), over every input; `relative_gap` = |gap| / |s(x) − s(x′)|.
    Several inputs move together from their baselines.

When it misleads
    The answer is relative to the baseline: a black baseline says nothing about black parts of the picture.
    The gap judges the quadrature, not the map: on photographs 50 points often leave a gap of 20 % while the
    map no longer changes. It is flagged (`completeness-gap`) above one quarter.

Source
    Sundararajan, Taly, Yan 2017, Axiomatic Attribution for Deep Networks, arXiv:1703.01365, section 3.

Differs from
    Captum's trapezoid, whose weights sum to (n − 1)/n; PAIR and iNNvestigate, which average a closed
    linspace with equal weights; tf-explain, which leaves the factor (x − x′) out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from msgspec import Meta

from saliency_cli.completeness import completeness
from saliency_cli.differentiable import Array, Arrays, Ask, Attributing, Explanation, Reduce, Sample

__all__ = ["IntegratedGradients"]

Rule = Literal["gauss-legendre", "midpoint", "trapezoid", "left", "right"]


@dataclass(frozen=True)
class IntegratedGradients:
    """φ = (x − x′) ⊙ ∫ ∂s/∂x along the straight line from x′ to x."""

    points: Annotated[int, Meta(ge=2, le=100_000, description="points of the quadrature")] = 50
    rule: Annotated[Rule, Meta(description="quadrature: where the points lie and what they weigh")] = "gauss-legendre"
    baseline: Annotated[
        str,
        Meta(description="what 'absent' means: black, white, zero, mean, min, max, blur, noise, or a file"),
    ] = "black"

    reduce: ClassVar[Reduce] = "sum"
    unit: ClassVar[str] = "target"
    signed: ClassVar[bool] = True

    def attribute(self, sample: Sample) -> Attributing:
        """Ask for the quadrature's points, and for the value at the baseline beside them."""
        unperturbed = yield sample.itself()
        absent = sample.baseline(self.baseline)
        way = {name: sample.inputs[name] - absent[name] for name in sample.floating}
        alphas, weights = quadrature(self.rule, self.points)
        alphas, weights = np.append(alphas, 0.0), np.append(weights, 0.0)

        def point(k: int, out: Arrays) -> None:
            for name in sample.floating:
                np.multiply(way[name], float(alphas[k]), out=out[name])
                np.add(out[name], absent[name], out=out[name])

        answer = yield Ask(self.points + 1, point, weights)
        values = {name: np.asarray(way[name] * g, np.float32) for name, g in answer.gradients.items()}
        details, flags = completeness(values, float(unperturbed.values[0] - answer.values[-1]))
        details["baseline_value"] = float(answer.values[-1])
        if not any(np.any(array) for array in way.values()):
            flags = ("baseline-is-input",)
        return Explanation(values, details, flags)


def quadrature(rule: Rule, n: int) -> tuple[Array, Array]:
    """Return positions in [0, 1] and weights summing to 1, float64 `(n,)` each."""
    k = np.arange(n)
    if rule == "gauss-legendre":
        nodes, weights = np.polynomial.legendre.leggauss(n)
        return (1 + nodes) / 2, weights / 2
    if rule == "trapezoid":
        weights = np.full(n, 1 / (n - 1))
        weights[[0, -1]] /= 2
        return k / (n - 1), weights
    starts: dict[str, Callable[[], Array]] = {
        "midpoint": lambda: (k + 0.5) / n,
        "left": lambda: k / n,
        "right": lambda: (k + 1) / n,
    }
    return starts[rule](), np.full(n, 1 / n)
