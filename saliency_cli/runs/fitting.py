"""Which array is a sample of which model input: shapes, stacks, tables and dtypes."""

import numpy as np

from saliency_cli.differentiable import Array
from saliency_cli.errors import InputError
from saliency_cli.readers import Document
from saliency_cli.records import InputSpec, Layout


def as_dtype(values: Array, spec: InputSpec) -> Array:
    """Return values in the input's dtype. Raises `InputError` for fractions where whole numbers are taken."""
    if spec.floating:
        return np.asarray(values, np.float64 if spec.dtype == "float64" else np.float32, order="C")
    if values.dtype.kind == "f" and not np.array_equal(values, np.rint(values)):
        raise InputError(
            f"the input '{spec.name}' takes whole numbers ({spec.dtype}), and fractions came", reason="wrong-dtype"
        )
    kind = np.dtype(spec.dtype)
    if kind.kind in "iu" and values.size:
        least, largest = np.iinfo(kind).min, np.iinfo(kind).max
        if values.min() < least or values.max() > largest:
            raise InputError(
                f"the input '{spec.name}' takes {spec.dtype}, {least} to {largest}, and values from {values.min()} "
                f"to {values.max()} came",
                reason="wrong-dtype",
            )
    return np.asarray(values, kind, order="C")


def layout_of(spec: InputSpec) -> Layout:
    """How an array of an input is best drawn."""
    shape = [size or 0 for size in spec.shape]
    if len(shape) == 3:
        return "picture"
    if len(shape) == 2:
        square = min(shape) >= 16 and max(shape) <= 4 * min(shape)
        return "picture" if square else "signal"
    if len(shape) == 1:
        return "signal" if shape[0] > 64 else "table"
    return "array"


def fits(array: Array, spec: InputSpec, extra: int) -> bool:
    """Whether an array is a sample of the spec, or with up to `extra` leading axes a stack of them."""
    leading = array.ndim - len(spec.shape)
    if not 0 <= leading <= extra:
        return False
    return all(want in (None, got) for want, got in zip(spec.shape, array.shape[leading:], strict=True))


def from_array(array: Array, spec: InputSpec) -> tuple[list[Array], bool]:
    """Return an array's samples and whether it was a stack; a missing channel axis of length 1 is added."""
    if array.dtype.kind not in "buif":
        raise InputError(f"the array holds {array.dtype}, and numbers were expected", reason="wrong-dtype")
    candidates = [array]
    if spec.shape and 1 in (spec.shape[-1], spec.shape[0]):
        candidates.append(np.expand_dims(array, -1) if spec.shape[-1] == 1 else array)
        if spec.shape[0] == 1 and array.ndim:
            candidates.append(np.expand_dims(array, 0 if array.ndim < len(spec.shape) else 1))
    for candidate in candidates:
        if fits(candidate, spec, 0):
            return [candidate], False
        if fits(candidate, spec, 1):
            if not len(candidate):
                raise InputError("the stack holds no sample", reason="empty-file")
            return list(candidate), True
    came = "×".join(str(size) for size in array.shape) or "a single number"
    raise InputError(
        f"the input '{spec.name}' takes {spec.describe()} (or a stack n×{spec.describe()}), and the array is {came}",
        hint="saliency inspect MODEL shows the inputs",
        reason="wrong-shape",
    )


def from_table(document: Document, spec: InputSpec) -> list[Array]:
    """Return a table's samples: its rows for a model of features, or one signal of rows × columns."""
    table, columns = document.arrays[""], document.columns
    rows, width = table.shape
    shape = spec.shape
    if len(shape) == 1:
        if shape[0] in (None, width):
            return list(table)
        if width == 1 and shape[0] == rows:
            return [table[:, 0]]
    if len(shape) == 2:
        if shape[1] in (None, width) and shape[0] in (None, rows):
            return [table]
        if spec.channels == 0 and shape[0] in (None, width) and shape[1] in (None, rows):
            return [np.ascontiguousarray(table.T)]
    wanted = f"{shape[0]} columns, a row a sample" if len(shape) == 1 else f"{spec.describe()} (rows × columns)"
    shown = ", ".join(columns[:12]) + ("…" if len(columns) > 12 else "")
    raise InputError(
        f"the input '{spec.name}' takes {wanted}, and the table has {rows} rows of {width} columns: {shown}",
        hint="leave out the columns that are no features (an id, the label)" if width > (shape[0] or 0) else "",
        reason="wrong-shape",
    )


def require_finite(name: str, array: Array) -> None:
    """Raise `InputError` naming the first NaN or infinity."""
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = np.argwhere(~np.isfinite(array))
        place = ", ".join(str(i) for i in bad[0])
        raise InputError(
            f"the input '{name}' holds {len(bad)} values that are NaN or infinite, the first at [{place}]",
            hint="an attribution of NaN means nothing: mend the file",
            reason="non-finite-input",
        )
