"""Frozen TensorFlow graphs: one `.pb` file of a GraphDef with its weights as constants.

The file says neither which operations are inputs nor which are outputs, nor often the shape of an input.
What can be told is told from the graph; else the candidates are listed and the user names them.
"""

import hashlib
from pathlib import Path

from saliency_cli.autodiff.model import Model
from saliency_cli.autodiff.runtime import tf
from saliency_cli.models.graphs.flattened import GraphSource, build
from saliency_cli.models.graphs.frozen_graph_reading import look_at, recognise
from saliency_cli.models.graphs.guessing import guess_inputs, guess_outputs, named
from saliency_cli.models.options import OpenOptions

__all__ = ["load", "recognise"]


def load(path: Path, options: OpenOptions) -> Model:
    """Load a frozen graph. Raises `ModelError` where it is broken, refused, or its ends can't be told."""
    content = look_at(path, trust=options.trust)
    graph = tf.compat.v1.GraphDef()
    graph.ParseFromString(content)
    inputs = options.input_tensors or guess_inputs(path, graph)
    outputs = options.output_tensors or guess_outputs(path, graph)
    return build(
        GraphSource(graph, {named(name): name for name in inputs}, {named(name): name for name in outputs}),
        name=path.stem,
        kind="frozen-graph",
        path=path.as_posix(),
        sha256=hashlib.sha256(content).hexdigest(),
        writer=f"TensorFlow (graph version {graph.versions.producer})" if graph.versions.producer else "",
    )
