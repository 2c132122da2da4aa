"""A live Keras 3 model → `Model`: its inputs, outputs, layers, weights' hash and clues."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from saliency_cli.autodiff.model import Model, OutputSpec
from saliency_cli.autodiff.runtime import keras
from saliency_cli.errors import ModelError
from saliency_cli.models.keras3.clues import find_clues
from saliency_cli.models.keras3.normalizing import foldable
from saliency_cli.models.keras3.taps import HALF, describe_layers, forward, half_precision, layer_paths
from saliency_cli.models.keras3.weights import owned_weights
from saliency_cli.records import InputSpec


def wrap(model: Any, *, losses: Mapping[str, Any] | None = None, fixed: bool = False, **facts: Any) -> Model:
    """Return a `Model` over a live Keras model. Raises `ModelError` for one that was never built.

    `fixed` says that nobody else holds the model, so that its weights stay what they are.
    """
    if not isinstance(model, keras.Model):
        raise ModelError(
            f"expected a Keras 3 model, got {type(model).__module__}.{type(model).__name__}",
            hint="models of tf_keras and plain functions can't be wrapped: save the model and load the file",
        )
    structure, specs, batch = _inputs(model)
    outputs = _outputs(model, structure, specs)
    notes = []
    paths = layer_paths(model)
    if half_precision(model):
        notes.append("half-precision layers are computed in float32")
    return Model(
        name=model.name,
        format=facts.pop("format", "live Keras model"),
        inputs=specs,
        outputs=outputs,
        layers=describe_layers(model),
        forward=forward(model, structure, tuple(output.name for output in outputs)),
        batch=batch,
        parameters=int(model.count_params()),
        weights_sha256=weights_hash(model),
        losses=losses if losses is not None else _compiled_losses(model, outputs),
        clues=find_clues(model, specs),
        notes=tuple(notes),
        weights=owned_weights(model, paths),
        foldable=fixed and foldable(paths),
        **facts,
    )


def weights_hash(model: Any) -> str:
    """Return the SHA-256 over (dtype, shape, bytes) of every weight, in order.

    Stable across re-saving, where the file's own hash is not (it holds the date). The states of random
    seeds are left out: they are drawn anew at every load.
    """
    digest = hashlib.sha256()
    for variable in model.weights:
        array = np.ascontiguousarray(variable.numpy() if hasattr(variable, "numpy") else np.asarray(variable))
        digest.update(f"{array.dtype.name}|{array.shape}|".encode())
        digest.update(array.view(np.uint8).data if array.size else b"")
    return digest.hexdigest()


def _inputs(model: Any) -> tuple[Any, tuple[InputSpec, ...], int | None]:
    """Return the structure of input names the model takes, their specs, and its fixed batch size."""
    structure = getattr(model, "_inputs_struct", None)
    if structure is None and isinstance(model, keras.Sequential) and model.built and model._functional:
        structure = model._functional._inputs_struct
    if structure is not None:
        tensors = keras.tree.flatten(structure)
        names = unique([_input_name(tensor) for tensor in tensors])
        shapes = [(tuple(tensor.shape), tensor.dtype) for tensor in tensors]
    else:
        # The batch size in it is that of the example it was built with, not one it insists on.
        named = {name: (None, *shape[1:]) for name, shape in _built_shapes(model).items()}
        names, shapes = list(named), [(shape, "float32") for shape in named.values()]
        structure = names[0] if len(names) == 1 else {name: name for name in names}
        tensors = names
    order = iter(names)
    structure = keras.tree.map_structure(lambda _: next(order), structure)
    if isinstance(structure, (list, tuple)) and len(structure) == 1:
        structure = structure[0]
    batches = {shape[0] for shape, _ in shapes} - {None}
    specs = tuple(
        InputSpec(
            name,
            tuple(shape[1:]),
            "float32" if dtype in HALF else str(dtype),
            channel_axis(model, tuple(shape[1:])),
        )
        for name, (shape, dtype) in zip(names, shapes, strict=True)
    )
    return structure, specs, max(batches) if batches else None


def _input_name(tensor: Any) -> str:
    # A tensor's own name counts up from process to process where the user gave none; its layer's is saved.
    history = getattr(tensor, "_keras_history", None)
    layer = history.operation if history else None
    return str(layer.name if isinstance(layer, keras.layers.InputLayer) else tensor.name)


def _built_shapes(model: Any) -> dict[str, tuple[int | None, ...]]:
    """Return the input shapes a subclassed model was built with."""
    config = model.get_build_config() or {}
    shapes = config.get("shapes_dict") or config.get("input_shape")
    if not model.built or not shapes:
        raise ModelError(
            f"the model '{model.name}' was never built, so the shape of its input is not known",
            hint="call it once on an example (or give it an Input layer), then save it again",
            reason="not-built",
        )
    if isinstance(shapes, dict):
        named = {key.removesuffix("_shape"): tuple(shape) for key, shape in shapes.items()}
        return {"input" if len(named) == 1 else name: shape for name, shape in named.items()}
    if shapes and isinstance(shapes[0], (list, tuple)):
        return {f"input_{i}": tuple(shape) for i, shape in enumerate(shapes)}
    return {"input": tuple(shapes)}


def _outputs(model: Any, structure: Any, specs: tuple[InputSpec, ...]) -> tuple[OutputSpec, ...]:
    tensors = getattr(model, "outputs", None)
    if tensors is None:
        known = keras.tree.map_structure(
            lambda name: _symbol(next(spec for spec in specs if spec.name == name)), structure
        )
        struct = model.compute_output_spec(known)
        tensors = keras.tree.flatten(struct)
    else:
        struct = getattr(getattr(model, "_functional", None) or model, "_outputs_struct", tensors)
    if isinstance(struct, dict):
        names = [".".join(str(part) for part in path) for path, _ in keras.tree.flatten_with_path(struct)]
    else:
        functional = getattr(model, "_functional", None) or model
        names = list(getattr(functional, "output_names", None) or [])
    if len(names) != len(tensors):
        names = ["output"] if len(tensors) == 1 else [f"output_{i}" for i in range(len(tensors))]
    return tuple(
        OutputSpec(name, tuple(tensor.shape[1:])) for name, tensor in zip(unique(names), tensors, strict=True)
    )


def _symbol(spec: InputSpec) -> Any:
    return keras.KerasTensor((None, *spec.shape), spec.dtype, name=spec.name)


def unique(names: list[str]) -> list[str]:
    """Return the names with a number added to those that stand there already."""
    found: list[str] = []
    for name in names:
        candidate, number = name, 1
        while candidate in found:
            candidate, number = f"{name}_{number}", number + 1
        found.append(candidate)
    return found


def channel_axis(model: Any, shape: tuple[int | None, ...]) -> int | None:
    """Return the channel axis of a picture or signal input, by what the model's layers say.

    Rank 3 is a picture and rank 2 a signal of channels; the last axis unless the layers are
    channels-first. A rank-2 input whose last axis is longer than 4 may be a grey picture or a signal:
    it has channels only if a layer treats it so.
    """
    if len(shape) not in (2, 3):
        return None
    formats = {getattr(layer, "data_format", None) for layer in model._flatten_layers()}
    first = "channels_first" in formats and "channels_last" not in formats
    if len(shape) == 3:
        small = [axis for axis in (2, 0) if shape[axis] is not None and int(shape[axis] or 0) <= 4]
        if first and shape[0] is not None and (not small or 0 in small):
            return 0
        return small[0] if small else 2
    return 0 if first else 1


def _compiled_losses(model: Any, outputs: tuple[OutputSpec, ...]) -> dict[str, Any]:
    loss = getattr(model, "loss", None) if getattr(model, "compiled", False) else None
    return losses_by_output(loss, outputs)


def losses_by_output(loss: Any, outputs: tuple[OutputSpec, ...]) -> dict[str, Any]:
    """Spread a compile configuration's loss over the outputs it is for."""
    if loss is None:
        return {}
    names = [output.name for output in outputs]
    if isinstance(loss, dict) and "class_name" not in loss:
        return {name: loss[name] for name in names if loss.get(name) is not None}
    if isinstance(loss, (list, tuple)):
        return {name: value for name, value in zip(names, loss, strict=False) if value is not None}
    return dict.fromkeys(names, loss)
