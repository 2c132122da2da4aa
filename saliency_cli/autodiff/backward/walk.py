"""The walk itself: messages go from a tensor back to the sources, one operation at a time."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from saliency_cli.autodiff.backward.flow import WITHOUT_RULES, Flow
from saliency_cli.autodiff.runtime import tf
from saliency_cli.errors import ModelError

Tensor = Any
Operation = Any
Step = Callable[[Operation, list[Tensor]], Iterable[tuple[Tensor, Tensor]]]


def walk(flow: Flow, seed: Tensor, step: Step) -> list[Tensor | None]:
    """Return what arrives at each source when `seed` starts at the end, None where nothing does.

    `step(operation, arriving)` yields (tensor, message) for tensors behind the operation; `arriving` has a
    message for every output, zeros where none came. Messages to one tensor are added up.
    """
    messages: dict[str, list[Tensor]] = {flow.end.name: [seed]}
    for operation in reversed(flow.operations):
        came = [messages.pop(tensor.name, None) for tensor in operation.outputs]
        if not any(came):
            continue
        arriving = [
            tf.add_n(found) if found else tf.zeros_like(tensor)
            for found, tensor in zip(came, operation.outputs, strict=True)
        ]
        for tensor, message in step(operation, arriving):
            if tensor.name in flow.data:
                messages.setdefault(tensor.name, []).append(message)
    found = [messages.get(tensor.name) for tensor in flow.sources]
    return [tf.add_n(parts) if parts else None for parts in found]


def replayed(operation: Operation, inputs: Mapping[int, Tensor]) -> Operation:
    """Emit an operation again with other tensors at some of its inputs."""
    given = [inputs.get(i, tensor) for i, tensor in enumerate(operation.inputs)]
    attributes = {key: value for key, value in operation.node_def.attr.items() if not key.startswith("_")}
    return tf.compat.v1.get_default_graph().create_op(
        operation.type,
        given,
        [tensor.dtype for tensor in operation.outputs],
        name=f"replayed/{operation.type}",
        attrs=attributes,
        op_def=operation.op_def,
    )


def pulled(operation: Operation, arriving: list[Tensor]) -> list[Tensor | None]:
    """Return the arriving messages pulled back by the derivative TensorFlow has registered, one an input."""
    from tensorflow.python.framework import ops

    try:
        function = ops.get_gradient_function(operation)
    except LookupError:
        raise no_rule("the derivative", operation) from None
    found = function(operation, *arriving) if function is not None else None
    parts = list(found) if isinstance(found, (list, tuple)) else [found] * len(operation.inputs)
    return [None if part is None else tf.convert_to_tensor(part) for part in parts]


def pulled_by_input(
    flow: Flow, operation: Operation, arriving: list[Tensor], source: Operation | None = None
) -> Iterable[tuple[Tensor, Tensor]]:
    """Yield (input, message) of every input that carries data; `source` is the operation made again elsewhere."""
    if operation.type == "IdentityN":  # its own gradient stands for the operations before it, which have rules
        yield from zip(operation.inputs, arriving, strict=True)
        return
    parts = pulled(source if source is not None else operation, arriving)
    for i in flow.carried(operation):
        part = parts[i]
        if part is not None:
            yield operation.inputs[i], part


def no_rule(what: str, operation: Operation, being: str = "") -> ModelError:
    """Return the refusal of an operation that a rule says nothing about. `being`: what that is to a model."""
    return ModelError(
        f"{what} has no rule for the operation {operation.type} ('{operation.name}'){being and ', '}{being}",
        hint=WITHOUT_RULES,
        reason="no-rule",
    )
