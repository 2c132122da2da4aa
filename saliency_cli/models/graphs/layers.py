"""The layers of a graph that has no layers: what each scope of operation names ends with.

Builders of graphs name operations in scopes, one a layer (`MobilenetV2/Conv/Conv2D`, `…/BatchNorm/…`,
`…/Relu6`). The last operation of a scope that depends on an input is what the layer gives out, and its
name is the layer's path: `MobilenetV2/Conv/Relu6`. The scopes that saving adds in front are left off.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from saliency_cli.autodiff.model import Layer

Tensor = Any

# More than these can't be read as a list: then inner steps are left out, and deep scopes folded.
MOST_LAYERS = 800
_FEWEST = 10

_WRAPPING = re.compile(r"^((Stateful)?PartitionedCall(_\d+)?/)+")
# Operations that only hand on: no layer ends with them by meaning to.
_PASSING = ("Identity", "IdentityN", "Cast", "StopGradient", "Snapshot", "EnsureShape", "ExpandDims", "Squeeze")
# Steps within what is usually called a layer, or between two: the first to be left out of a long list.
_WITHIN = (
    "BiasAdd", "FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3", "MirrorPad", "Mul", "Pad", "PadV2",
    "Reshape", "StridedSlice", "Sub", "Transpose",
)  # fmt: skip
# What these give depends on how large an input is, not on its values.
_SHAPES = ("Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike")


def path_of(name: str) -> str:
    """Return an operation's name without the scopes that saving adds in front."""
    return _WRAPPING.sub("", name)


def layer_tensors(operations: Iterable[Any], inputs: Iterable[Tensor]) -> dict[str, Tensor]:
    """Return the layers among operations in order of computation: path → output tensor.

    A layer's tensor is floating, depends on an input, and has a batch axis.
    """
    starts = {tensor.name for tensor in inputs}
    reached: set[str] = set()
    found = []
    for operation in operations:
        if any(tensor.name in starts or tensor.op.name in reached for tensor in operation.inputs):
            if operation.type in _SHAPES:
                continue
            reached.add(operation.name)
            if operation.type not in _PASSING and _is_activation(operation):
                found.append(operation)
    last = _last_of_scopes(found)
    if len(last) > MOST_LAYERS:
        last = _last_of_scopes([operation for operation in found if operation.type not in _WITHIN])
    return {path_of(operation.name): operation.outputs[0] for operation in last}


def _last_of_scopes(operations: list[Any]) -> list[Any]:
    """Return the last operation of each scope, scopes as deep as the number of layers allows."""
    scopes = {operation.name: path_of(operation.name).split("/")[:-1] for operation in operations}
    last: dict[Any, Any] = {}
    for depth in range(max((len(scope) for scope in scopes.values()), default=0), -1, -1):
        last = {}
        for operation in operations:
            scope = scopes[operation.name]
            # An operation outside every scope is a layer by itself: hand-written graphs name each one.
            key = tuple(scope[:depth]) if scope else operation.name
            last.pop(key, None)
            last[key] = operation
        if len(last) <= MOST_LAYERS:
            break
    # Names of one level fold into a single scope, which says nothing: then the layers nearest the output stay.
    folded = list(last.values())
    return folded if len(folded) >= _FEWEST or len(operations) <= MOST_LAYERS else operations[-MOST_LAYERS:]


def _is_activation(operation: Any) -> bool:
    if operation.type.startswith("TensorList"):
        return False
    output = operation.outputs[0] if operation.outputs else None
    return output is not None and output.dtype.is_floating and output.shape.rank not in (None, 0)


def described(tensors: Mapping[str, Tensor], sizes: Iterable[tuple[str, int]]) -> tuple[Layer, ...]:
    """Return the layers with their kind (the operation's type) and the weights read in their scope.

    `sizes`: the operation that reads a weight, and how many numbers the weight holds.
    """
    counted: dict[str, int] = dict.fromkeys(tensors, 0)
    scopes = {path.rpartition("/")[0]: path for path in tensors}
    for name, size in sizes:
        scope = path_of(name).rpartition("/")[0]
        while scope and scope not in scopes:
            scope = scope.rpartition("/")[0]
        if scope in scopes:
            counted[scopes[scope]] += size
    return tuple(Layer(path, tensor.op.type, counted[path]) for path, tensor in tensors.items())
