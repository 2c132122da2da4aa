"""SmoothGrad: the gradient, or any other method's map, averaged over noisy copies of the input.

Definition
    With draws xᵢ = x + σεᵢ, εᵢ standard normal, i = 1…n, and gᵢ = ∂s/∂x at xᵢ:
    `mean` φ = (1/n) Σ gᵢ, signed (no absolute value before averaging);
    `squared` φ = (1/n) Σ gᵢ²;
    `variance` φ = Σ (gᵢ − ḡ)² / (n − 1), unbiased.
    σ = `noise` · (max x − min x), of this sample and this input, in the model's own units. The noise is
    not clipped to the valid range. Each draw is a function of (seed, content of the sample, input name,
    draw index) alone, so neither batch size, order, nor the other inputs of a run change it. The class is
    the one of the unperturbed sample in every draw.
    With `of` another method, gᵢ is that method's map of the noisy copy, made with its own defaults or with
    the options named (`of=integrated-gradients:points=20,baseline=white`); what it draws itself, and what
    "absent" means to it, are those of the unperturbed sample. `antithetic` draws go in pairs, ε and −ε.

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

from collections.abc import Generator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta

from saliency_cli.differentiable import (
    VALUES,
    Answer,
    Array,
    Arrays,
    Ask,
    Attributing,
    Explanation,
    Method,
    Reduce,
    Sample,
)
from saliency_cli.errors import UsageError
from saliency_cli.registry import Registry

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
    of: Annotated[str, Meta(description="the method averaged: its name, or name:key=value,key=value")] = "gradient"
    sampling: Annotated[Literal["plain", "antithetic"], Meta(description="draws on their own, or in pairs ±ε")] = (
        "plain"
    )

    def __post_init__(self) -> None:
        if self.form == "variance" and self.draws < 2:
            raise UsageError("a variance needs at least 2 draws", hint="-p draws=50", reason="bad-option")
        if self.sampling == "antithetic" and self.form == "variance":
            raise UsageError(
                "an unbiased variance needs draws on their own", hint="-p sampling=plain", reason="bad-option"
            )
        if self.sampling == "antithetic" and self.draws % 2:
            raise UsageError(
                f"{self.draws} draws are no pairs", hint=f"-p draws={self.draws + 1}", reason="bad-option"
            )
        _ = self._inner

    @cached_property
    def _inner(self) -> Method | None:
        """The method averaged; None for the gradient, whose sum comes straight from the engine."""
        if self.of == "gradient":
            return None
        name, _, given = self.of.partition(":")
        parts = [part.partition("=") for part in given.split(",") if part]
        if any(not equals for _, equals, _ in parts):
            raise UsageError(f"of={self.of}: name:key=value,key=value was expected", reason="bad-option")
        methods: Registry[Method] = Registry("saliency_cli.methods", "method")
        inner = methods.build(name, {key: value for key, _, value in parts})
        if isinstance(inner, SmoothGrad):
            raise UsageError(
                f"of={self.of}: noise over noise is one larger noise", hint="-p noise=0.2", reason="bad-option"
            )
        return inner

    @property
    def reduce(self) -> Reduce:
        """The averaged method's own."""
        return "max" if self._inner is None else self._inner.reduce

    @property
    def signed(self) -> bool:
        """Only the mean keeps the sign."""
        return self.form == "mean" and (self._inner is None or self._inner.signed)

    @property
    def unit(self) -> str:
        """The gradient's unit, or the averaged method's; squared for the other two forms."""
        unit = "target per unit of input" if self._inner is None else self._inner.unit
        return unit if self.form == "mean" else f"({unit})²"

    def attribute(self, sample: Sample) -> Attributing:
        """Ask for the unperturbed top class, then for every draw's gradient, summed."""
        unperturbed = yield sample.itself()
        sigma = {
            name: np.float32(self.noise * (float(sample.inputs[name].max()) - float(sample.inputs[name].min())))
            for name in sample.floating
        }

        def point(draw: int, out: Arrays) -> None:
            pairs = self.sampling == "antithetic"
            for name in sample.floating:
                sample.normal(name, draw // 2 if pairs else draw, out[name])
                np.multiply(out[name], -sigma[name] if pairs and draw % 2 else sigma[name], out=out[name])
                np.add(out[name], sample.inputs[name], out=out[name])

        flags: list[str] = []
        if self._inner is None:
            answer = yield Ask(self.draws, point, np.ones(self.draws), squares=self.form != "mean")
            tops, totals, squares = answer.tops, answer.gradients, answer.squares
        else:
            sums = {name: np.zeros(sample.inputs[name].shape) for name in sample.floating}
            squared = {name: np.zeros(array.shape) for name, array in sums.items()}
            tops, totals, squares = np.empty(self.draws, np.int64), sums, squared
            raised: list[str] = []
            for draw in range(self.draws):
                noisy = {name: np.empty_like(sample.inputs[name]) for name in sample.floating}
                point(draw, noisy)
                tops[draw], found = yield from _explained(self._inner, sample.at(noisy))
                raised.extend(found.flags)
                for name, array in found.values.items():
                    sums[name] += array
                    squared[name] += np.square(array, dtype=np.float64)
            # What is wrong with most of the maps is wrong with their mean.
            flags = [flag for flag in dict.fromkeys(raised) if raised.count(flag) > self.draws / 2]
        values = {name: self._folded(totals[name], squares.get(name)) for name in totals}
        changed = float(np.mean(tops != unperturbed.tops[0]))
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


def _explained(method: Method, copy: Sample) -> Generator[Ask, Answer, tuple[int, Explanation]]:
    """Run a method on a noisy copy; return the copy's top class beside the explanation."""
    top: int | None = None
    attributing = method.attribute(copy)
    try:
        ask = next(attributing)
        while True:
            # What is known of the sample itself is not known of its copy.
            answer = yield replace(ask, unperturbed=False)
            top = int(answer.tops[0]) if ask.unperturbed else top
            ask = attributing.send(answer)
    except StopIteration as stop:
        found: Explanation = stop.value
    if top is None:
        answer = yield Ask(1, lambda _, out: copy.write(out), np.zeros(1), trace=VALUES)
        top = int(answer.tops[0])
    return top, found
