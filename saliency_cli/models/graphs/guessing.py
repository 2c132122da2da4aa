"""What a graph without a signature takes and gives, told from its operations alone, without TensorFlow.

Works on TensorFlow's own messages and on those of `messages`, whose fields have the same names.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from saliency_cli.errors import ModelError
from saliency_cli.models.graphs.messages import DT_BOOL, FLOATING

Message = Any

PLACEHOLDERS = ("Placeholder", "PlaceholderV2")
# An operation that nothing consumes is an output, unless it only orders, checks, or holds a number.
_NO_OUTPUT = ("NoOp", "Assert", "Const", *PLACEHOLDERS, "PlaceholderWithDefault", "Identity", "Shape")
# What turns scores into a choice (the scores before it are what can be differentiated), and what hands it on.
_CHOOSING = ("ArgMax", "ArgMin", "TopK", "TopKV2", "Round")
_PASSING = ("Identity", "Cast", "Squeeze", "ExpandDims")
_LISTED = 12

_TRAINING = re.compile(r"learning_phase|is_training|training|phase_train|train_mode")
_KEEPING = re.compile(r"keep_prob")


def node_of(name: str) -> str:
    """Return the node a tensor (`a:1`), a control input (`^a`) or a name in a body (`a:out:0`) belongs to."""
    return name.removeprefix("^").partition(":")[0]


def named(tensor: str) -> str:
    """Return what an input or output is called that has no name but its tensor's."""
    return tensor.removesuffix(":0")


def off_value(node: Message) -> bool | float | None:
    """Return the value that stands for "not training", or None for a placeholder of something else."""
    dtype = node.attr["dtype"].type
    if dtype == DT_BOOL and _TRAINING.search(node.name.lower()):
        return False
    return 1.0 if dtype in FLOATING and _KEEPING.search(node.name.lower()) else None


def guess_inputs(path: Path, graph: Message) -> tuple[str, ...]:
    """Return the placeholders that hold data: not the switches of training.

    Raises `ModelError` listing operations where there is none.
    """
    placeholders = [node for node in graph.node if node.op in PLACEHOLDERS and off_value(node) is None]
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
    seen = set()
    while walked.op in (*_CHOOSING, *_PASSING) and walked.input and node_of(walked.input[0]) in nodes:
        if walked.name in seen:
            break
        seen.add(walked.name)
        before = nodes[node_of(walked.input[0])]
        if walked.op in _CHOOSING or (walked.op == "Identity" and found is walked):
            found = before
        walked = before
    return found


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    more = f" and {len(every) - _LISTED} more" if len(every) > _LISTED else ""
    return ", ".join(every[:_LISTED]) + more
