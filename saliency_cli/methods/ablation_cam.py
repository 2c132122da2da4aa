"""Ablation-CAM: a layer's channels, each weighted by the fall of the target without it.

Definition
    φ = max(Σ_k w_k A_k, 0) over a layer's places, resized bilinearly (half-pixel centres) to the input, with
    A the layer's output and w_k = s − s_k, s_k the target when channel k of A is 0 at every place and all else
    is as it was. What reaches the target around the layer is left as it was.
    Layers are named, found and averaged as of grad-cam.

When it misleads
    It is as coarse as the layer. 0 is what "absent" means to a channel behind a ReLU, but not behind other
    activations. Channels that stand in for each other are each found to be of no weight. It costs one pass of
    the rest of the model for each channel.

Source
    Desai, Ramaswamy 2020, Ablation-CAM: Visual Explanations for Deep CNNs via Gradient-free Localization,
    doi:10.1109/WACV45572.2020.9093360.

Differs from
    The paper and pytorch-grad-cam, whose w_k is (s − s_k) / s: the division, the same for every channel, turns the
    whole map round where s is negative, as logits are.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta

from saliency_cli.asking import CHUNK
from saliency_cli.differentiable import Answer, Array, Arrays, Ask, Attributing, Explanation, Reduce, Sample, Trace
from saliency_cli.layering import AUTO, Join, Layer, look, natives, onto_inputs, rectified

__all__ = ["AblationCam"]


@dataclass(frozen=True)
class AblationCam:
    """φ = max(Σ_k (s − s_k) A_k, 0)."""

    layer: Layer = AUTO
    relu: Annotated[bool, Meta(description="cut negative values off, at the layer's own resolution")] = True
    join: Join = "mean"

    reduce: ClassVar[Reduce] = "mean"
    unit: ClassVar[str] = "target × activation"

    @property
    def signed(self) -> bool:
        """Whether negative values are kept."""
        return not self.relu

    def attribute(self, sample: Sample) -> Attributing:
        """Ask for the layers' outputs, then for the target without each channel."""
        looked = yield from look(sample, self.layer, gradient=False)
        raw = {}
        for path, activation in looked.activations.items():
            raw[path] = activation @ (yield from _falls(path, activation))
        maps, flags = rectified(raw, relu=self.relu)
        values = onto_inputs(sample, maps, looked.depends, self.join)
        return Explanation(values, flags=flags, layers=natives(maps))


def _falls(path: str, activation: Array) -> Generator[Ask, Answer, Array]:
    """Return s − s_k for every channel; a channel that is 0 everywhere already changes nothing."""
    used = np.flatnonzero(np.any(activation.reshape(-1, activation.shape[-1]), axis=0))
    values = np.empty(1 + len(used))
    for start in range(0, len(values), CHUNK):
        count = min(CHUNK, len(values) - start)

        def point(i: int, out: Arrays, start: int = start) -> None:
            np.copyto(out[path], activation, casting="same_kind")
            if start + i:  # the first is the whole layer, by the same trace as the others
                out[path][..., used[start + i - 1]] = 0

        trace = Trace(layer=(path,), cut=True, gradient=False)
        answer = yield Ask(count, point, np.zeros(count), trace=trace, shapes={path: activation.shape})
        values[start : start + count] = answer.values
    falls = np.zeros(activation.shape[-1])
    falls[used] = values[0] - values[1:]
    return falls
