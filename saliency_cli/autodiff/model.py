"""A model, opened: the one representation every format becomes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from saliency_cli.records import InputSpec, ScalingClue

Tensor = Any


class Traced(NamedTuple):
    """What a forward pass left in the graph: named output tensors, and each layer's output by path."""

    outputs: Mapping[str, Tensor]
    layers: Mapping[str, Tensor]


@dataclass(frozen=True)
class OutputSpec:
    """One output of a model: `shape` without the batch axis, None where it varies."""

    name: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class Layer:
    """One layer: its path (`backbone/block5_conv3`), its class, and how many weights it holds itself."""

    path: str
    kind: str
    parameters: int


@dataclass(frozen=True, eq=False)
class Model:
    """Named inputs, named outputs, layers by path, and a function that emits the forward pass.

    `forward` takes named input tensors with a batch axis and must be called inside a graph being
    traced. `batch` is the batch size the model insists on, or None. `losses` holds the loss saved with
    the model for each output, as Keras describes it. `clues` says what its layers tell of the scaling
    of each input; `class_names` the names of the classes, where the file holds them.
    """

    name: str
    format: str
    inputs: tuple[InputSpec, ...]
    outputs: tuple[OutputSpec, ...]
    layers: tuple[Layer, ...]
    forward: Callable[[Mapping[str, Tensor]], Traced]
    batch: int | None = None
    parameters: int = 0
    weights_sha256: str = ""
    path: str = ""
    sha256: str = ""
    writer: str = ""
    losses: Mapping[str, Any] = field(default_factory=dict)
    clues: Mapping[str, tuple[ScalingClue, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()

    def signature(self, batch: int | None) -> dict[str, tuple[tuple[int | None, ...], str]]:
        """Return every input's traced shape (with the batch axis) and dtype."""
        return {spec.name: ((batch, *spec.shape), spec.dtype) for spec in self.inputs}
