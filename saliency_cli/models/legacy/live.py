"""A live tf_keras model → `Model`: its inputs, outputs, layers, weights' hash and clues."""

from collections.abc import Mapping
from typing import Any

from saliency_cli.autodiff.model import Model, OutputSpec
from saliency_cli.autodiff.runtime import tf
from saliency_cli.errors import ModelError
from saliency_cli.models.keras3.live import channel_axis, losses_by_output, unique, weights_hash
from saliency_cli.models.keras3.normalizing import foldable
from saliency_cli.models.keras3.weights import owned_weights
from saliency_cli.models.legacy.clues import find_clues
from saliency_cli.models.legacy.runtime import import_tf_keras
from saliency_cli.models.legacy.taps import describe_layers, forward, layer_paths
from saliency_cli.records import InputSpec


def wrap(model: Any, *, loss: Any, notes: tuple[str, ...], **facts: Any) -> Model:
    """Return a `Model` over a live tf_keras model. Raises `ModelError` for one whose inputs aren't known."""
    structure, specs, batch = _inputs(model)
    outputs = _outputs(model, structure, specs)
    return Model(
        name=model.name,
        inputs=specs,
        outputs=outputs,
        layers=describe_layers(model),
        forward=forward(model, structure, tuple(output.name for output in outputs)),
        batch=batch,
        parameters=int(model.count_params()),
        weights_sha256=weights_hash(model),
        losses=losses_by_output(loss, outputs),
        clues=find_clues(model, specs),
        notes=notes,
        weights=owned_weights(model, layer_paths(model)),
        foldable=foldable(layer_paths(model), import_tf_keras().layers.BatchNormalization),
        **facts,
    )


def _inputs(model: Any) -> tuple[Any, tuple[InputSpec, ...], int | None]:
    """Return the structure of input names the model takes, their specs, and its fixed batch size."""
    if model.inputs:
        nested = model._nested_inputs
        tensors = tf.nest.flatten(nested)
        names = unique([str(tensor._keras_history.layer.name) for tensor in tensors])
        types = [(tuple(tensor.shape.as_list()), tensor.dtype.name) for tensor in tensors]
    else:
        nested = _built_shapes(model)
        names = list(nested) if isinstance(nested, dict) else unique(["input"] * len(tf.nest.flatten(nested)))
        types = [(tuple(shape.shape), "float32") for shape in tf.nest.flatten(nested)]
    order = iter(names)
    structure = tf.nest.map_structure(lambda _: next(order), nested)
    if isinstance(structure, (list, tuple)) and len(structure) == 1:
        structure = structure[0]
    specs = tuple(
        InputSpec(name, shape[1:], dtype, channel_axis(model, shape[1:]))
        for name, (shape, dtype) in zip(names, types, strict=True)
    )
    batches = {shape[0] for shape, _ in types} - {None}
    return structure, specs, max(batches) if batches else None


def _built_shapes(model: Any) -> Any:
    """Return the structure of shapes a subclassed model was built with, its batch axis open."""
    shapes = (model.get_build_config() or {}).get("input_shape") if model.built else None
    if not shapes:
        raise ModelError(
            f"the model '{model.name}' was saved without the shape of its input",
            hint="call it once on an example (or give it an Input layer), then save it again",
            reason="not-built",
        )
    if isinstance(shapes, dict):
        return {name: _spec(shapes[name]) for name in sorted(shapes)}
    return [_spec(shape) for shape in shapes] if isinstance(shapes[0], (list, tuple)) else _spec(shapes)


def _spec(shape: Any) -> Any:
    # The batch size in it is that of the example it was built with, not one it insists on.
    return tf.TensorSpec((None, *shape[1:]))


def _outputs(model: Any, structure: Any, specs: tuple[InputSpec, ...]) -> tuple[OutputSpec, ...]:
    if model.outputs:
        nested, names = model._nested_outputs, list(model.output_names)
        tensors = list(model.outputs)
    else:
        known = {spec.name: tf.TensorSpec((None, *spec.shape), spec.dtype) for spec in specs}
        arguments = tf.nest.map_structure(lambda name: known[name], structure)
        traced = tf.function(lambda x: model(x, training=False), autograph=False).get_concrete_function(arguments)
        nested = traced.structured_outputs
        tensors = tf.nest.flatten(nested)
        names = ["output"] * len(tensors)
    if isinstance(nested, Mapping):
        names = [str(key) for key in sorted(nested)]  # the order in which TensorFlow flattens a dictionary
    shapes = [tuple(tensor.shape.as_list())[1:] for tensor in tensors]
    return tuple(OutputSpec(name, shape) for name, shape in zip(unique(names), shapes, strict=True))
