"""A model with a smooth curve in place of each ReLU, softplus(βx)/β, so that its second derivative tells something.

The forward pass is emitted into a graph of its own, the nodes are rewritten there, and the result is imported where
it is wanted: the same for every format. A ReLU's curve lies above it, by ln 2/β at 0 and exponentially less away from
it. Relu6 becomes softplus(βx)/β − softplus(β(x − 6))/β, and LeakyRelu αx + (1 − α) softplus(βx)/β. Max pooling, `abs`
and other kinks stay. Bodies of loops are rewritten too.

Source: Dombrowski et al. 2019, Explanations can be manipulated and geometry is to blame, section 5 (softplus in place
of ReLU); Dugas et al. 2001, Incorporating second-order functional knowledge.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from saliency_cli.autodiff.model import Model, Traced
from saliency_cli.autodiff.runtime import tf
from saliency_cli.errors import ModelError
from saliency_cli.models.graphs.recording import import_recorded

Tensor = Any
Message = Any

_NOTHING: Mapping[str, Tensor] = {}
_KINDS = ("Relu", "Relu6", "LeakyRelu")


@dataclass(frozen=True, eq=False)
class Smoothed:
    """A smoothed model, and how many operations of each type were replaced."""

    model: Model
    replaced: Mapping[str, int]


def smoothed(model: Model, beta: float) -> Smoothed:
    """Return a model whose ReLUs are softplus(βx)/β. The model itself is left as it is.

    Raises:
        ModelError: there is no ReLU in it (reason `nothing-to-smooth`).
    """
    emitted = _emitted(model.forward, _placeholders(model), {}, {}, {})
    replaced = _rewrite(emitted.graph_def, beta)
    if not replaced:
        raise ModelError(
            "the model has no ReLU to smooth",
            hint="leave --smooth-relu away: its second derivative is that of its own curves",
            reason="nothing-to-smooth",
        )
    changed = replace(model, forward=_Forward(model.forward, beta), foldable=False)
    return Smoothed(changed, dict(replaced.most_common()))


@dataclass(frozen=True, eq=False)
class _Forward:
    """A smoothed model's forward pass."""

    inner: Any
    beta: float

    def __call__(
        self,
        inputs: Mapping[str, Tensor],
        given: Mapping[str, Tensor] = _NOTHING,
        placed: Mapping[str, Tensor] = _NOTHING,
    ) -> Traced:
        tensors = {**_prefixed("i", inputs), **_prefixed("g", given), **_prefixed("p", placed)}
        emitted = _emitted(self.inner, inputs, given, placed, tensors)
        _rewrite(emitted.graph_def, self.beta)
        graph = tf.compat.v1.get_default_graph()
        fed = {name: tensors[key] for key, name in emitted.arguments.items()}
        fed |= {name: graph.capture(tensor) for name, tensor in emitted.captured.items()}
        wanted = [*emitted.outputs.values(), *emitted.layers.values()]
        # What is an argument itself is no operation of the imported graph.
        names = [name for name in dict.fromkeys(wanted) if name not in fed]
        found = fed | dict(zip(names, import_recorded(emitted.graph_def, _read(emitted, fed), names), strict=True))
        return Traced(
            {key: found[name] for key, name in emitted.outputs.items()},
            {key: found[name] for key, name in emitted.layers.items()},
        )


@dataclass(frozen=True, eq=False)
class _Emitted:
    """A forward pass in a graph of its own: names of tensors by what they are; `captured` those from outside."""

    graph_def: Message
    arguments: Mapping[str, str]
    captured: Mapping[str, Tensor]
    outputs: Mapping[str, str]
    layers: Mapping[str, str]


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}:{name}": tensor for name, tensor in tensors.items()}


def _placeholders(model: Model) -> dict[str, Any]:
    return {name: tf.TensorSpec(shape, dtype) for name, (shape, dtype) in model.signature(model.batch or 1).items()}


def _emitted(
    forward: Any,
    inputs: Mapping[str, Any],
    given: Mapping[str, Any],
    placed: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
) -> _Emitted:
    """Emit a forward pass by itself, of inputs like those given (tensors or their specifications)."""
    kept: dict[str, Traced] = {}

    def emit(named: dict[str, Tensor]) -> list[Tensor]:
        def part(prefix: str, of: Mapping[str, Any]) -> dict[str, Tensor]:
            return {name: named[f"{prefix}:{name}"] for name in of}

        changes = {"given": part("g", given)} if given else {}
        changes |= {"placed": part("p", placed)} if placed else {}
        kept["traced"] = forward(part("i", inputs), **changes)
        return list(kept["traced"].outputs.values())

    known = tensors or _prefixed("i", inputs)
    signature = {key: tf.TensorSpec(tensor.shape, tensor.dtype) for key, tensor in known.items()}
    # Outside of the graph being traced, so that what is captured are the variables themselves.
    with tf.init_scope():
        function = tf.function(emit, autograph=False).get_concrete_function(signature)
    traced = kept["traced"]
    order = tf.nest.flatten({key: key for key in signature})
    arguments = dict(zip(order, (tensor.name for tensor in function.graph.inputs), strict=False))
    captures = {inner.name: outer for outer, inner in function.graph.captures}
    graph_def = function.graph.as_graph_def()
    _forget_custom_gradients(graph_def)
    return _Emitted(
        graph_def,
        arguments,
        captures,
        {key: tensor.name for key, tensor in traced.outputs.items()},
        {key: tensor.name for key, tensor in traced.layers.items() if tensor.graph is function.graph},
    )


