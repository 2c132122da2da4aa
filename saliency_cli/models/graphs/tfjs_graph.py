"""TensorFlow.js graph-models: `model.json` with a GraphDef in JSON, and weight files beside it.

The graph becomes a TensorFlow graph again: weights go into its constants, fused operations are taken
apart, loops stay loops. Results follow TensorFlow, also where TensorFlow.js has another gradient or none.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saliency_cli.autodiff.model import Model
from saliency_cli.autodiff.runtime import tf
from saliency_cli.differentiable import Array
from saliency_cli.errors import ModelError
from saliency_cli.models.graphs.flattened import GraphSource, build
from saliency_cli.models.graphs.guessing import guess_inputs, guess_outputs, named
from saliency_cli.models.graphs.tfjs_graph_nodes import FUSED, taken_apart
from saliency_cli.models.graphs.tfjs_graph_reading import look_at, recognise
from saliency_cli.models.options import OpenOptions
from saliency_cli.models.tfjs.document import model_file
from saliency_cli.models.tfjs.weights import read_weights

__all__ = ["load", "recognise"]

Message = Any


def load(path: Path, options: OpenOptions) -> Model:
    """Load a graph-model from its `model.json` or the folder it is in. Raises `ModelError`."""
    file = model_file(path)
    content, description = look_at(file, trust=options.trust)
    graph = _graph(file, description["modelTopology"])
    _fill(file, graph, read_weights(file.parent, description["weightsManifest"], texts=True))
    nodes = taken_apart(graph.node)
    del graph.node[:]
    graph.node.extend(nodes)
    inputs, outputs = _ends(file, graph, description, options)
    made_by = [str(description[key]) for key in ("convertedBy", "generatedBy") if description.get(key)]
    return build(
        GraphSource(graph, inputs, outputs),
        name=file.resolve().parent.name,
        kind="tfjs-graph",
        path=path.as_posix(),
        sha256=hashlib.sha256(content).hexdigest(),
        writer=made_by[0] if made_by else "",
    )


def _graph(file: Path, topology: Mapping[str, Any]) -> Message:
    """Return the GraphDef that the JSON stands for: bytes as base64, enumerations by name."""
    from google.protobuf import json_format  # type: ignore[import-untyped]

    graph = tf.compat.v1.GraphDef()
    try:
        json_format.ParseDict(topology, graph, ignore_unknown_fields=True)
    except (json_format.ParseError, ValueError, RecursionError) as error:
        raise ModelError(
            f"'{file}' is broken: its graph can't be read ({str(error)[:200]})",
            hint="was it copied whole? convert the original model again",
            reason="truncated",
        ) from None
    for function in graph.library.function:
        for node in function.node_def:
            if node.op in FUSED:
                raise ModelError(
                    f"'{file}' holds the fused operation {node.op} inside a loop or branch ('{node.name}'), "
                    "which is not taken apart",
                    hint="give the model that this one was converted from",
                    reason="unknown-operation",
                )
    return graph


def _fill(file: Path, graph: Message, weights: dict[str, Array]) -> None:
    """Put every weight into the constant of its name. Raises `ModelError` for one without the other."""
    bodies = (function.node_def for function in graph.library.function)
    constants = [node for nodes in (graph.node, *bodies) for node in nodes if node.op == "Const"]
    left = dict.fromkeys(weights)
    for node in constants:
        left.pop(node.name, None)
        if node.name in weights:
            dtype = tf.as_dtype(node.attr["dtype"].type)
            array = weights[node.name]
            if dtype != tf.string:
                array = array.astype(dtype.as_numpy_dtype)
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(array, dtype, array.shape))
        elif not _has_value(node.attr["value"].tensor):
            raise ModelError(
                f"'{file}' has no weights for its constant '{node.name}'",
                hint="was it copied whole? convert the original model again",
                reason="missing-weights",
            )
    if left:
        raise ModelError(
            f"'{file}' has weights that no operation of its graph takes: {', '.join(list(left)[:5])}",
            hint="do model.json and the weight files belong together?",
            reason="unassigned-weights",
        )


def _has_value(tensor: Message) -> bool:
    sizes = [dimension.size for dimension in tensor.tensor_shape.dim]
    values = (field.name.endswith("_val") or field.name == "tensor_content" for field, _ in tensor.ListFields())
    return any(values) or 0 in sizes


def _ends(
    file: Path, graph: Message, description: Mapping[str, Any], options: OpenOptions
) -> tuple[dict[str, str], dict[str, str]]:
    """Return tensor names by input and output name: the user's, else the signature's, else guessed ones."""
    metadata = description.get("userDefinedMetadata") or {}
    signature = description.get("signature") or metadata.get("signature") or {}
    inputs = {name: str(entry.get("name", name)) for name, entry in (signature.get("inputs") or {}).items()}
    outputs = {name: str(entry.get("name", name)) for name, entry in (signature.get("outputs") or {}).items()}
    if options.input_tensors or not inputs:
        inputs = {named(name): name for name in options.input_tensors or guess_inputs(file, graph)}
    if options.output_tensors or not outputs:
        outputs = {named(name): name for name in options.output_tensors or guess_outputs(file, graph)}
    return inputs, outputs
