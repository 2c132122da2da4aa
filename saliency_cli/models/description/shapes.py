"""The shapes that a configuration tells of its layers: what one is given, another gave."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from saliency_cli.models.description.facts import Shape
from saliency_cli.models.tfjs.calls import layer_name
from saliency_cli.models.tfjs.inputs import batch_shape

if TYPE_CHECKING:
    from saliency_cli.models.description.layers import Node

Config = dict[str, Any]

# Layers that give out the shape they are given.
_KEEPING = (
    "Activation", "ActivityRegularization", "AlphaDropout", "BatchNormalization", "Dropout", "ELU", "GaussianDropout",
    "GaussianNoise", "GroupNormalization", "Identity", "LayerNormalization", "LeakyReLU", "Masking", "Normalization",
    "PReLU", "ReLU", "Rescaling", "Softmax", "SpatialDropout1D", "SpatialDropout2D", "UnitNormalization",
)  # fmt: skip


def fill_in(model: "Node", options: Config) -> None:
    """Fill in the shapes that the calls of a model's layers tell: what one is given, another gave."""
    by_name = {layer_name(node.entry): node for node in model.inside}
    for node in model.inside:
        built = node.entry.get("build_config")
        node.given = axes(built.get("input_shape")) if isinstance(built, dict) else None
        # Converters repeat the shape of a model's input in layers further on, where it is wrong.
        if node is model.inside[0] or node.kind == "InputLayer":
            node.given = node.given or axes(batch_shape(node.entry) if node.entry.get("config") else None)
        if node.kind == "InputLayer":
            node.gives = node.given
        for tensor in _tensors(node.entry.get("inbound_nodes")):
            shape, history = axes(tensor.get("shape")), tensor.get("keras_history")
            node.given = node.given or shape
            if isinstance(history, list) and history and history[0] in by_name and history[2:3] == [0]:
                by_name[history[0]].gives = by_name[history[0]].gives or shape
    if "input_layers" not in options:
        for before, after in zip(model.inside, model.inside[1:], strict=False):
            before.gives = before.gives or after.given
            after.given = after.given or before.gives
    for node in model.inside:
        node.gives = node.gives or _computed(node)


def _tensors(value: Any) -> Iterator[Config]:
    """Yield what Keras 3 writes of every tensor a layer is called with."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if item.get("class_name") == "__keras_tensor__" and isinstance(item.get("config"), dict):
                yield item["config"]
            else:
                waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(reversed(item))


def axes(shape: Any) -> Shape | None:
    """Return a shape as a configuration writes it, None for anything else."""
    plain = isinstance(shape, list) and shape and all(size is None or type(size) is int for size in shape)
    return tuple(shape) if plain else None


def _computed(node: "Node") -> Shape | None:
    """Return the shape that a layer at the end gives out, of the few kinds that models end with."""
    if node.inside:
        return node.inside[-1].gives
    if node.given is None:
        return None
    if node.kind in _KEEPING:
        return node.given
    last = units(node)
    return None if last is None else (*node.given[:-1], last)


def units(node: "Node") -> int | None:
    """Return how many units a Dense layer has; Keras 1 called them something else."""
    found = node.config.get("units", node.config.get("output_dim"))
    return found if node.kind == "Dense" and type(found) is int else None