def _read(emitted: _Emitted, fed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return those of the given tensors that an operation reads: others can't be given."""
    needed = {name for node in emitted.graph_def.node for name in node.input}
    needed |= {f"{name}:0" for name in needed if ":" not in name and not name.startswith("^")}
    return {name: tensor for name, tensor in fed.items() if name in needed}


def _forget_custom_gradients(graph_def: Message) -> None:
    """Differentiate as computed: a gradient of the model's own making knows tensors of the graph it was made in."""
    bodies = (function.node_def for function in graph_def.library.function)
    for node in (node for nodes in (graph_def.node, *bodies) for node in nodes):
        if "_gradient_op_type" in node.attr:
            del node.attr["_gradient_op_type"]


def _rewrite(graph_def: Message, beta: float) -> Counter[str]:
    """Replace every ReLU, in the graph and in its functions; return how many of each type."""
    replaced: Counter[str] = Counter()
    _rewrite_nodes(graph_def.node, beta, replaced, body=False)
    for function in graph_def.library.function:
        moved = _rewrite_nodes(function.node_def, beta, replaced, body=True)
        for key, value in list(function.ret.items()):
            function.ret[key] = moved.get(value, value)
    return replaced


def _rewrite_nodes(nodes: Any, beta: float, replaced: Counter[str], *, body: bool) -> dict[str, str]:
    """Replace the ReLUs among some nodes; return how their outputs are called now, in the body of a function."""
    kinked = [node for node in nodes if node.op in _KINDS]
    moved = {f"{node.name}:activations:0": f"{node.name}:z:0" for node in kinked} if body else {}
    added: list[Message] = []
    for node in kinked:
        replaced[node.op] += 1
        added += _smooth(node, beta, body=body)
    left = [node for node in nodes if node.op not in _KINDS]
    fresh = tf.compat.v1.GraphDef()
    fresh.node.extend([*left, *added])
    for node in fresh.node if moved else ():
        inputs = [moved.get(name, name) for name in node.input]
        del node.input[:]
        node.input.extend(inputs)
    if kinked:
        del nodes[:]
        nodes.extend(fresh.node)
    return moved


def _smooth(node: Message, beta: float, *, body: bool) -> list[Message]:
    """Return the operations in the place of a ReLU, the last of which has its name."""
    kind = node.attr["T"].type
    made: list[Message] = []

    def out(name: str, output: str) -> str:
        return f"{name}:{output}:0" if body else name

    def operation(name: str, op: str, *inputs: str) -> str:
        new = tf.compat.v1.NodeDef(name=name, op=op, input=inputs, device=node.device)
        new.attr["T"].type = kind
        made.append(new)
        return out(name, "activations" if op == "Softplus" else "z")

    def constant(name: str, value: float) -> str:
        new = tf.compat.v1.NodeDef(name=f"{node.name}/{name}", op="Const", device=node.device)
        new.attr["dtype"].type = kind
        new.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(np.asarray(value, tf.as_dtype(kind).as_numpy_dtype)))
        made.append(new)
        return out(new.name, "output")

    def curve(name: str, x: str, scale: float) -> str:
        """Return scale · softplus(βx)/β, in operations named like it."""
        steep = operation(f"{node.name}/{name}/steep", "Mul", x, constant(f"{name}/beta", beta))
        soft = operation(f"{node.name}/{name}/soft", "Softplus", steep)
        last = node.name if name == "whole" else f"{node.name}/{name}/scaled"
        return operation(last, "Mul", soft, constant(f"{name}/inverse", scale / beta))

    (x,) = (name for name in node.input if not name.startswith("^"))
    if node.op == "Relu":
        curve("whole", x, 1)
    elif node.op == "Relu6":
        above = operation(f"{node.name}/above", "Sub", x, constant("six", 6))
        operation(node.name, "Sub", curve("lower", x, 1), curve("upper", above, 1))
    else:
        slope = node.attr["alpha"].f
        straight = operation(f"{node.name}/straight", "Mul", x, constant("alpha", slope))
        operation(node.name, "AddV2", straight, curve("bent", x, 1 - slope))
    return made
