"""SmoothGrad: the gradient averaged over noisy copies of the input.

Definition
    With draws xᵢ = x + σεᵢ, εᵢ standard normal, i = 1…n, and gᵢ = ∂s/∂x at xᵢ:
    `mean` φ = (1/n) Σ gᵢ, signed (no absolute value before averaging);
    `squared` φ = (1/n) Σ gᵢ²;
    `variance` φ = Σ (gᵢ − ḡ)² / (n − 1), unbiased.
    σ = `noise` · (max x − min x), of this sample and this input, in the model's own units. The noise is
    not clipped to the valid range. Each draw is a function of (seed, content of the sample, input name,
    draw index) alone, so neither batch size, order, nor the other inputs of a run change it. The class is
    the one of the unperturbed sample in every draw.

When it misleads
    With too much noise most draws are no longer the class they explain: the share whose top class
    changed is recorded as `top_changed` and flagged above one half.

Source
    Smilkov, Thorat, Kim, Viégas, Wattenberg 2017, SmoothGrad: removing noise by adding noise,
    arXiv:1706.03825, section 3. Squared: Hooker et al. 2018, arXiv:1806.10758. Variance: Adebayo et al.
    2018, Local Explanation Methods, arXiv:1810.03307.

Differs from
    PAIR saliency (mean of squares by default), Captum (σ = 1 absolute), tf-keras-vis (mean of absolute
    values), Captum's vargrad (biased variance).
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from msgspec import Meta

from saliency_cli.differentiable import Array, Arrays, Ask, Attributing, Explanation, Reduce, Sample
from saliency_cli.errors import UsageError

__all__ = ["SmoothGrad"]

PRESETS = {
    "smoothgrad-squared": ("SmoothGrad of squared gradients: how strongly the target reacts.", {"form": "squared"}),
    "vargrad": ("VarGrad: the variance of the gradient over noisy copies of the input.", {"form": "variance"}),
}  # fmt: skip


@dataclass(frozen=True)
class SmoothGrad:
    """Mean, mean square or variance of the gradient over noisy copies."""

    draws: Annotated[int, Meta(ge=1, le=100_000, description="noisy copies to average over")] = 50
    noise: Annotated[float, Meta(ge=0, le=100, description="σ as a share of the sample's range, max − min")] = 0.15
    form: Annotated[
        Literal["mean", "squared", "variance"], Meta(description="what is taken over the draws' gradients")
    ] = "mean"

    reduce: ClassVar[Reduce] = "max"

    def __post_init__(self) -> None:
        if self.form == "variance" and self.draws < 2:
            raise UsageError("a variance needs at least 2 draws", hint="-p draws=50", reason="bad-option")

    @property
    def signed(self) -> bool:
        """Only the mean keeps the gradient's sign."""
        return self.form == "mean"

    @property
    def unit(self) -> str:
        """The gradient's unit, squared for the other two forms."""
        unit = "target per unit of input"
        return unit if self.form == "mean" else f"({unit})²"

    def attribute(self, sample: Sample) -> Attributing:
        """Ask for the unperturbed top class, then for every draw's gradient, summed."""
        unperturbed = yield sample.itself()
        sigma = {
            name: np.float32(self.noise * (float(sample.inputs[name].max()) - float(sample.inputs[name].min())))
            for name in sample.floating
        }

        def point(draw: int, out: Arrays) -> None:
            for name in sample.floating:
                sample.normal(name, draw, out[name])
                np.multiply(out[name], sigma[name], out=out[name])
                np.add(out[name], sample.inputs[name], out=out[name])

        answer = yield Ask(self.draws, point, np.ones(self.draws), squares=self.form != "mean")
        values = {name: self._folded(answer.gradients[name], answer.squares.get(name)) for name in answer.gradients}
        changed = float(np.mean(answer.tops != unperturbed.tops[0]))
        flags = []
        if changed > 0.5:
            flags.append("top-class-changed")
        if self.noise > 0 and not any(sigma.values()):
            flags.append("no-noise")
        sigmas = {f"sigma.{name}" if len(sigma) > 1 else "sigma": float(value) for name, value in sigma.items()}
        return Explanation(values, {"top_changed": changed, **sigmas}, tuple(flags))

    def _folded(self, total: Array, squares: Array | None) -> Array:
        n = self.draws
        if self.form == "mean" or squares is None:
            return np.asarray(total / n, np.float32)
        if self.form == "squared":
            return np.asarray(squares / n, np.float32)
        spread = squares - total * total / n
        # What the difference of two equal sums leaves is rounding, and would be drawn as if it meant something.
        spread[spread <= n * np.finfo(np.float64).eps * squares] = 0
        return np.asarray(spread / (n - 1), np.float32)
