"""Frozen TensorFlow graphs: one `.pb` file of a GraphDef with its weights as constants.

The file says neither which operations are inputs nor which are outputs, nor often the shape of an input.
What can be told is told from the graph; else the candidates are listed and the user names them.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from saliency_cli.autodiff.model import Model
from saliency_cli.autodiff.runtime import tf
from saliency_cli.errors import ModelError
from saliency_cli.models.graphs.calls import node_of
from saliency_cli.models.graphs.ends import is_switch
from saliency_cli.models.graphs.flattened import GraphSource, build
from saliency_cli.models.graphs.frozen_graph_reading import look_at, recognise
from saliency_cli.models.options import OpenOptions

__all__ = ["guess_inputs", "guess_outputs", "load", "recognise"]

Message = Any

_PLACEHOLDERS = ("Placeholder", "PlaceholderV2")
# An operation that nothing consumes is an output, unless it only orders, checks, or holds a number.
_NO_OUTPUT = (
    "NoOp",
    "Assert",
    "Const",
    "Placeholder",
    "PlaceholderV2",
    "PlaceholderWithDefault",
    "Identity",
    "Shape",
)
# What turns scores into a choice (the scores before it are what can be differentiated), and what hands it on.
_CHOOSING = ("ArgMax", "ArgMin", "TopK", "TopKV2", "Round")
_PASSING = ("Identity", "Cast", "Squeeze", "ExpandDims")
_LISTED = 12


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


def named(tensor: str) -> str:
    """Return what an input or output is called that has no name but its tensor's."""
    return tensor.removesuffix(":0")


def guess_inputs(path: Path, graph: Message) -> tuple[str, ...]:
    """Return the placeholders that hold data: not the switches of training, not strings.

    Raises `ModelError` listing operations where there is none.
    """
    placeholders = [node for node in graph.node if node.op in _PLACEHOLDERS and not is_switch(node)]
    if not placeholders:
        raise ModelError(
            f"'{path}' has no placeholder, so its input can't be told; it begins with "
            + _listed(node.name for node in graph.node if node.op != "Const"),
            hint="name the tensor that is the input: --input-tensor NAME",
            reason="no-input",
        )
    return tuple(node.name for node in placeholders)


def guess_outputs(path: Path, graph: Message) -> tuple[str, ...]:
    """Return the operations that nothing consumes, and instead of a choice the scores it is made from.

    Where several are left and some are a softmax or sigmoid, only those. Raises `ModelError` listing them
    where there is none or still more than a few.
    """
    nodes = {node.name: node for node in graph.node}
    consumed = {node_of(name) for node in graph.node for name in node.input}
    loose = [node for node in graph.node if node.name not in consumed]
    ends = [_scores(node, nodes) for node in loose]
    ends = [node for node in ends if node.op not in _NO_OUTPUT]
    names = tuple(dict.fromkeys(node.name for node in ends))
    heads = tuple(name for name in names if nodes[name].op in ("Softmax", "Sigmoid", "LogSoftmax"))
    found = heads if heads and len(names) > 1 else names
    if 0 < len(found) <= _LISTED:
        return found
    told = "no operation is left over as an output" if not found else f"{len(found)} operations could be outputs"
    raise ModelError(
        f"the output of '{path}' can't be told: {told}; it ends with "
        + _listed(found or [node.name for node in graph.node if node.op not in _NO_OUTPUT][-_LISTED:]),
        hint="name the tensor that is the output: --output-tensor NAME",
        reason="no-output",
    )


def _scores(node: Message, nodes: dict[str, Message]) -> Message:
    """Walk back over identities, and over a choice and what hands it on, to the scores behind."""
    found = walked = node
    while walked.op in (*_CHOOSING, *_PASSING) and walked.input and node_of(walked.input[0]) in nodes:
        before = nodes[node_of(walked.input[0])]
        if walked.op in _CHOOSING or (walked.op == "Identity" and found is walked):
            found = before
        walked = before
    return found


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    more = f" and {len(every) - _LISTED} more" if len(every) > _LISTED else ""
    return ", ".join(every[:_LISTED]) + more
