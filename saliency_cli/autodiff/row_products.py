"""Each row's own gradient by the weights, read off one forward and one backward pass of the whole batch.

Where a weight enters an operation beside the data, what its row contributes is a product of what the operation was
given and of what comes back to it: x ⊗ g of a matrix product, Σ_places patch ⊗ g of a convolution, Σ_places g of a
bias. What lies between the weight and that operation (a batch normalisation's γ/√(σ² + ε)) is gone back through row
by row.

That holds where an axis of rows goes through the graph untouched, so only operations known to leave it alone are
taken; `NotByRows` says that there are others.

Source: Goodfellow 2015, Efficient Per-Example Gradient Computations, arXiv:1510.01799; for convolutions Rochette,
Manoel & Tramel 2019, arXiv:1912.06015.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from saliency_cli.autodiff.runtime import tf
from saliency_cli.autodiff.walks import ancestors

Tensor = Any
Operation = Any

# Value by value: what varies by row must have an axis for each of the result's, or rows would meet others.
_ELEMENTWISE = (
    "Abs", "Add", "AddV2", "Cast", "DivNoNan", "Elu", "EnsureShape", "Equal", "Erf", "Erfc", "Exp", "Expm1",
    "Greater", "GreaterEqual", "Identity", "IdentityN", "LeakyRelu", "Less", "LessEqual", "Log", "Log1p",
    "LogicalAnd", "LogicalNot", "LogicalOr", "Maximum", "Minimum", "Mul", "Neg", "NotEqual", "Pow", "RealDiv", "Relu",
    "Relu6", "Rsqrt", "SelectV2", "Selu", "Sigmoid", "Sign", "Softplus", "Softsign", "Sqrt", "Square",
    "SquaredDifference", "StopGradient", "Sub", "Tanh",
)  # fmt: skip
_BY_FIRST = ("AvgPool", "BiasAdd", "Conv2D", "DepthwiseConv2dNative", "MatMul", "MaxPool")
_ALONG_LAST = ("LogSoftmax", "Softmax")
_REDUCING = ("All", "Any", "ArgMax", "ArgMin", "Max", "Mean", "Min", "Prod", "Sum")
# Rows stay rows as long as there are as many of them.
_RESHAPING = ("ConcatV2", "ExpandDims", "Pad", "PadV2", "Reshape", "Squeeze")
_SHAPES = ("Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike")
_THE_SAME = ("Identity", "Reshape", "ExpandDims", "Squeeze", "EnsureShape")
_ROOM = 256 * 2**20


class NotByRows(Exception):  # noqa: N818 - no error: the rows are computed in another way
    """Some operation does more with rows than is known here."""


class Entry(NamedTuple):
    """An operation at which what comes from weights alone, its input number `place`, meets the data."""

    operation: Operation
    place: int

    @property
    def entering(self) -> Tensor:
        """What comes from the weights."""
        return self.operation.inputs[self.place]


def row_gradients(
    target: Tensor, rows: Sequence[Tensor], weights: Sequence[Tensor], pulled: Callable[[list[Tensor]], list[Any]]
) -> list[Tensor | None]:
    """Return ∂targetᵢ/∂w for every row i, `(rows, *w.shape)` by weight; None where the target doesn't depend on it.

    Inside the graph being traced: `rows` are all tensors with an axis of rows that the target `(rows,)` was made of,
    `pulled` gives its gradient by tensors of the graph. Raises `NotByRows`.
    """
    entries = _entries(target, rows, weights)
    backs = pulled([entry.operation.outputs[0] for entry in entries])
    found = [
        (entry.entering, _product(entry, tf.convert_to_tensor(back)))
        for entry, back in zip(entries, backs, strict=True)
        if back is not None
    ]
    sums: list[Tensor | None] = [None] * len(weights)
    behind = []
    for entering, product in found:
        source = _reshaped(entering)
        place = next((i for i, weight in enumerate(weights) if weight is source), None)
        if place is None:
            behind.append((entering, product))
        else:
            sums[place] = _plus(sums[place], tf.reshape(product, (-1, *weights[place].shape)))
    for place, product in _pulled_through(behind, weights).items():
        sums[place] = _plus(sums[place], product)
    return sums


def _entries(target: Tensor, rows: Sequence[Tensor], weights: Sequence[Tensor]) -> list[Entry]:
    needed = ancestors(target.op)
    size = int(rows[0].shape[0])
    data = {tensor.op.name for tensor in rows}
    own = {tensor.op.name for tensor in weights}
    entries = []
    for operation in target.graph.get_operations():
        if operation.name in data or operation.name in own or operation.name not in needed:
            continue
        varying = [tensor.op.name in data for tensor in operation.inputs]
        entering = [i for i, tensor in enumerate(operation.inputs) if tensor.op.name in own]
        if not any(varying):
            own.update([operation.name] if entering else [])
        elif operation.type not in _SHAPES:
            _require_rows(operation, varying, size)
            data.add(operation.name)
            entries += [Entry(operation, i) for i in entering]
    return entries


def _require_rows(operation: Operation, varying: Sequence[bool], size: int) -> None:
    """Raise `NotByRows` unless an operation is known to leave the first axis, of rows, as it is."""
    given = [tensor for tensor, varies in zip(operation.inputs, varying, strict=True) if varies]
    # Of several outputs each is one input handed on, some of which may not vary by row.
    outputs = operation.outputs if len(operation.outputs) == 1 else []
    shapes = [tensor.shape for tensor in (*given, *outputs)]
    rows = all(shape.is_fully_defined() and shape.rank and shape[0] == size for shape in shapes)
    if not (rows and _leaves_rows(operation, varying)):
        raise NotByRows(f"{operation.type} ({operation.name})")


def _leaves_rows(operation: Operation, varying: Sequence[bool]) -> bool:
    kind, inputs = operation.type, operation.inputs
    if kind in _ELEMENTWISE:
        rank = operation.outputs[0].shape.rank
        return all(tensor.shape.rank == rank for tensor, varies in zip(inputs, varying, strict=True) if varies)
    if kind in _BY_FIRST:
        return varying[0] and not any(varying[1:])
    if kind in _ALONG_LAST:
        return bool(inputs[0].shape.rank > 1)
    if kind in _REDUCING:
        axes = tf.get_static_value(inputs[1])
        return axes is not None and not any(int(axis) % inputs[0].shape.rank == 0 for axis in axes.reshape(-1))
    if kind == "OneHot":
        return bool(operation.get_attr("axis") == -1)
    if kind == "StridedSlice":
        whole = operation.get_attr("begin_mask") & operation.get_attr("end_mask") & 1
        other = (operation.get_attr("new_axis_mask") | operation.get_attr("shrink_axis_mask")) & 1
        steps = tf.get_static_value(inputs[3])
        return bool(whole and not other and steps is not None and steps[0] == 1)
    return kind in _RESHAPING


def _product(entry: Entry, back: Tensor) -> Tensor:
    """Return what every row contributes to the gradient by what enters an operation, `(rows, *its shape)`."""
    rule = _PRODUCTS.get(entry.operation.type)
    if rule is None:
        raise NotByRows(f"a weight in {entry.operation.type} ({entry.operation.name})")
    return rule(entry, back)


def _matrix(entry: Entry, back: Tensor) -> Tensor:
    operation = entry.operation
    if entry.place != 1 or operation.get_attr("transpose_a") or operation.get_attr("transpose_b"):
        raise NotByRows(f"{operation.name}: a transposed product")
    return operation.inputs[0][:, :, None] * back[:, None, :]


def _bias(entry: Entry, back: Tensor) -> Tensor:
    if entry.operation.get_attr("data_format") != b"NHWC":
        raise NotByRows(f"{entry.operation.name}: channels first")
    return tf.reduce_sum(back, axis=list(range(1, back.shape.rank - 1)))


def _added(entry: Entry, back: Tensor) -> Tensor:
    return _gathered(entry, -back if entry.operation.type == "Sub" and entry.place == 1 else back)


def _scaled(entry: Entry, back: Tensor) -> Tensor:
    return _gathered(entry, back * entry.operation.inputs[1 - entry.place])


def _gathered(entry: Entry, full: Tensor) -> Tensor:
    """Sum over the axes along which what entered was repeated, but for the rows."""
    shape, rank = list(entry.entering.shape), full.shape.rank
    wide = [1] * (rank - len(shape)) + shape
    if wide[0] != 1:
        raise NotByRows(f"{entry.operation.name}: a weight for each row")
    axes = [axis for axis in range(1, rank) if wide[axis] == 1]
    return tf.reshape(tf.reduce_sum(full, axis=axes, keepdims=True), (-1, *shape))


def _kernel(entry: Entry, back: Tensor) -> Tensor:
    operation, shape = entry.operation, entry.entering.shape
    if entry.place != 1 or operation.inputs[0].shape[-1] != shape[2]:
        raise NotByRows(f"{operation.name}: grouped")
    columns = _columns(operation, shape)
    count, flat = int(back.shape[1] * back.shape[2]), int(shape[0] * shape[1] * shape[2])
    if 4 * int(back.shape[0]) * count * flat > _ROOM:
        raise NotByRows(f"{operation.name}: its patches don't fit")
    patches = tf.reshape(tf.concat(columns, axis=-1), (-1, count, flat))
    product = tf.matmul(patches, tf.reshape(back, (-1, count, int(shape[3]))), transpose_a=True)
    return tf.reshape(product, (-1, *shape))


def _depthwise(entry: Entry, back: Tensor) -> Tensor:
    """Return Σ_places x·g channel by channel, for each place of the kernel."""
    shape = entry.entering.shape
    if entry.place != 1:
        raise NotByRows(f"{entry.operation.name}: a kernel for data")
    each = tf.reshape(back, (*back.shape[:3], *shape[2:]))
    parts = [tf.reduce_sum(column[..., None] * each, axis=[1, 2]) for column in _columns(entry.operation, shape)]
    return tf.reshape(tf.stack(parts, axis=1), (-1, *shape))


def _columns(operation: Operation, kernel: Any) -> list[Tensor]:
    """Return what each place of a kernel sees, `(rows, *places, channels)`, in the kernel's order."""
    padding = operation.get_attr("padding")
    if operation.get_attr("data_format") != b"NHWC" or padding not in (b"SAME", b"VALID"):
        raise NotByRows(f"{operation.name}: channels first, or padded by hand")
    x = operation.inputs[0]
    steps, rates = (operation.get_attr(key)[1:3] for key in ("strides", "dilations"))
    spans = [(int(size) - 1) * step + 1 for size, step in zip(operation.outputs[0].shape[1:3], steps, strict=True)]
    if padding == b"SAME":
        reach = [span + (size - 1) * rate for span, size, rate in zip(spans, kernel[:2], rates, strict=True)]
        missing = [max(want - int(have), 0) for want, have in zip(reach, x.shape[1:3], strict=True)]
        x = tf.pad(x, [[0, 0], *([total // 2, total - total // 2] for total in missing), [0, 0]])
    starts = [(i * rates[0], j * rates[1]) for i in range(kernel[0]) for j in range(kernel[1])]
    return [x[:, i : i + spans[0] : steps[0], j : j + spans[1] : steps[1]] for i, j in starts]


_PRODUCTS: Mapping[str, Callable[[Entry, Tensor], Tensor]] = {
    "MatMul": _matrix,
    "BiasAdd": _bias,
    "Add": _added,
    "AddV2": _added,
    "Sub": _added,
    "Mul": _scaled,
    "Conv2D": _kernel,
    "DepthwiseConv2dNative": _depthwise,
}


def _reshaped(tensor: Tensor) -> Tensor:
    """Return what a tensor holds in another shape."""
    while tensor.op.type in _THE_SAME:
        tensor = tensor.op.inputs[0]
    return tensor


def _pulled_through(behind: Sequence[tuple[Tensor, Tensor]], weights: Sequence[Tensor]) -> dict[int, Tensor]:
    """Return the gradients by the weights that lie before what enters the data, row by row.

    These are vectors and the operations on them few, so that a loop over the rows costs next to nothing.
    """
    if not behind:
        return {}
    ends = [entering for entering, _ in behind]
    reached = {name for end in ends for name in ancestors(end.op)}
    places = [i for i, weight in enumerate(weights) if weight.op.name in reached]

    def one(products: Sequence[Tensor]) -> list[Tensor]:
        found = tf.gradients(ends, [weights[i] for i in places], grad_ys=list(products))
        return [
            tf.zeros_like(weights[i]) if gradient is None else tf.convert_to_tensor(gradient)
            for i, gradient in zip(places, found, strict=True)
        ]

    kinds = [weights[i].dtype for i in places]
    found = tf.map_fn(one, [product for _, product in behind], fn_output_signature=kinds)
    return dict(zip(places, found, strict=True))


def _plus(total: Tensor | None, more: Tensor) -> Tensor:
    return more if total is None else total + more
