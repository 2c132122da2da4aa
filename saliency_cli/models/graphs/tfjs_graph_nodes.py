"""Operations that only TensorFlow.js has, taken apart into those that TensorFlow differentiates.

Its converter fuses a convolution or matrix product with the bias and the activation behind it. The
fused operations have no gradient in TensorFlow, or don't exist there. The last operation of each chain
takes the fused one's name, so whoever reads it finds it.
"""

from collections.abc import Iterable
from typing import Any

from saliency_cli.autodiff.runtime import tf
from saliency_cli.errors import ModelError

Message = Any

# Fused operation → the operation it is at heart, and the attributes that operation takes.
_CONVOLUTION = ("strides", "padding", "explicit_paddings", "data_format", "dilations")
_FUSED = {
    "_FusedConv2D": ("Conv2D", _CONVOLUTION),
    "FusedDepthwiseConv2dNative": ("DepthwiseConv2dNative", _CONVOLUTION),
    "_FusedMatMul": ("MatMul", ("transpose_a", "transpose_b")),
}
_ACTIVATIONS = ("Relu", "Relu6", "Elu", "Selu", "Sigmoid", "Tanh", "Softplus", "Softsign")

FUSED = frozenset({*_FUSED, "Prelu"})


def taken_apart(nodes: Iterable[Message]) -> list[Message]:
    """Return a graph's nodes with every fused one replaced by its chain."""
    found: list[Message] = []
    for node in nodes:
        if node.op in _FUSED:
            found += _chain(node)
        elif node.op == "Prelu":
            found += _prelu(node.name, node.input[0], node.input[1], node.attr["T"])
        else:
            found.append(node)
    return found


def _chain(node: Message) -> list[Message]:
    """Return the heart of a fused node, then its bias and its activation."""
    kind, attributes = _FUSED[node.op]
    steps = [step.decode() for step in node.attr["fused_ops"].list.s]
    extra = list(node.input[2:])
    dtype = node.attr["T"]
    chain = [_node(node.name, kind, node.input[:2], dtype)]
    for key in attributes:
        if key in node.attr and not (key == "explicit_paddings" and kind == "MatMul"):
            chain[0].attr[key].CopyFrom(node.attr[key])
    for step in steps:
        last = chain[-1]
        before = f"{node.name}_fused_{len(chain)}"
        last.name = before
        if step == "BiasAdd" and extra:
            chain.append(_node(node.name, "BiasAdd", (before, extra.pop(0)), dtype))
            if "data_format" in node.attr:
                chain[-1].attr["data_format"].CopyFrom(node.attr["data_format"])
        elif step == "Prelu" and extra:
            chain += _prelu(node.name, before, extra.pop(0), dtype)
        elif step == "LeakyRelu":
            chain.append(_node(node.name, "LeakyRelu", (before,), dtype))
            slope = node.attr["leakyrelu_alpha"].f if "leakyrelu_alpha" in node.attr else 0.2
            chain[-1].attr["alpha"].f = slope
        elif step in _ACTIVATIONS:
            chain.append(_node(node.name, step, (before,), dtype))
        else:
            raise _unknown(node, step)
    if extra:
        raise _unknown(node, f"{len(extra)} inputs too many")
    return chain


def _prelu(name: str, x: str, slope: str, dtype: Message) -> list[Message]:
    """Return `relu(x) − slope · relu(−x)`, whose derivative at 0 is 0 as in Keras."""
    return [
        _node(f"{name}_positive", "Relu", (x,), dtype),
        _node(f"{name}_negated", "Neg", (x,), dtype),
        _node(f"{name}_negative", "Relu", (f"{name}_negated",), dtype),
        _node(f"{name}_scaled", "Mul", (slope, f"{name}_negative"), dtype),
        _node(name, "Sub", (f"{name}_positive", f"{name}_scaled"), dtype),
    ]


def _node(name: str, kind: str, inputs: Iterable[str], dtype: Message) -> Message:
    node = tf.compat.v1.NodeDef(name=name, op=kind)
    node.input.extend(inputs)
    node.attr["T"].CopyFrom(dtype)
    return node


def _unknown(node: Message, what: str) -> ModelError:
    return ModelError(
        f"the fused operation '{node.name}' ({node.op}) holds {what}, which is not known",
        hint="give the model that this one was converted from",
        reason="unknown-operation",
    )
