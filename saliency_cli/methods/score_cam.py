"""Score-CAM: a layer's channels, each weighted by the target when the input is masked by it.

Definition
    φ = max(Σ_k w_k A_k, 0) over a layer's places, resized bilinearly (half-pixel centres) to the input. Channel k
    of the layer's output A, resized to the input and scaled to [0, 1], is a mask H_k, and
    s_k = s(x′ + H_k ⊙ (x − x′)) (with the default `zero` baseline x′: H_k ⊙ x).
    `softmax` w = softmax over channels of s_k − s(x′); `increase` w_k = s_k − s(x′), not normalised.
    A channel that is the same at every place makes no mask, and is left out. With `channels` = n only the n
    channels that vary most take part. Layers are named, found and averaged as of grad-cam.

When it misleads
    It takes a channel to be high where it matters, as behind a ReLU: of a layer with values of both signs the
    mask is the wrong one. softmax gives weight by rank almost alone where scores differ by more than a few
    units, and weight to all alike where they don't: a target that never changes still has a map. It is as coarse
    as the layer, and what is masked becomes black or grey, which the model may react to. It costs one forward
    pass a channel.

Source
    Wang et al. 2019, Score-CAM: Score-Weighted Visual Explanations, arXiv:1910.01279, algorithm 1.
    `channels`: tf-keras-vis calls it Faster-Score-CAM.

Differs from
    tf-keras-vis, which takes a softmax over the model's classes as well, so that a single output always has
    weight 1.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from msgspec import Meta

from saliency_cli.asking import ask_values
from saliency_cli.differentiable import Answer, Array, Arrays, Ask, Attributing, Explanation, Reduce, Sample
from saliency_cli.features import Absent
from saliency_cli.layering import AUTO, Join, Layer, look, natives, onto_inputs, rectified, require_fitting, resized

__all__ = ["ScoreCam"]


@dataclass(frozen=True)
class ScoreCam:
    """φ = max(Σ_k w_k A_k, 0), w_k from the target seen through channel k."""

    layer: Layer = AUTO
    relu: Annotated[bool, Meta(description="cut negative values off, at the layer's own resolution")] = True
    weights: Annotated[Literal["softmax", "increase"], Meta(description="how scores become weights")] = "softmax"
    channels: Annotated[
        int, Meta(ge=0, le=100_000, description="only so many channels, those that vary most; 0: all")
    ] = 0
    baseline: Absent = "zero"
    join: Join = "mean"

    reduce: ClassVar[Reduce] = "mean"

    @property
    def unit(self) -> str:
        """Softmax weights have none, so it is the activation's."""
        return "target × activation" if self.weights == "increase" else "activation"

    @property
    def signed(self) -> bool:
        """Whether negative values are kept."""
        return not self.relu

    def attribute(self, sample: Sample) -> Attributing:
        """Ask for the layers' outputs, then for the target through each channel."""
        looked = yield from look(sample, self.layer, gradient=False)
        absent = sample.baseline(self.baseline)
        raw, passes = {}, 0
        for path, activation in looked.activations.items():
            fitting = require_fitting(sample, path, activation.shape[:-1], looked.depends[path])
            spread = np.ptp(activation.reshape(-1, activation.shape[-1]), axis=0)
            deviation = activation.std(tuple(range(activation.ndim - 1)))
            order = np.argsort(-deviation, kind="stable")
            kept = [int(k) for k in order if spread[k] > 0][: self.channels or None]
            scores = yield from _scores(sample, absent, fitting, activation[..., kept])
            raw[path] = activation[..., kept] @ self._weights(scores)
            passes += len(kept)
        maps, flags = rectified(raw, relu=self.relu)
        values = onto_inputs(sample, maps, looked.depends, self.join)
        return Explanation(values, {"channels": float(passes)}, flags, natives(maps))

    def _weights(self, increase: Array) -> Array:
        if self.weights == "increase" or not increase.size:
            return increase
        raised = np.exp(increase - increase.max())
        return np.asarray(raised / raised.sum())


def _unit(mask: Array) -> Array:
    """Scale an enlarged channel to [0, 1]: before, a peak that the enlarging misses would never reach 1."""
    low, high = mask.min(), mask.max()
    return np.asarray((mask - low) / (high - low) if high > low else np.zeros_like(mask))


def _scores(
    sample: Sample, absent: Arrays, fitting: dict[str, tuple[int, ...]], activation: Array
) -> Generator[Ask, Answer, Array]:
    """Return s_k − s(x′) for each of some channels."""

    def point(i: int, out: Arrays) -> None:
        sample.write(out)
        for name, axes in fitting.items():
            np.copyto(out[name], absent[name])
            if i:
                shape = sample.inputs[name].shape
                mask = _unit(resized(activation[..., i - 1], [shape[axis] for axis in axes]))
                mask = mask.reshape([size if axis in axes else 1 for axis, size in enumerate(shape)])
                out[name][...] += mask * (sample.inputs[name] - absent[name])

    scores = np.zeros(1 + activation.shape[-1])

    def take(start: int, values: Array) -> None:
        scores[start : start + len(values)] = values

    yield from ask_values(len(scores), point, take)
    return np.asarray(scores[1:] - scores[0])
