"""A model, opened: the one representation every format becomes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from saliency_cli.records import InputSpec, ScalingClue

Tensor = Any


class Traced(NamedTuple):
    """What a forward pass left in the graph: named output tensors, and each layer's output by path.

    A layer that is called several times is there once a call, as `path`, `path#2`, …. `folded`: the layers whose
    work was folded into the operation before them.
    """

    outputs: Mapping[str, Tensor]
    layers: Mapping[str, Tensor]
    folded: tuple[str, ...] = ()


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
class Weight:
    """One floating array of weights: `name` is its own within the model, `layer` the path of the layer that holds it.

    `read` gives its value now, a tensor outside any graph. `learned` off: a constant of a graph, which may
    as well be a number of the preparing as something that was trained. `trainable` off: training leaves it as it is.
    """

    name: str
    layer: str
    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], Tensor]
    learned: bool = True
    trainable: bool = True


class Forward(Protocol):
    """A forward pass, emitted into the graph being traced."""

    def __call__(
        self, inputs: Mapping[str, Tensor], given: Mapping[str, Tensor] = ..., placed: Mapping[str, Tensor] = ...
    ) -> Traced:
        """Take named input tensors with a batch axis.

        `given` stand for the weights of those names, those `placed` for what the layers of those paths give out.
        A `foldable` model also takes `fold=True`: constants are then folded together.
        """
        ...


@dataclass(frozen=True, eq=False)
class Model:
    """Named inputs, named outputs, layers by path, and a function that emits the forward pass.

    `forward` must be called inside a graph being traced; `weights` are those it can be given other values
    for, in the order in which the model holds them.

    `batch` is the batch size the model insists on, or None. `losses` holds the loss saved with
    the model for each output, as Keras describes it. `foldable`: it has batch normalisations that `forward` can fold,
    and its weights stay as they are. `clues` says what its layers tell of the scaling
    of each input; `class_names` the names of the classes, where the file holds them.
    """

    name: str
    format: str
    inputs: tuple[InputSpec, ...]
    outputs: tuple[OutputSpec, ...]
    layers: tuple[Layer, ...]
    forward: Forward
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
    weights: tuple[Weight, ...] = ()
    foldable: bool = False

    def signature(self, batch: int | None) -> dict[str, tuple[tuple[int | None, ...], str]]:
        """Return every input's traced shape (with the batch axis) and dtype."""
        return {spec.name: ((batch, *spec.shape), spec.dtype) for spec in self.inputs}
