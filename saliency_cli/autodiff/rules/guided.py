"""Guided backpropagation: at every ReLU what goes back is kept where it is positive, and the ReLU was on.

The operations keep their type and get another derivative after the trace, so nested models, legacy models and
imported graphs are all the same. Loops and calls ignore such a derivative silently: with a ReLU inside
they are refused.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from saliency_cli.autodiff.backward.elementwise import Elementwise
from saliency_cli.autodiff.backward.flow import Flow, has_inside, hidden_by
from saliency_cli.autodiff.backward.kinds import OTHER_ACTIVATIONS, SUMS
from saliency_cli.autodiff.backward.ruled import Pulled, Way, counted
from saliency_cli.autodiff.runtime import tf
from saliency_cli.errors import ModelError

__all__ = ["Guided"]

Tensor = Any
Operation = Any
_RELUS = ("Relu", "Relu6")


@dataclass(frozen=True)
class Guided:
    """`guided`: g·1[g > 0]·1[the ReLU is on]. `deconvnet`: g·1[g > 0], whatever the forward pass was."""

    form: Annotated[Literal["guided", "deconvnet"], Meta(description="what a ReLU lets back")] = "guided"

    references: ClassVar[int] = 0

    def backward(self, way: Way, others: Sequence[Tensor]) -> Pulled:  # noqa: ARG002 - it compares with none
        """Give every ReLU on the way its other derivative, and differentiate."""
        relus, others_there = _activations(way.flow)
        _require_in_sight(way.flow, self.form)
        if not relus:
            raise ModelError(
                f"{self.form} changes what goes back through ReLUs, and there is none between the inputs and the "
                f"target ({others_there} other activations)",
                hint="a network of GELU, swish or tanh has no such map: gradient, smoothgrad, integrated-gradients",
                reason="nothing-to-patch",
            )
        for operation in relus:
            _override(operation, f"Saliency{self.form.title()}{operation.type}")
        found = tf.gradients(way.flow.end, list(way.flow.sources), grad_ys=way.seed)
        told = counted(way, Counter(operation.type for operation in relus))
        told["unpatched"] = tf.fill(tf.shape(way.seed)[:1], tf.constant(float(others_there)))
        return Pulled([None if g is None else tf.convert_to_tensor(g) for g in found], told)


def _activations(flow: Flow) -> tuple[list[Operation], int]:
    """Return the ReLUs on a way, and how many other activations there are.

    A ReLU that another activation is written with (PReLU, hard swish, CELU) is a part of that one; in a sum of
    nothing but ReLUs each is its own.
    """
    elementwise = Elementwise(flow)
    joins = {operation.name: elementwise.joined(operation) for operation in flow.operations}
    for operation in flow.operations:
        if operation.type in SUMS and all(map(is_relu, joins[operation.name])):
            del joins[operation.name]
    inner = {part.name for parts in joins.values() for part in parts}
    alone = [operation for operation in flow.operations if operation.name not in inner]
    others = [op for op in alone if op.type in OTHER_ACTIVATIONS or (joins.get(op.name) and not is_relu(op))]
    return [operation for operation in alone if is_relu(operation)], len(others)


def is_relu(operation: Operation) -> bool:
    """Whether an operation is a ReLU: by its type, or a maximum with the constant 0."""
    if operation.type != "Maximum":
        return operation.type in _RELUS
    return any(_is_zero(tensor) for tensor in operation.inputs)


def _is_zero(tensor: Tensor) -> bool:
    value = tf.get_static_value(tensor)
    return value is not None and not value.any()


def _require_in_sight(flow: Flow, form: str) -> None:
    graph = flow.end.graph
    for operation in flow.operations:
        inside = {found.type for name in _called(operation) for found in _body(graph, name)}
        if inside & set(_RELUS):
            what, hint = hidden_by(operation)
            raise ModelError(
                f"{form} can't reach the ReLUs inside {operation.type} ('{operation.name}'): {what} keeps its own "
                "derivative",
                hint=hint,
                reason="hidden-operations",
            )


def _called(operation: Operation) -> list[str]:
    if not has_inside(operation):
        return []
    values = operation.node_def.attr.values()
    return [value.func.name for value in values if value.HasField("func")] + [
        function.name for value in values for function in value.list.func
    ]


def _body(graph: Any, name: str) -> list[Any]:
    """Return the nodes of a function a graph calls, those of the functions it calls itself included."""
    library = {function.signature.name: function for function in graph.as_graph_def().library.function}
    pending, seen, nodes = [name], set[str](), []
    while pending:
        called = pending.pop()
        if called in seen or called not in library:
            continue
        seen.add(called)
        for node in library[called].node_def:
            nodes.append(_Node(node.op))
            pending += [value.func.name for value in node.attr.values() if value.HasField("func")]
    return nodes


@dataclass(frozen=True)
class _Node:
    type: str


def _override(operation: Operation, name: str) -> None:
    from tensorflow.core.framework.attr_value_pb2 import AttrValue

    operation._set_attr("_gradient_op_type", AttrValue(s=name.encode()))  # noqa: SLF001 - it has no public way


def _register(name: str, derivative: Any) -> None:
    tf.RegisterGradient(name)(derivative)


def _guided_maximum(operation: Operation, g: Tensor) -> list[Tensor]:
    kept = tf.nn.relu(g) * tf.cast(operation.outputs[0] > 0, g.dtype)
    return [None if _is_zero(tensor) else kept for tensor in operation.inputs]


def _deconvnet_maximum(operation: Operation, g: Tensor) -> list[Tensor]:
    return [None if _is_zero(tensor) else tf.nn.relu(g) for tensor in operation.inputs]


def _guided_relu(operation: Operation, g: Tensor) -> Tensor:
    return tf.raw_ops.ReluGrad(gradients=tf.nn.relu(g), features=operation.outputs[0])


def _guided_relu6(operation: Operation, g: Tensor) -> Tensor:
    return tf.raw_ops.Relu6Grad(gradients=tf.nn.relu(g), features=operation.outputs[0])


def _deconvnet_relu(_: Operation, g: Tensor) -> Tensor:
    return tf.nn.relu(g)


for _name, _derivative in {
    "SaliencyGuidedRelu": _guided_relu,
    "SaliencyGuidedRelu6": _guided_relu6,
    "SaliencyGuidedMaximum": _guided_maximum,
    "SaliencyDeconvnetRelu": _deconvnet_relu,
    "SaliencyDeconvnetRelu6": _deconvnet_relu,
    "SaliencyDeconvnetMaximum": _deconvnet_maximum,
}.items():
    _register(_name, _derivative)
