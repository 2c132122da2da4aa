"""FullGrad: what the input and every bias of the model contribute to the target, joined.

Definition
    φ = ψ(x ⊙ ∂s/∂x) + Σ_b ψ(v_b) resized bilinearly (half-pixel centres) to the input, v_b = r_b ⊙ ∂s/∂y_b.
    Each operation y = J z + r between input and target adds an r of its own: a bias, the offset of a batch
    normalisation or of a scaling layer, where ReLU6 holds the 6, y − z φ′(z) of another curve φ. With those,
    s = Σ x ⊙ ∂s/∂x + Σ_b Σ v_b exactly, which is checked: a larger gap than rounding is an error.
    `paper`: ψ(v) = Σ over channels of (|v| − min) / max, over all of v, so that every operation weighs
    alike; `signed`: ψ(v) = Σ over channels of v, in units of the target, each map kept at its sum and shared
    equally by the input's channels, so that Σφ is s less what has no place.
    Biases without places (of dense layers) are in the sum, but in no map: `placeless` records their part.

When it misleads
    Every operation weighs alike, so that edges, which early layers answer to, stand out whatever the target. The
    maps of deep layers are coarse, and are taken to lie over the input place by place. What is said of
    biases depends on how the model was written: a batch normalisation folded into its convolution has another.

Source
    Srinivas, Fleuret 2019, Full-Gradient Representation for Neural Network Visualization, arXiv:1905.00780,
    equations 3 and 8.

Differs from
    The authors' code, which takes no part of the scaling in front of the model and of curves other than ReLU,
    and enlarges with aligned corners.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from msgspec import Meta

from saliency_cli.differentiable import Array, Ask, Attributing, Explanation, Reduce, Sample, Trace
from saliency_cli.errors import InputError
from saliency_cli.layering import require_fitting, resized
from saliency_cli.layout import is_table, places

__all__ = ["FullGrad"]

_ROUNDING = 1e-4  # of the sum of all parts' sizes


@dataclass(frozen=True)
class FullGrad:
    """φ = ψ(x ⊙ ∂s/∂x) + Σ_b ψ(b ⊙ ∂s/∂b), on the input's places."""

    form: Annotated[
        Literal["paper", "signed"], Meta(description="magnitudes scaled to 1 an operation, or shares")
    ] = "paper"

    reduce: ClassVar[Reduce] = "mean"
    traces: ClassVar[tuple[Trace]] = (Trace(gradient=False, biases=True),)

    @property
    def unit(self) -> str:
        """The target's, or none where every operation was scaled."""
        return "target" if self.form == "signed" else "target, scaled to 1 an operation"

    @property
    def signed(self) -> bool:
        """Whether negative values mean something."""
        return self.form == "signed"

    def attribute(self, sample: Sample) -> Attributing:
        """Ask for the gradient, then for what the model's constants contribute."""
        (name,) = _one_input(sample)
        unperturbed = yield sample.itself()
        answer = yield Ask(1, lambda _, out: sample.write(out), np.ones(1), trace=self.traces[0])
        own = {name: unperturbed.gradients[name] * sample.inputs[name] for name in sample.floating}
        details = _require_complete(own, answer.activations, float(unperturbed.values[0]))
        maps = {path: found for path, found in answer.activations.items() if found.ndim > 1}
        at = _places(sample, name, {path: found.shape[:-1] for path, found in maps.items()})
        channels = next((axis for axis in range(sample.inputs[name].ndim) if axis not in at), None)
        sizes = [sample.inputs[name].shape[axis] for axis in at]
        total = self._input_plane(own[name], channels)
        for found in maps.values():
            total = total + resized(self._plane(found, sizes), sizes)
        whole = total if channels is None else np.expand_dims(total, channels)
        if self.form == "signed" and channels is not None:
            whole = whole / sample.inputs[name].shape[channels]
        values = {name: np.array(np.broadcast_to(whole, sample.inputs[name].shape), np.float32)}
        return Explanation(values, details)

    def _plane(self, found: Array, sizes: list[int]) -> Array:
        if self.form == "paper":
            return np.asarray(found[..., 1])
        # Enlarged, a map has as many times its sum as it has more places.
        return np.asarray(found[..., 0] * np.prod(found.shape[:-1]) / np.prod(sizes))

    def _input_plane(self, product: Array, channels: int | None) -> Array:
        if self.form == "paper":
            product = np.abs(product) - np.abs(product).min()
            product = product / (product.max() or 1)
        return product if channels is None else np.asarray(product.sum(channels))


def _one_input(sample: Sample) -> tuple[str]:
    if len(sample.floating) != 1 or is_table(sample, sample.floating[0]):
        shown = ", ".join(f"'{n}' of {'×'.join(map(str, sample.inputs[n].shape))}" for n in sample.floating)
        raise InputError(
            f"fullgrad lays the biases' maps over one input with places, and the inputs are {shown}",
            hint="gradient-times-input or integrated-gradients",
            reason="no-places",
        )
    return (sample.floating[0],)


def _places(sample: Sample, name: str, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """Return the input's axes that the maps' axes of places lie over. Raises `InputError` where they don't."""
    at = None
    for path, shape in shapes.items():
        fitting = require_fitting(sample, path, shape, (name,))[name]
        if at not in (None, fitting):
            raise InputError(
                f"fullgrad: what '{path}' adds lies over {len(shape)} axes of places, others over {len(at or ())}",
                hint="integrated-gradients, which also sums to the target",
                reason="no-places",
            )
        at = fitting
    return places(sample, name) if at is None else at


def _require_complete(own: Mapping[str, Array], biases: Mapping[str, Array], value: float) -> dict[str, float]:
    """Return the sums to record. Raises `InputError` where they don't add up to the target."""
    parts = [float(array.sum(dtype=np.float64)) for array in own.values()]
    sums = {path: float(maps[..., 0].sum(dtype=np.float64)) for path, maps in biases.items()}
    gap = sum(parts) + sum(sums.values()) - value
    size = abs(value) + sum(map(abs, parts)) + sum(map(abs, sums.values()))
    if abs(gap) > _ROUNDING * size:
        raise InputError(
            f"fullgrad: what the input and the biases contribute sums to {value + gap:.6g}, and the target is "
            f"{value:.6g}: it holds constants that can't be told, as in an operation with a gradient of its own",
            hint="integrated-gradients, which needs to know nothing of the model",
            reason="incomplete",
        )
    placeless = sum((sums[path] for path, maps in biases.items() if maps.ndim == 1), 0.0)
    return {"completeness_gap": gap, "input": sum(parts), "biases": sum(sums.values(), 0.0), "placeless": placeless}
