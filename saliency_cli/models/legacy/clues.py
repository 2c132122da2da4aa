"""What a tf_keras model's own layers tell of the values it expects: read off, not guessed.

The Keras 2 variant of `keras_clues`: the first `Rescaling`, `Normalization` or written-out arithmetic met on the
way from an input, then a name of `keras.applications` on the model or on a nested one.
"""

from typing import Any

import numpy as np

from saliency_cli.models.keras3.clues import APPLICATIONS, PASSING
from saliency_cli.models.legacy.runtime import import_tf_keras
from saliency_cli.records import InputSpec, ScalingClue

# The names of TensorFlow functions and graph operations that Keras 2 writes for `x / 127.5 - 1`.
_ARITHMETIC = {
    "truediv": "divide", "divide": "divide", "RealDiv": "divide", "multiply": "multiply", "Mul": "multiply",
    "subtract": "subtract", "Sub": "subtract", "add": "add", "AddV2": "add", "Add": "add",
}  # fmt: skip


def find_clues(model: Any, specs: tuple[InputSpec, ...]) -> dict[str, tuple[ScalingClue, ...]]:
    """Return the clues for every floating input, the one nearest to the input first."""
    names = [
        ScalingClue("application", "" if layer is model else layer.name, layer.name)
        for layer in model._flatten_layers()
        if isinstance(layer, import_tf_keras().Model) and layer.name.startswith(APPLICATIONS)
    ]
    return {spec.name: (*_along(model, position, ""), *names) for position, spec in enumerate(specs) if spec.floating}


def _along(model: Any, position: int, prefix: str) -> list[ScalingClue]:
    """Follow one input of a model to the first layer that scales it."""
    if not model.inputs or position >= len(model.inputs):
        return []
    tensor = model.inputs[position]
    scale, offset, path = 1.0, 0.0, ""
    own = [node for nodes in model._nodes_by_depth.values() for node in nodes]
    for _ in range(32):
        uses = [node for node in own if not node.is_input and any(t is tensor for t in node.keras_inputs)]
        if len(uses) != 1:
            return []
        (node,) = uses
        step = _arithmetic(node)
        if step is not None:
            scale, offset, path = scale * step[0], offset * step[0] + step[1], prefix + node.layer.name
        elif path:
            return [ScalingClue("rescaling", path, path, scale, offset)]
        else:
            clues, goes_on = _clue(node.layer, prefix)
            if clues or not goes_on:
                return clues
        if isinstance(node.outputs, (list, tuple, dict)):
            return []
        tensor = node.outputs
    return []


def _clue(layer: Any, prefix: str) -> tuple[list[ScalingClue], bool]:
    """Return a layer's clue, and whether the values pass it unscaled so that the next may tell."""
    path, kind = prefix + layer.name, type(layer).__name__
    if kind == "Rescaling":
        scale, offset = float(np.mean(layer.scale)), float(np.mean(layer.offset))
        return [ScalingClue("rescaling", path, layer.name, scale, offset)], False
    if kind == "Normalization":
        if getattr(layer, "mean", None) is None:
            return [], False
        mean, variance = float(np.mean(np.asarray(layer.mean))), float(np.mean(np.asarray(layer.variance)))
        sigma = float(np.sqrt(max(variance, 1e-12)))
        return [ScalingClue("normalization", path, layer.name, 1 / sigma, -mean / sigma)], False
    if isinstance(layer, import_tf_keras().Model):
        return _along(layer, 0, f"{path}/"), False
    return [], kind.startswith(PASSING) or _named(layer).rpartition(".")[2] in ("cast", "convert_to_tensor")


def _named(layer: Any) -> str:
    """Return the TensorFlow function or graph operation that a layer stands for."""
    if type(layer).__name__ == "TFOpLambda":
        return str(layer.symbol)
    return str(layer.node_def.op) if type(layer).__name__ == "TensorFlowOpLayer" else ""


def _arithmetic(node: Any) -> tuple[float, float] | None:
    """Return (scale, offset) of `x / 127.5`, `x - 1` and the like written into a functional model."""
    what = _ARITHMETIC.get(_named(node.layer).rpartition(".")[2])
    if what is None:
        return None
    if type(node.layer).__name__ == "TensorFlowOpLayer":
        constants = node.layer.constants
        if 0 in constants:
            return None
        values = list(constants.values())
    else:
        values = [*node.call_args[1:], *(value for key, value in node.call_kwargs.items() if key != "name")]
    if len(node.parent_nodes) != 1 or len(values) != 1 or not np.isscalar(np.asarray(values[0]).tolist()):
        return None
    value = float(np.asarray(values[0]))
    return {
        "divide": (1 / value if value else 1.0, 0.0),
        "multiply": (value, 0.0),
        "subtract": (1.0, -value),
        "add": (1.0, value),
    }[what]
