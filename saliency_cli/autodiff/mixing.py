"""Whether the rows of a batch meet in a model: then what it says of a sample depends on the batch it came in.

`x / max(x)` over the whole batch, or a normalisation by the batch's own statistics, is a mistake that one sample at a
time does not show; points of a path, noisy copies and padding would all have a part in each other's gradients.
Most operations tell by their shapes that rows stay apart. Where some don't, one batch is evaluated twice with other
companions, and the logits of a row in the middle compared.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from saliency_cli.autodiff.backward.flow import Flow, has_inside
from saliency_cli.autodiff.backward.kinds import BATCH_NORMS
from saliency_cli.autodiff.runtime import tf
from saliency_cli.differentiable import Array, Arrays
from saliency_cli.errors import InputError, ModelError

Tensor = Any
Operation = Any

# Which input says along which axes.
_ALONG = {
    "All": 1, "Any": 1, "ArgMax": 1, "ArgMin": 1, "Cumprod": 1, "Cumsum": 1, "EuclideanNorm": 1, "Max": 1, "Mean": 1,
    "Min": 1, "Prod": 1, "ReverseV2": 1, "Roll": 2, "Sum": 1,
}  # fmt: skip
_OF_PLACES = ("Reshape", "MatMul", "BiasAdd")
_TOLERANCE = 1e-4  # of the logits' size: companions change no bit where rows are apart


def meeting(flow: Flow, batch: int) -> str:
    """Return the first operation on a way at which rows may meet, empty where they can't."""
    return next((f"{op.type} '{op.name}'" for op in flow.operations if _may_meet(flow, op, batch)), "")


def _may_meet(flow: Flow, operation: Operation, batch: int) -> bool:
    kind, carried = operation.type, flow.carried(operation)
    if has_inside(operation) or (kind in BATCH_NORMS and operation.get_attr("is_training")):
        return True
    if not all(_has_rows(tensor, batch, kind) for tensor in operation.outputs if tensor.consumers()):
        return True
    if kind in _ALONG:
        axes, rank = tf.get_static_value(operation.inputs[_ALONG[kind]]), operation.inputs[0].shape.rank
        return axes is None or rank is None or any(axis % rank == 0 for axis in np.ravel(axes))
    if kind == "Transpose":
        order = tf.get_static_value(operation.inputs[1])
        return order is None or order[0] != 0
    if kind == "GatherV2" and 0 in carried:
        axis = tf.get_static_value(operation.inputs[2])
        return axis is None or int(axis) == 0
    if kind == "Einsum" and len(carried) > 1:
        taken, _, given = operation.get_attr("equation").decode().partition("->")
        return any(part[:1] != given[:1] or not given[:1].isalpha() for part in taken.split(","))
    return kind == "MatMul" and (len(carried) > 1 or bool(operation.get_attr("transpose_a")))


def _has_rows(tensor: Tensor, batch: int, kind: str) -> bool:
    """Whether the first axis is the batch, or in the product of a dense layer its places one after another."""
    length = tensor.shape[0] if tensor.shape.rank else None
    return length == batch or bool(length and kind in _OF_PLACES and length % batch == 0)


def require_apart(
    inputs: Arrays, rows: Mapping[str, Array], evaluate: Callable[[Arrays, Mapping[str, Array]], Array], suspect: str
) -> None:
    """Evaluate a batch of copies of its first row, then with other companions.

    `evaluate` returns the logits `(batch, classes)`. Raises `ModelError` where those of the row in the middle are not
    the same.
    """
    batch = len(next(iter(rows.values())))
    middle = batch // 2
    copies = {name: np.repeat(array[:1], batch, axis=0) for name, array in inputs.items()}
    alike = {name: np.repeat(array[:1], batch, axis=0) for name, array in rows.items()}

    def others(factor: int) -> Arrays:
        return {name: _companions(array, middle, factor) for name, array in copies.items()}

    try:
        second = evaluate(others(2), alike)[middle]
    except InputError:  # of a model that takes no such values, as numbers of words
        second = evaluate(others(1), alike)[middle]
    first = evaluate(copies, alike)[middle]
    size = np.abs(first).max(initial=0.0)
    if np.allclose(first, second, rtol=0, atol=_TOLERANCE * size, equal_nan=True):
        return
    raise ModelError(
        f"the model mixes the rows of a batch (at {suspect}, or behind it), so what it says of a sample depends on "
        "what else is computed with it, and so would a map",
        hint="--batch-size 1 (in Python batch_size=1): every point by itself; or mend the model: along axis 1 and on",
        reason="rows-meet",
    )


def _companions(copies: Array, middle: int, factor: int) -> Array:
    """Return rows of which only the middle one is left as it was: the others back to front, every second zero."""
    if copies.dtype.kind != "f":
        return copies
    flat = copies.reshape(len(copies), -1)
    changed = flat[:, ::-1] * np.asarray(factor, flat.dtype)
    changed[::2] = 0
    changed[middle] = flat[middle]
    return np.asarray(changed.reshape(copies.shape))
