"""Why a gradient is None: what stands between an input and the target in the traced graph."""

from typing import Any

Tensor = Any

# Operations whose derivative is undefined or dropped, as a user would call them.
_BLOCKING = {
    "ArgMax": "argmax", "ArgMin": "argmin", "Round": "round", "Rint": "round", "Floor": "floor", "Ceil": "ceil",
    "Greater": "a comparison", "GreaterEqual": "a comparison", "Less": "a comparison",
    "LessEqual": "a comparison", "Equal": "a comparison", "NotEqual": "a comparison", "OneHot": "one-hot",
    "StopGradient": "stop_gradient", "Bucketize": "discretization", "UnravelIndex": "an index",
    "StringToHashBucketFast": "hashing", "LookupTableFindV2": "a lookup table",
}  # fmt: skip


def why_disconnected(name: str, source: Tensor, target: Tensor) -> str:
    """Say why the target has no gradient with respect to an input.

    Walks forward from the input over every operation that feeds the target. Either no path leads there,
    or every path passes an operation without a derivative, which is named with its layer.
    """
    needed = _ancestors(target.op)
    blocking: list[Any] = []
    reached = {source.op}
    frontier = [source.op]
    connected = source.op in needed
    while frontier:
        for tensor in frontier.pop().outputs:
            for consumer in tensor.consumers():
                if consumer not in needed or consumer in reached:
                    continue
                reached.add(consumer)
                integer_cast = consumer.type == "Cast" and not consumer.outputs[0].dtype.is_floating
                if consumer.type in _BLOCKING or integer_cast:
                    blocking.append(consumer)
                else:
                    frontier.append(consumer)
    if not connected:
        return f"input '{name}' is not connected to the target: the output does not depend on it"
    if not blocking:
        return f"input '{name}' reaches the target only through an operation without a gradient"
    # A comparison beside the true obstacle is often a part of it (argmax compares with zero first).
    first = min(blocking, key=lambda operation: _BLOCKING.get(operation.type) == "a comparison")
    what = _BLOCKING.get(first.type, f"a cast to {first.outputs[0].dtype.name}")
    scope = first.name.rpartition("/")[0]
    return f"input '{name}' reaches the target only through {what} ({scope or first.name}), which has no gradient"


def _ancestors(operation: Any) -> set[Any]:
    found = {operation}
    frontier = [operation]
    while frontier:
        for tensor in frontier.pop().inputs:
            if tensor.op not in found:
                found.add(tensor.op)
                frontier.append(tensor.op)
    return found
