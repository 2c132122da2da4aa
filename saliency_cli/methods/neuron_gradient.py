"""Neuron attribution: any method of the input, about one unit of a layer in place of the target.

Definition
    φ = the map of the method `of`, its target a unit of the layer `layer`: `neuron=c` the mean over places of
    channel c of the layer's output, `neuron=i,j,c` the one value at a place (the row and column of the layer, then
    the channel). `neuron-gradient`: φ = ∂a/∂x with a that value.

When it misleads
    As its method does. What one unit answers to says little of the target: units share their work. The top
    class and the loss play no part; `target` and its value on the record are still the model's.

Source
    Erhan, Bengio, Courville, Vincent 2009, Visualizing Higher-Layer Features of a Deep Network; Springenberg et al.
    2014, Striving for Simplicity, arXiv:1412.6806, section 3.4.

Differs from
    Captum, whose neuron methods each have a class of their own, and a convolution's channel no mean.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated

from msgspec import Meta

from saliency_cli.differentiable import Attributing, Method, Reduce, Sample
from saliency_cli.errors import UsageError
from saliency_cli.layering import AUTO, Layer
from saliency_cli.methods.layer_integrated_gradients import one_path
from saliency_cli.registry import Registry

__all__ = ["NeuronGradient"]

PRESETS = {
    "neuron-integrated-gradients": (
        "Integrated gradients of one unit of a layer in place of the target.",
        {"of": "integrated-gradients"},
    ),
}


@dataclass(frozen=True)
class NeuronGradient:
    """φ = a method's map of one unit of a layer."""

    layer: Layer = AUTO
    neuron: Annotated[str, Meta(description="the unit: a channel's number, or a place and a channel: 3,4,17")] = "0"
    of: Annotated[str, Meta(description="the method: its name, or name:key=value,key=value")] = "gradient"

    def __post_init__(self) -> None:
        parts = self.neuron.split(",")
        if not all(part.strip().isascii() and part.strip().isdigit() for part in parts):
            raise UsageError(
                f"neuron={self.neuron}: a channel's number, or a place and a channel",
                hint="-p neuron=3",
                reason="bad-option",
            )
        if isinstance(self._inner, NeuronGradient):
            raise UsageError(f"of={self.of}: a unit of a unit", hint="-p of=gradient", reason="bad-option")

    @cached_property
    def _inner(self) -> Method:
        name, _, given = self.of.partition(":")
        parts = [part.partition("=") for part in given.split(",") if part]
        methods: Registry[Method] = Registry("saliency_cli.methods", "method")
        return methods.build(name, {key: value for key, _, value in parts})

    @property
    def reduce(self) -> Reduce:
        """The method's own."""
        return self._inner.reduce

    @property
    def unit(self) -> str:
        """The method's own; the target is the unit's value."""
        return self._inner.unit

    @property
    def signed(self) -> bool:
        """The method's own."""
        return self._inner.signed

    def attribute(self, sample: Sample) -> Attributing:
        """Run the method, every ask of it about the unit."""
        index = tuple(int(part) for part in self.neuron.split(","))
        unit = one_path(self.layer), index
        program = self._inner.attribute(sample)
        try:
            ask = next(program)
            while True:
                answer = yield replace(ask, trace=replace(ask.trace, unit=unit), unperturbed=False)
                ask = program.send(answer)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
