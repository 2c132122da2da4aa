"""The inputs and outputs of a graph as a `Model` describes them."""

from collections.abc import Mapping
from typing import Any

from saliency_cli.autodiff.runtime import tf
from saliency_cli.errors import ModelError
from saliency_cli.models.graphs.guessing import PLACEHOLDERS, off_value
from saliency_cli.models.graphs.shapes import shape_behind
from saliency_cli.records import InputSpec

Tensor = Any
Message = Any
Shape = tuple[int | None, ...]

_HALF = ("float16", "bfloat16")


def behind_casts(inputs: dict[str, str], graph: Any) -> tuple[dict[str, str], list[str]]:
    """Move each input of bytes behind the cast to floating numbers that is its only use.

    A picture given as `uint8` has no gradient; the same values as floats have.
    """
    moved, notes = {}, []
    for key, name in inputs.items():
        moved[key] = name
        tensor = graph.get_tensor_by_name(name)
        uses = tensor.consumers()
        while len(uses) == 1 and uses[0].type == "Identity":
            uses = uses[0].outputs[0].consumers()
        if tensor.dtype == tf.uint8 and len(uses) == 1 and uses[0].type == "Cast":
            behind = uses[0].outputs[0]
            if behind.dtype.is_floating:
                moved[key] = behind.name
                notes.append(f"the input '{key}' takes bytes; it is fed behind its cast to {behind.dtype.name}")
    return moved, notes


def numeric_outputs(outputs: dict[str, str], graph: Any) -> tuple[dict[str, str], list[str]]:
    """Leave out the outputs that are strings. Raises `ModelError` where nothing is left."""
    tensors = {key: graph.get_tensor_by_name(name) for key, name in outputs.items()}
    kept = {key: outputs[key] for key, tensor in tensors.items() if _is_numeric(tensor)}
    left = [key for key in outputs if key not in kept]
    if not kept:
        raise ModelError(
            f"no output of the model is a number: {', '.join(left) or 'it has none'}",
            hint="choose another --signature or --output-tensor",
            reason="no-output",
        )
    return kept, [f"the output '{key}' is no number and is left out" for key in left]


def _is_numeric(tensor: Tensor) -> bool:
    return bool(tensor.dtype.is_floating or tensor.dtype.is_integer or tensor.dtype.is_bool)


def input_specs(
    inputs: Mapping[str, str], shapes: Mapping[str, Shape], graph: Any
) -> tuple[tuple[InputSpec, ...], int | None]:
    """Return the inputs without the batch axis, and the batch size the graph insists on.

    Raises `ModelError` for an input of strings, of unknown rank or without a batch axis.
    """
    if not inputs:
        raise ModelError("the graph takes no input", hint="name one with --input-tensor", reason="no-input")
    specs, batches = [], set()
    first = _channels_first(graph)
    for key, name in inputs.items():
        tensor = graph.get_tensor_by_name(name)
        if not (tensor.dtype.is_floating or tensor.dtype.is_integer or tensor.dtype.is_bool):
            raise ModelError(
                f"the input '{key}' takes {tensor.dtype.name}, which has no gradient",
                hint="export the part of the model that takes numbers",
                reason="integer-input",
            )
        shape = _shape(key, tensor, shapes.get(key))
        dtype = "float32" if tensor.dtype.name in _HALF else tensor.dtype.name
        specs.append(InputSpec(key, shape[1:], dtype, _channel_axis(shape[1:], first=first)))
        batches.add(shape[0])
    fixed = sorted(batches - {None}, key=lambda size: size or 0)
    return tuple(specs), fixed[-1] if fixed else None


def _shape(key: str, tensor: Tensor, declared: Shape | None) -> Shape:
    shape = tuple(tensor.shape) if tensor.shape.rank is not None else declared or shape_behind(tensor)
    if shape is None:
        raise ModelError(
            f"the shape of the input '{key}' is not known: the graph doesn't say even how many axes it has",
            hint="export the model with the input's shape, or name a tensor behind it with --input-tensor",
            reason="unknown-shape",
        )
    if not shape:
        raise ModelError(
            f"the input '{key}' is a single number without a batch axis",
            hint="name the inputs that are data with --input-tensor",
            reason="no-batch-axis",
        )
    return shape


def _channels_first(graph: Any) -> bool:
    kinds = ("Conv2D", "DepthwiseConv2dNative", "MaxPool", "AvgPool", "FusedBatchNormV3")
    formats = {op.get_attr("data_format") for op in graph.get_operations() if op.type in kinds}
    return b"NCHW" in formats and b"NHWC" not in formats


def _channel_axis(shape: Shape, *, first: bool) -> int | None:
    """Return the channel axis of a picture (three axes) or a signal (two): the last, unless a short one says."""
    if len(shape) not in (2, 3):
        return None
    if len(shape) == 2:
        return 0 if first else 1
    short = [axis for axis in ((0, 2) if first else (2, 0)) if (shape[axis] or 5) <= 4]
    return short[0] if short else (0 if first else 2)


def held_constants(graph: Message) -> tuple[dict[str, bool | float], list[str]]:
    """Return the values at which switches of training are held: not training, everything kept.

    Raises `ModelError` for any other placeholder that nothing feeds.
    """
    held: dict[str, bool | float] = {}
    for node in graph.node:
        if node.op not in PLACEHOLDERS:
            continue
        off = off_value(node)
        if off is None:
            raise ModelError(
                f"the output also needs the placeholder '{node.name}', which is no input",
                hint=f"give it too: --input-tensor {node.name}",
                reason="unfed-input",
            )
        held[f"{node.name}:0"] = off
    return held, [f"{name.removesuffix(':0')} is held at {value}" for name, value in held.items()]
