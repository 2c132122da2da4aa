"""A flat TensorFlow graph with named inputs and outputs → `Model`: SavedModel, TensorFlow.js, frozen graph.

Each trace imports the graph anew into the graph being traced, so operations, layers and heads are found
there by name, and the tape sees every operation. Weights are handed over as tensors that all traces
share.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from saliency_cli.autodiff.model import Model, OutputSpec, Traced, Weight
from saliency_cli.autodiff.runtime import tf
from saliency_cli.errors import ModelError
from saliency_cli.models.graphs.calls import newly_named
from saliency_cli.models.graphs.ends import behind_casts, held_constants, input_specs, numeric_outputs
from saliency_cli.models.graphs.layers import described, layer_tensors, path_of
from saliency_cli.models.graphs.recording import import_recorded
from saliency_cli.models.graphs.surgery import (
    flattened,
    pruned,
    readers,
    require_no_old_loops,
    take_weights,
    tensor_of,
)
from saliency_cli.models.graphs.weights import hash_and_sizes

Tensor = Any
Message = Any


@dataclass(frozen=True)
class GraphSource:
    """A graph and what is known of it: tensor names by input and output name.

    `shapes` says the shape of an input, with the batch axis, where the file says it beside the graph.
    """

    graph_def: Message
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    shapes: Mapping[str, tuple[int | None, ...]] = field(default_factory=dict)


def build(source: GraphSource, *, name: str, kind: str, path: str = "", sha256: str = "", writer: str = "") -> Model:
    """Return the `Model` of a graph; `kind` is its format, and the rest goes into it as it is.

    Raises `ModelError` where an input or output can't be one.
    """
    graph, notes = flattened(source.graph_def)
    weights = take_weights(graph)
    inputs = {key: tensor_of(value) for key, value in source.inputs.items()}
    outputs = {key: tensor_of(value) for key, value in source.outputs.items()}
    sketch = _sketch(graph, weights, (*inputs.values(), *outputs.values()))
    inputs, cast_notes = behind_casts(inputs, sketch)
    outputs, output_notes = numeric_outputs(outputs, sketch)
    specs, batch = input_specs(inputs, source.shapes, sketch)
    graph = pruned(graph, outputs.values(), cut=inputs.values(), there=weights)
    require_no_old_loops(graph)
    held, held_notes = held_constants(graph)
    needed = {tensor for node in graph.node for tensor in node.input}
    weights = {tensor: value for tensor, value in weights.items() if tensor in needed}
    digest, sizes = hash_and_sizes(graph, weights)
    kept = {node.name for node in graph.node}
    layers = layer_tensors(
        [operation for operation in sketch.get_operations() if operation.name in kept],
        [sketch.get_tensor_by_name(tensor) for tensor in inputs.values()],
    )
    plan = _Plan(
        graph=graph,
        inputs=inputs,
        dtypes={key: sketch.get_tensor_by_name(tensor).dtype for key, tensor in inputs.items()},
        outputs=outputs,
        layers={path: tensor.name for path, tensor in layers.items()},
        weights=weights,
        held=held,
        needed=frozenset(needed),
    )
    read_by = readers(graph)
    return Model(
        name=name,
        format=kind,
        inputs=specs,
        outputs=tuple(OutputSpec(key, _after_batch(sketch.get_tensor_by_name(t))) for key, t in outputs.items()),
        layers=described(layers, [(read_by.get(constant, constant), size) for constant, size in sizes.items()]),
        forward=partial(_forward, plan),
        batch=batch,
        parameters=sum(sizes.values()),
        weights_sha256=digest,
        path=path,
        sha256=sha256,
        writer=writer,
        notes=(*notes, *cast_notes, *output_notes, *held_notes),
        weights=_weights(graph, weights, sizes, read_by),
    )


@dataclass(frozen=True, eq=False)
class _Plan:
    """What a trace needs: names are those in the graph, `needed` the tensors its operations read."""

    graph: Message
    inputs: Mapping[str, str]
    dtypes: Mapping[str, Any]
    outputs: Mapping[str, str]
    layers: Mapping[str, str]
    weights: Mapping[str, Tensor]
    held: Mapping[str, bool | float]
    needed: frozenset[str]


def _weights(
    graph: Message, taken: Mapping[str, Tensor], sizes: Mapping[str, int], read_by: Mapping[str, str]
) -> tuple[Weight, ...]:
    """Return the constants that may be weights; one with several axes is a layer by itself, as no layer is known."""
    small = {f"{node.name}:0": node.attr["value"].tensor for node in graph.node if node.op == "Const"}
    found = []
    for constant in sizes:
        tensor = f"{constant}:0"
        value = taken[tensor] if tensor in taken else tf.constant(tf.make_ndarray(small[tensor]))
        reader = path_of(read_by.get(constant, constant))
        layer = reader if value.shape.rank > 1 else reader.rpartition("/")[0] or reader
        found.append(
            Weight(constant, layer, tuple(value.shape), value.dtype.name, partial(_same, value), learned=False)
        )
    return tuple(found)


def _same(value: Tensor) -> Tensor:
    return value


_NOTHING: Mapping[str, Tensor] = {}


def _forward(
    plan: _Plan,
    named: Mapping[str, Tensor],
    given: Mapping[str, Tensor] = _NOTHING,
    placed: Mapping[str, Tensor] = _NOTHING,
) -> Traced:
    """Emit the graph into the graph being traced, with `given` tensors for the constants of those names.

    Those `placed` stand for what the layers of those paths give out.
    """
    ends = {tensor: tf.cast(named[key], plan.dtypes[key]) for key, tensor in plan.inputs.items()}
    other = {f"{name}:0": value for name, value in given.items()}
    fed = ends | {tensor: tf.identity(value) for tensor, value in plan.weights.items() if tensor not in other} | other
    fed |= {tensor: tf.constant(value) for tensor, value in plan.held.items()}
    wanted = [tensor for tensor in (*plan.outputs.values(), *plan.layers.values()) if tensor not in ends]
    behind = {plan.layers[path]: value for path, value in placed.items()}
    read = {tensor: value for tensor, value in (fed | behind).items() if tensor in plan.needed}
    found = dict(zip(wanted, import_recorded(plan.graph, read, wanted), strict=True)) | ends | behind
    return Traced(
        {key: found[tensor] for key, tensor in plan.outputs.items()},
        {path: found[tensor] for path, tensor in plan.layers.items()},
    )


def _sketch(graph: Message, weights: Mapping[str, Tensor], tensors: tuple[str, ...]) -> Any:
    """Import a graph by itself, for its shapes and dtypes. Raises `ModelError` where TensorFlow refuses it."""
    part = pruned(graph, tensors, cut=(), there=weights)
    needed = {tensor for node in part.node for tensor in node.input}
    sketch = tf.Graph()
    with sketch.as_default():
        given = {
            name: tf.compat.v1.placeholder(value.dtype, value.shape)
            for name, value in weights.items()
            if name in needed
        }
        try:
            tf.graph_util.import_graph_def(newly_named(part), input_map=given, name="")
        except (ValueError, tf.errors.InvalidArgumentError) as error:
            first = str(error).strip().partition("\n")[0][:300]
            raise ModelError(
                f"TensorFlow can't import the graph: {first}",
                hint="was it written by a newer TensorFlow, or with operations of its own?",
                reason="unloadable",
            ) from error
    return sketch


def _after_batch(tensor: Tensor) -> tuple[int | None, ...]:
    return tuple(tensor.shape[1:]) if tensor.shape.rank else ()
