"""The constants of a graph as weights: how many numbers each holds, and one hash over all."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from saliency_cli.autodiff.runtime import tf
from saliency_cli.models.graphs.layers import path_of

Message = Any


def hash_and_sizes(graph: Message, weights: Mapping[str, Any]) -> tuple[str, dict[str, int]]:
    """Return the SHA-256 over (name, dtype, shape, bytes) of every constant, and the sizes of the weights.

    Sorted by name, and names in library functions without the function's own, which TensorFlow numbers
    anew at every load. A weight is a floating constant with at least one axis.
    """
    arrays = {name.removesuffix(":0"): np.asarray(value) for name, value in weights.items()}
    arrays |= {node.name: _value(node) for node in graph.node if node.op == "Const"}
    sizes = {name: array.size for name, array in arrays.items() if array.ndim and _is_floating(array)}
    bodies = (node for function in graph.library.function for node in function.node_def if node.op == "Const")
    lines = [_line(path_of(name), array) for name, array in arrays.items()]
    lines += [_line(node.name, _value(node)) for node in bodies]
    digest = hashlib.sha256()
    for line in sorted(lines):
        digest.update(line)
    return digest.hexdigest(), sizes


def _value(node: Message) -> Any:
    return tf.make_ndarray(node.attr["value"].tensor)


def _is_floating(array: Any) -> bool:
    return bool(array.dtype.kind == "f" or array.dtype.name == "bfloat16")


def _line(name: str, array: Any) -> bytes:
    content = b"\0".join(array.ravel().tolist()) if array.dtype.kind == "O" else np.ascontiguousarray(array).tobytes()
    return f"{name}|{array.dtype.name}|{array.shape}|".encode() + hashlib.sha256(content).digest()
