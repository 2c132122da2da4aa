"""Products of derivatives with a vector, inside a traced graph: H·v and J·v, for every row of a batch.

H·v = ∂⟨∂s/∂x, v⟩/∂x is the gradient of a gradient. J·v is the derivative of ⟨u, J·v⟩ by u, where uᵀJ is an ordinary
gradient with weights u: it is linear in u, so u = 0 serves (a double vector-Jacobian product). No forward-mode
derivative of an operation is needed, which recurrent layers lack.

The outer derivative is taken over the operations of the inner one. Where TensorFlow has none for those, or one
that it declares to be nothing although it is not (`ResizeBilinearGrad`), it is given here; any other that lacks one
is an error: leaving it out would leave out a part of the sum over paths, silently. So would `tf.nn.moments`, which
layer normalisations use: it stops the gradient at the mean within the variance, which has no share in the first
derivative, but has one in the second.

Source: Pearlmutter 1994, Fast Exact Multiplication by the Hessian, Neural Computation 6; the double
vector-Jacobian product as in Griewank & Walther 2008, Evaluating Derivatives, chapter 3.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from saliency_cli.autodiff.runtime import tf
from saliency_cli.errors import ModelError

Tensor = Any
Told = TypeVar("Told")

# Linear in what comes back, and declared to have no derivative.
_SILENT = ("FakeQuantWithMinMaxArgsGradient", "FakeQuantWithMinMaxVarsGradient",
           "FakeQuantWithMinMaxVarsPerChannelGradient")  # fmt: skip


def hessian_product(
    emit: Callable[[], tuple[Tensor, Told]], points: Sequence[Tensor], directions: Sequence[Tensor]
) -> tuple[Told, list[Tensor | None]]:
    """Return what `emit` tells beside its values `(batch,)`, and H·v by input, None where it has no gradient.

    Raises `ModelError` where an operation has no second derivative, naming it.
    """
    begun = len(_operations())
    values, told = emit()
    first = len(_operations())
    for operation in _operations()[begun:first]:
        if _is_mean_of_variance(operation):
            _go_by(operation, _straight)
    gradients = _derivative(values, list(points), None)
    along = [tf.reduce_sum(g * v) for g, v in zip(gradients, directions, strict=True) if g is not None]
    reached = [point for point, g in zip(points, gradients, strict=True) if g is not None]
    found = iter(_outer(tf.add_n(along), reached, None, first) if along else ())
    return told, [None if g is None else next(found) for g in gradients]


def jacobian_product(
    emit: Callable[[], tuple[Tensor, Told]], points: Sequence[Tensor], directions: Sequence[Tensor]
) -> tuple[Told, Tensor]:
    """Return what `emit` tells beside an output, and the output's derivative along the directions, of its shape.

    Raises `ModelError` where an operation's gradient has no derivative of its own, naming it.
    """
    output, told = emit()
    first = len(_operations())
    start = tf.zeros_like(output)
    gradients = _derivative(output, list(points), start)
    known = [(g, v) for g, v in zip(gradients, directions, strict=True) if g is not None]
    if not known:
        return told, tf.zeros_like(output)
    (product,) = _outer([g for g, _ in known], [start], [v for _, v in known], first)
    return told, product


def _operations() -> list[Any]:
    return list(tf.compat.v1.get_default_graph().get_operations())


def _outer(of: Any, by: list[Tensor], start: Any, first: int) -> list[Tensor]:
    """Return the derivative of something that was emitted since the operation of number `first`."""
    for operation in _operations()[first:]:
        if operation.type in _SILENT:
            raise _none(operation.type, operation.name)
        if operation.type in _OWN:
            _go_by(operation, _OWN[operation.type])
    return _derivative(of, by, start, none=tf.UnconnectedGradients.ZERO)


def _derivative(of: Any, by: list[Tensor], start: Any, none: Any = tf.UnconnectedGradients.NONE) -> list[Any]:
    """Return a derivative over the graph being traced. Not by a tape, which wouldn't go by those given here."""
    try:
        return list(tf.gradients(of, by, grad_ys=start, unconnected_gradients=none))
    except LookupError as error:
        named = re.search(r"operation '?([^']+?)'? \(op type: (\w+)\)", str(error))
        raise _none(*(named[2], named[1]) if named else (str(error), "")) from None


def _is_mean_of_variance(operation: Any) -> bool:
    """Whether an operation stops the gradient at m in mean (y − m)², where m is the mean of y."""
    if operation.type != "StopGradient":
        return False
    mean = operation.inputs[0].op
    readers = operation.outputs[0].consumers()
    return mean.type == "Mean" and all(
        reader.type == "SquaredDifference" and mean.inputs[0] is reader.inputs[0] for reader in readers
    )


def _straight(operation: Any, back: Tensor) -> Tensor:
    del operation
    return back


def _none(kind: str, name: str) -> ModelError:
    return ModelError(
        f"the gradient of the model has no derivative itself: TensorFlow has none for {kind}"
        + (f" ('{name}')" if name else ""),
        hint="--mode reverse for a Jacobian; a Hessian takes another --output-name or model",
        reason="no-second-derivative",
    )


def _go_by(operation: Any, derivative: Callable[..., Any]) -> None:
    """Let a derivative go by a function of our own."""
    from tensorflow.core.framework.attr_value_pb2 import AttrValue  # the message has no public name

    name = f"SaliencySecond{operation.type}"
    if name not in _registered:
        _registered.add(name)
        tf.RegisterGradient(name)(derivative)
    operation._set_attr("_gradient_op_type", AttrValue(s=name.encode()))  # noqa: SLF001 - it has no public way


_registered: set[str] = set()


def _bilinear(operation: Any, back: Tensor) -> list[Tensor | None]:
    """Return the derivative of ResizeBilinearGrad: it is linear in what comes back, and this is the resizing."""
    options = {key: operation.get_attr(key) for key in ("align_corners", "half_pixel_centers")}
    size = tf.shape(operation.inputs[0])[1:3]
    return [tf.raw_ops.ResizeBilinear(images=back, size=size, **options), None]


def _bicubic(operation: Any, back: Tensor) -> list[Tensor | None]:
    options = {key: operation.get_attr(key) for key in ("align_corners", "half_pixel_centers")}
    size = tf.shape(operation.inputs[0])[1:3]
    return [tf.raw_ops.ResizeBicubic(images=back, size=size, **options), None]


def _nearest(operation: Any, back: Tensor) -> list[Tensor | None]:
    options = {key: operation.get_attr(key) for key in ("align_corners", "half_pixel_centers")}
    size = tf.shape(operation.inputs[0])[1:3]
    return [tf.raw_ops.ResizeNearestNeighbor(images=back, size=size, **options), None]


def _softsign(operation: Any, back: Tensor) -> list[Tensor]:
    """Return the derivatives of g/(1 + |x|)² by g and by x."""
    came, x = operation.inputs
    slope = 1 / tf.square(1 + tf.abs(x))
    return [back * slope, -2 * back * came * tf.sign(x) * slope / (1 + tf.abs(x))]


_OWN: dict[str, Callable[..., Any]] = {
    "ResizeBilinearGrad": _bilinear,
    "ResizeBicubicGrad": _bicubic,
    "ResizeNearestNeighborGrad": _nearest,
    "SoftsignGrad": _softsign,
}
