"""How many bytes a traced graph takes at its most, by the life of its tensors.

The operations are gone through in the order of their making, which is the order they are run in but for what runs
side by side. Every output is held until its last reader, and what TensorFlow shares is shared: values put into
another shape, and those that are overwritten in place. A call takes what its function takes; what a loop keeps for
its gradient it keeps once a turn. Weights are not counted, since they are there already.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from saliency_cli.autodiff.backward.kinds import ELEMENTWISE
from saliency_cli.autodiff.runtime import tf
from saliency_cli.autodiff.walks import ancestors

_SAME = frozenset(
    {"Identity", "IdentityN", "Reshape", "Squeeze", "ExpandDims", "StopGradient", "EnsureShape", "PreventGradient"}
)
_IN_PLACE = ELEMENTWISE | {"AddN", "ReluGrad", "Relu6Grad", "EluGrad", "SigmoidGrad", "TanhGrad", "DivNoNan"}
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_LOOPS = ("While", "StatelessWhile")
_KEPT = {"TensorListPushBack": 1, "TensorListSetItem": 2}
"""What puts a tensor into a list, and which of its inputs that is."""


def peak(graph: Any) -> int:
    """Return the bytes that a graph's floating values of known shape take at their most, its inputs included."""
    operations = _needed(graph)
    readers = Counter(tensor.name for operation in operations for tensor in operation.inputs)
    readers.update(tensor.name for tensor in graph.outputs)
    held: dict[str, _Buffer] = {}
    total = most = 0
    for operation in operations:
        given = [held.get(tensor.name) for tensor in operation.inputs]
        known = [buffer for buffer in given if buffer is not None]
        for buffer in known:
            buffer.readers -= 1
        dying = [buffer for buffer in dict.fromkeys(known) if not buffer.readers]
        for position, (tensor, size) in enumerate(zip(operation.outputs, _sizes(operation), strict=True)):
            reused = _reused(operation, position, given, dying, size)
            buffer = reused or _Buffer(size)
            buffer.readers += readers[tensor.name]
            held[tensor.name] = buffer
            total += 0 if reused else size
        most = max(most, total + _inside(operation))
        total -= sum(buffer.size for buffer in dying if not buffer.readers)
    return most


def everything(graph: Any) -> int:
    """Return the bytes of all floating values of a graph together: no less than its peak, and quicker told."""
    return sum(size + _inside(operation) for operation in graph.get_operations() for size in _sizes(operation))


def _needed(graph: Any) -> list[Any]:
    """Return the operations that lead to a graph's outputs, in the order of their making."""
    found = set[str]().union(*(ancestors(tensor.op) for tensor in graph.outputs))
    return [operation for operation in graph.get_operations() if operation.name in found]


class _Buffer:
    def __init__(self, size: int) -> None:
        self.size, self.readers = size, 0


def _reused(
    operation: Any, position: int, given: list[_Buffer | None], dying: Iterable[_Buffer], size: int
) -> _Buffer | None:
    """Return the buffer that an output is written into, or is, where that is one the operation was given."""
    if operation.type in _SAME:
        return given[position] if position < len(given) else None
    if operation.type not in _IN_PLACE:
        return None
    return next((buffer for buffer in dying if buffer.size == size), None)


def _sizes(operation: Any) -> list[int]:
    """Return the bytes of an operation's outputs; a list that a loop fills is as large as it gets."""
    sizes = [_bytes(tensor) for tensor in operation.outputs]
    if operation.type not in _LOOPS:
        return sizes
    turns = _turns(operation)
    for position, tensor in enumerate(_body(operation, "body").outputs):
        if position < len(sizes) and tensor.op.type in _KEPT:
            sizes[position] += turns * _bytes(tensor.op.inputs[_KEPT[tensor.op.type]])
    return sizes


def _turns(loop: Any) -> int:
    """Return how often a loop goes round at most, where Keras and TensorFlow tell; else 1."""
    bound = tf.get_static_value(loop.inputs[1]) if len(loop.inputs) > 1 else None
    return int(bound) if bound is not None and bound.shape == () and 0 < int(bound) < 2**31 - 1 else 1


def _inside(operation: Any) -> int:
    """Return what the function that an operation calls takes by itself."""
    if operation.type in _CALLS:
        return peak(_body(operation, "f"))
    return peak(_body(operation, "body")) if operation.type in _LOOPS else 0


def _body(operation: Any, attribute: str) -> Any:
    found = operation.graph._get_function(operation.get_attr(attribute).name)  # noqa: SLF001 - no public way
    if hasattr(found, "graph"):
        return found.graph
    # Of a graph that was read from a file it may be the bare definition.
    from tensorflow.python.framework.function_def_to_graph import function_def_to_graph

    with operation.graph.as_default():
        return function_def_to_graph(found.definition)


def _bytes(tensor: Any) -> int:
    count = tensor.shape.num_elements() if tensor.shape.rank is not None else None
    return (count or 0) * tensor.dtype.size if tensor.dtype.is_floating else 0
