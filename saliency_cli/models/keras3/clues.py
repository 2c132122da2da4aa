"""What a model's own layers tell of the values it expects: read off, not guessed.

A chain is followed from each input through the layers that consume it, as long as they keep the values'
order (casts, padding, augmentation, a nested model): the first `Rescaling` or `Normalization` found is
the clue. After that, a name of `keras.applications` on the model or on a nested one.
"""

from typing import Any

import numpy as np

from saliency_cli.autodiff.runtime import keras
from saliency_cli.records import InputSpec, ScalingClue

# Names that keras.applications gives its models, as prefixes.
APPLICATIONS = (
    "vgg16", "vgg19", "resnet", "densenet", "mobilenet", "MobilenetV3", "MobileNetV3", "inception", "xception",
    "nasnet", "NASNet", "efficientnet", "convnext", "regnet",
)  # fmt: skip

_ARITHMETIC = {
    "TrueDivide": "divide",
    "Divide": "divide",
    "Multiply": "multiply",
    "Subtract": "subtract",
    "Add": "add",
}
PASSING = (
    "Random", "Resizing", "CenterCrop", "ZeroPadding", "Cropping", "Dropout", "GaussianNoise", "Identity", "Permute",
    "Reshape", "Activation",
)  # fmt: skip


def find_clues(model: Any, specs: tuple[InputSpec, ...]) -> dict[str, tuple[ScalingClue, ...]]:
    """Return the clues for every floating input, the one nearest to the input first."""
    found = {}
    for position, spec in enumerate(specs):
        if spec.floating:
            clues = _along(model, position, "")
            found[spec.name] = (*clues, *_names(model))
    return found


def _names(model: Any) -> list[ScalingClue]:
    nested = [layer for layer in model._flatten_layers() if isinstance(layer, keras.Model)]
    return [
        ScalingClue("application", "" if layer is model else layer.name, layer.name)
        for layer in nested
        if layer.name.startswith(APPLICATIONS)
    ]


def _along(model: Any, position: int, prefix: str) -> list[ScalingClue]:
    """Follow one input of a functional or Sequential model to the first layer that scales it."""
    if isinstance(model, keras.Sequential):
        for layer in model.layers:
            clues, goes_on = _clue(layer, prefix)
            if clues or not goes_on:
                return clues
        return []
    if not hasattr(model, "_inputs") or not hasattr(model, "operations"):
        return []
    tensor = model._inputs[position]
    scale, offset, path = 1.0, 0.0, ""
    for _ in range(32):
        uses = [
            (operation, node)
            for operation in model.operations
            for node in operation._inbound_nodes
            if any(t is tensor for t in node.input_tensors) and node.output_tensors[0] is not tensor
        ]
        # The same operation may also be used outside this model; only its use here counts.
        if len(uses) != 1:
            return []
        operation, node = uses[0]
        step = _arithmetic(operation, node)
        if step is not None:
            scale, offset, path = scale * step[0], offset * step[0] + step[1], prefix + operation.name
        elif path:
            return [ScalingClue("rescaling", path, path, scale, offset)]
        else:
            clues, goes_on = _clue(operation, prefix)
            if clues or not goes_on:
                return clues
        tensor = node.output_tensors[0]
    return []


def _clue(layer: Any, prefix: str) -> tuple[list[ScalingClue], bool]:
    """Return a layer's clue, and whether the values pass it unscaled so that the next may tell."""
    path, kind = prefix + layer.name, type(layer).__name__
    if kind == "Rescaling":
        scale, offset = (float(np.mean(layer.scale)), float(np.mean(layer.offset)))
        return [ScalingClue("rescaling", path, layer.name, scale, offset)], False
    if kind == "Normalization":
        if getattr(layer, "mean", None) is None:
            return [], False
        mean, variance = np.mean(np.asarray(layer.mean)), np.mean(np.asarray(layer.variance))
        sigma = float(np.sqrt(max(float(variance), 1e-12)))
        return [ScalingClue("normalization", path, layer.name, 1 / sigma, -float(mean) / sigma)], False
    if isinstance(layer, keras.Model):
        return _along(layer, 0, f"{path}/"), False
    return [], kind.startswith(PASSING) or kind in ("InputLayer", "Cast", "GetItem")


def _arithmetic(operation: Any, node: Any) -> tuple[float, float] | None:
    """Return (scale, offset) of `x / 127.5`, `x - 1` and the like written into a functional model."""
    what = _ARITHMETIC.get(type(operation).__name__)
    if what is None or isinstance(operation, keras.layers.Layer):
        return None
    constants = [value for value in node.arguments.args if not isinstance(value, keras.KerasTensor)]
    if len(node.input_tensors) != 1 or len(constants) != 1 or node.arguments.args[0] is constants[0]:
        return None
    value = float(np.mean(np.asarray(constants[0])))
    return {
        "divide": (1 / value if value else 1, 0.0),
        "multiply": (value, 0.0),
        "subtract": (1.0, -value),
        "add": (1.0, value),
    }[what]
