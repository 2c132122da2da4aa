"""What the constants in a model contribute to a score: the bias gradients of FullGrad, read off the traced graph.

At a sample every operation y = h(z) is y = J z + r, with J its Jacobian there and r what its inputs don't carry:
the bias that is added, the offset of a batch normalisation, the 6 at which a ReLU6 holds, y − z φ′(z) of any
other curve φ. Then s(x) = ⟨∂s/∂x, x⟩ + Σ ⟨∂s/∂y, r⟩ over all operations between the input and the score, exactly.

Each operation with an r is told as `(*places, 2)`, v = r ⊙ ∂s/∂y: Σ v over channels, and Σ ψ(v) over channels,
ψ(v) = (|v| − min |v|) / max (|v| − min |v|), its bounds taken over all places and channels of one sample. One
without places is told as `(2,)`. An operation whose r is not known here is refused, not left out.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from saliency_cli.autodiff.layers import Layers
from saliency_cli.autodiff.placing import Laid
from saliency_cli.autodiff.runtime import tf
from saliency_cli.errors import ModelError

Tensor = Any

# J z is all there is, whichever inputs depend on x: linear, or straight through 0.
_HOMOGENEOUS = (
    "Abs", "AddN", "AvgPool", "AvgPool3D", "BatchToSpaceND", "BroadcastTo", "Cast", "Concat", "ConcatV2", "Cumsum",
    "DepthToSpace", "EnsureShape", "ExpandDims", "GatherNd", "GatherV2", "Identity", "IdentityN", "LeakyRelu", "Max",
    "MaxPool", "MaxPool3D", "MaxPoolV2", "Mean", "Min", "MirrorPad", "Neg", "Pack", "Pad", "Relu", "Reshape",
    "ResizeBilinear", "ResizeNearestNeighbor", "ReverseV2", "Slice", "SpaceToBatchND", "SpaceToDepth", "Split",
    "SplitV", "Squeeze", "StridedSlice", "Sum", "Tile", "Transpose", "Unpack",
)  # fmt: skip
_JOINING = ("AddN", "Concat", "ConcatV2", "Pack")
_SUMS = ("Add", "AddV2", "Sub")
# Linear in either input: where both depend on x, J z counts their product twice.
_PRODUCTS = (
    "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "Conv2D", "Conv2DBackpropInput", "Conv3D",
    "Conv3DBackpropInputV2", "DepthwiseConv2dNative", "Einsum", "MatMul", "Mul",
)  # fmt: skip
_CURVES = (
    "ClipByValue", "Cos", "Elu", "Erf", "Erfc", "Exp", "Expm1", "Inv", "Log", "Log1p", "Maximum", "Minimum", "Pow",
    "Reciprocal", "Relu6", "Rsqrt", "Select", "SelectV2", "Selu", "Sigmoid", "Sin", "Softplus", "Softsign", "Sqrt",
    "Square", "SquaredDifference", "Tanh",
)  # fmt: skip
# Taken for constants where they are differentiated, so that what they give is all r.
_CONSTANT = ("Ceil", "Floor", "Rint", "Round", "Sign", "StopGradient")
_NORMALISATIONS = ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")


class Bias(NamedTuple):
    """One operation's output, and r in a shape that broadcasts with it."""

    name: str
    output: Tensor
    residue: Tensor


def find_biases(score: Tensor, inputs: Mapping[str, Tensor], batch: int) -> list[Bias]:
    """Return every operation between the inputs and a score that adds something of its own.

    Inside the graph being traced. Raises `ModelError` for an operation of which that is not known.
    """
    layers = Layers({}, inputs, score, batch)
    found = []
    for operation in score.graph.get_operations():
        if not layers.between(operation) or operation.type == "Placeholder":
            continue
        if not operation.outputs or not operation.outputs[0].dtype.is_floating:
            continue
        residue = _residue(operation, [layers.between(tensor.op) for tensor in operation.inputs])
        if residue is not None:
            found.append(Bias(operation.name, operation.outputs[0], residue))
    return found


def told(bias: Bias, gradient: Tensor | None, laid: Laid) -> Tensor:
    """Return one operation's two maps, `(batch, *places, 2)`."""
    if gradient is None:
        return tf.zeros((bias.output.shape[0], 2))
    product = laid.told(tf.cast(gradient * tf.broadcast_to(bias.residue, tf.shape(gradient)), tf.float32))
    axes = list(range(1, product.shape.rank))
    magnitude = tf.abs(product)
    magnitude -= tf.reduce_min(magnitude, axis=axes, keepdims=True)
    magnitude = tf.math.divide_no_nan(magnitude, tf.reduce_max(magnitude, axis=axes, keepdims=True))
    return tf.stack([tf.reduce_sum(product, axis=-1), tf.reduce_sum(magnitude, axis=-1)], axis=-1)


