"""What the inputs of a TensorFlow.js layers-model are: their shapes, looked for where they may stand, and types."""

from collections.abc import Mapping
from typing import Any

from saliency_cli.models.tfjs.calls import find_calls
from saliency_cli.models.tfjs.fields import Config, snake_keys

MODELS = ("Sequential", "Functional", "Model")


def token_inputs(entries: list[Config], first: Mapping[str, int]) -> set[str]:
    """Return the inputs that an Embedding reads: whole numbers, whatever type they are declared as."""
    embeddings = [entry for entry in entries if entry.get("class_name") == "Embedding"]
    calls = [call for entry in embeddings for call in find_calls(entry, first)]
    return {tensor["config"]["keras_history"][0] for call in calls for tensor in call["args"]}


def written_name(entry: Config) -> str:
    """Return a layer's name as the file writes it."""
    config = entry.get("config") or {}
    return str((config.get("name") if isinstance(config, Mapping) else None) or entry.get("name") or "layer")


def input_layer(name: str, written: str, shape: Any, *, tokens: bool) -> Config:
    """Return an input layer of any batch size, of float32 (or int32 where an Embedding reads it).

    TensorFlow.js differentiates with respect to whole numbers and answers in float32; TensorFlow has no
    such gradient, so inputs of every other type are floats here.
    """
    sizes = [None if size is None else int(size) for size in shape[1:]]
    config = {"name": name, "batch_shape": [None, *sizes], "dtype": "int32" if tokens else "float32"}
    return {
        "module": "keras.layers",
        "class_name": "InputLayer",
        "config": config,
        "registered_name": None,
        "written": written,
    }


def batch_shape(entry: Config) -> list[int | None] | None:
    """Return the input shape a layer declares, with its batch axis; None where it declares none."""
    config = snake_keys(entry.get("config") or {})
    shape = config.get("batch_input_shape") or config.get("batch_shape")
    if shape is None and isinstance(config.get("input_shape"), list):
        shape = [None, *config["input_shape"]]
    return shape


def first_shape(entry: Config) -> list[int | None] | None:
    """Return the shape of a model's input, as told by its first layer or by what is inside that."""
    kind = entry.get("class_name")
    if kind not in MODELS:
        config = snake_keys(entry.get("config") or {})
        return batch_shape(entry) or (first_shape(snake_keys(config["layer"])) if kind == "Bidirectional" else None)
    config = entry.get("config") or {}
    config = {"layers": config} if isinstance(config, list) else snake_keys(config)
    layers = [snake_keys(layer) for layer in config["layers"]]
    inputs = [layer for layer in layers if layer.get("class_name") == "InputLayer"]
    if inputs or kind != "Sequential":
        return batch_shape(inputs[0]) if len(inputs) == 1 else None
    return (first_shape(layers[0]) if layers else None) or config.get("build_input_shape")