def _residue(operation: Any, varying: list[bool]) -> Tensor | None:
    """Return r of one operation, None where it is 0. `varying`: which inputs depend on x."""
    kind, output = operation.type, operation.outputs[0]
    given = [tensor for tensor, varies in zip(operation.inputs, varying, strict=True) if varies]
    if kind in _CONSTANT or all(tensor.dtype.is_integer or tensor.dtype.is_bool for tensor in given):
        return output
    if kind in _PRODUCTS:
        return -output if len(given) > 1 else None
    if operation.node_def.attr["_gradient_op_type"].s:  # swish, as TensorFlow writes it
        return _by_derivatives(operation, given)
    for kinds, rule in _RULES.items():
        if kind in kinds:
            return rule(operation, varying)
    if kind in _CURVES and all(tensor.shape == output.shape for tensor in given):
        slopes = tf.gradients(output, given, stop_gradients=given)
        return output - sum(z * slope for z, slope in zip(given, slopes, strict=True) if slope is not None)
    if kind in _CURVES:
        return _by_derivatives(operation, given)
    raise _unknown(operation)


def _by_derivatives(operation: Any, given: list[Tensor]) -> Tensor:
    """Return y − J z, whatever J is: Jᵀv is linear in v, and the derivative of that is J."""
    output = operation.outputs[0]
    v = tf.zeros_like(output)
    back = tf.gradients(output, given, grad_ys=v, stop_gradients=given)
    parts = [(z, g) for z, g in zip(given, back, strict=True) if g is not None]
    found = tf.gradients([g for _, g in parts], [v], grad_ys=[z for z, _ in parts]) if parts else [None]
    if found[0] is None:
        raise _unknown(operation)
    return output - tf.convert_to_tensor(found[0])


def _unknown(operation: Any) -> ModelError:
    return ModelError(
        f"fullgrad can't tell what the operation {operation.type} ({operation.name}) adds of its own",
        hint="integrated-gradients also sums to the target, and takes any model that has a gradient",
        reason="unknown-bias",
    )


def _sum(operation: Any, varying: list[bool]) -> Tensor | None:
    if all(varying):
        return None
    other = operation.inputs[0] if varying[1] else operation.inputs[1]
    return -other if operation.type == "Sub" and varying[0] else other


def _quotient(operation: Any, varying: list[bool]) -> Tensor | None:
    """Of degree 1 in what is divided, −1 in what divides, 0 in both together."""
    output = operation.outputs[0]
    return None if not varying[1] else output if varying[0] else 2 * output


def _softmax(operation: Any, _: list[bool]) -> Tensor:
    z, output = operation.inputs[0], operation.outputs[0]
    soft = output if operation.type == "Softmax" else tf.exp(output)
    inner = z - tf.reduce_sum(soft * z, axis=-1, keepdims=True)
    return output - (soft * inner if operation.type == "Softmax" else inner)


def _joined(operation: Any, varying: list[bool]) -> Tensor | None:
    """Return what an operation that joins parts gives of those that are constants."""
    if all(varying) or operation.type not in _JOINING:
        return None
    axis = 0 if operation.type == "Concat" else len(operation.inputs) - 1 if operation.type == "ConcatV2" else -1
    parts = [
        tf.zeros_like(tensor) if varies else tensor
        for i, (tensor, varies) in enumerate(zip(operation.inputs, varying, strict=True))
        if i != axis
    ]
    if operation.type == "AddN":
        return tf.add_n(parts)
    if operation.type == "Pack":
        return tf.stack(parts, axis=operation.get_attr("axis"))
    return tf.concat(parts, axis=operation.inputs[axis])


def _bias(operation: Any, varying: list[bool]) -> Tensor | None:
    if varying[1]:  # a sum of two rows, as Keras writes it where the batch is 1
        return None if varying[0] else operation.inputs[0]
    bias, rank = operation.inputs[1], operation.outputs[0].shape.rank
    first = operation.get_attr("data_format") == b"NCHW"
    return tf.reshape(bias, [1, -1, *(1 for _ in range(rank - 2))]) if first else bias


def _offset(operation: Any, varying: list[bool]) -> Tensor:
    if operation.get_attr("is_training") or any(varying[1:]):
        raise ModelError(
            f"the batch normalisation '{operation.name}' takes its statistics from the batch",
            hint="save the model for inference",
            reason="unknown-bias",
        )
    _, scale, offset, mean, variance = operation.inputs[:5]
    moved = offset - mean * scale * tf.math.rsqrt(variance + operation.get_attr("epsilon"))
    first = operation.get_attr("data_format") == b"NCHW"
    return tf.reshape(moved, [1, -1, 1, 1]) if first else moved


_RULES: Mapping[tuple[str, ...], Callable[[Any, list[bool]], Tensor | None]] = {
    _HOMOGENEOUS: _joined,
    _SUMS: _sum,
    ("BiasAdd",): _bias,
    ("RealDiv", "DivNoNan"): _quotient,
    ("Softmax", "LogSoftmax"): _softmax,
    _NORMALISATIONS: _offset,
}
