"""DeepLIFT's rescale rule: multipliers of the difference from a reference instead of derivatives.

Every operation hands back m so that Σ m·Δinput = m·Δoutput, exactly: straight lines by their derivative,
products and squares by their derivative halfway, curves (an activation, however many operations it is
written with) by Δy/Δx, maxima by who won on either side.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from saliency_cli.autodiff.backward.elementwise import Elementwise
from saliency_cli.autodiff.backward.flow import Flow, twins
from saliency_cli.autodiff.backward.kinds import BATCH_NORMS, KERNELS, MOVES, SUMS
from saliency_cli.autodiff.backward.ruled import Pulled, Way, counted
from saliency_cli.autodiff.backward.walk import no_rule, pulled, pulled_by_input, replayed, walk
from saliency_cli.autodiff.runtime import tf

__all__ = ["Deeplift"]

Tensor = Any
Operation = Any
Messages = Iterable[tuple[Tensor, Tensor]]

# Below this share of their size a difference is mostly rounding, and the derivative is nearer the truth.
_SMALL = 1e-4
_TINY = 1e-30
_STRAIGHT = (MOVES | SUMS | {"BiasAdd", "Neg", "Sub", "Cumsum", "StopGradient"}) - {"IdentityN"}
_PRODUCTS = KERNELS | {"Mul", "SquaredDifference"}


@dataclass(frozen=True)
class Deeplift:
    """The rescale rule, with one reference."""

    references: ClassVar[int] = 1

    def backward(self, way: Way, others: Sequence[Tensor]) -> Pulled:
        """Go back from the target with both passes at hand."""
        way.flow.require_in_sight("DeepLIFT")
        way.flow.require_precision("DeepLIFT")
        (other,) = others
        lift = _Lift(way.flow, twins(way.flow, other))
        return Pulled(walk(way.flow, way.seed, lift.step), counted(way, lift.counts))


class _Lift:
    def __init__(self, flow: Flow, twin: Mapping[str, Tensor]) -> None:
        self.flow, self.twin = flow, twin
        self.elementwise = Elementwise(flow)
        self.counts: Counter[str] = Counter()

    def step(self, operation: Operation, arriving: list[Tensor]) -> Messages:
        """Hand multipliers back through one operation."""
        kind, carried = operation.type, self.flow.carried(operation)
        if kind == "IdentityN" or kind in _STRAIGHT:
            yield from pulled_by_input(self.flow, operation, arriving)
            return
        if self.elementwise.is_curve(operation):
            self.counts[kind] += 1
            yield self._curve(operation, arriving[0])
            return
        if kind in _PRODUCTS:
            yield from self._halfway(operation, arriving)
            return
        if kind in ("RealDiv", "Div") and carried == [0]:
            yield from pulled_by_input(self.flow, operation, arriving)
            return
        if kind in BATCH_NORMS and carried == [0] and not operation.get_attr("is_training"):
            yield from pulled_by_input(self.flow, operation, [arriving[0], *map(tf.zeros_like, arriving[1:])])
            return
        special = {
            "RealDiv": self._quotient, "Div": self._quotient, "Softmax": self._softmax, "LogSoftmax": self._log_softmax,
            "MaxPool": self._winner, "MaxPool3D": self._winner, "Max": self._winner,
        }.get(kind)  # fmt: skip
        if special is None:
            raise no_rule("DeepLIFT", operation)
        self.counts[kind] += 1
        yield from special(operation, arriving[0])

    def _pair(self, tensor: Tensor) -> tuple[Tensor, Tensor]:
        return tensor, self.twin[tensor.name]

    def _curve(self, operation: Operation, m: Tensor) -> tuple[Tensor, Tensor]:
        """Δy/Δx from the activation's own beginning; where Δx is next to nothing, dy/dx."""
        root = self.elementwise.root(operation)
        (y, y0), (x, x0) = self._pair(operation.outputs[0]), self._pair(root)
        if len(operation.inputs) == 1:
            slope = pulled(operation, [tf.ones_like(y)])[0]
        else:
            (slope,) = tf.gradients(y, root, stop_gradients=[root])
        return root, m * _ratio(y - y0, x - x0, _small(x, x0), slope)

    def _halfway(self, operation: Operation, arriving: list[Tensor]) -> Messages:
        """A product of two, or a square: the derivative halfway between is exact."""
        carried = self.flow.carried(operation)
        if len(carried) < 2 and operation.type != "SquaredDifference":
            yield from pulled_by_input(self.flow, operation, arriving)
            return
        self.counts[operation.type] += 1
        between = {i: sum(self._pair(operation.inputs[i])) / 2 for i in carried}
        yield from pulled_by_input(self.flow, operation, arriving, replayed(operation, between))

    def _quotient(self, operation: Operation, m: Tensor) -> Messages:
        """A quotient is a product with 1/b, and 1/b is a curve."""
        numerator, denominator = operation.inputs
        (a, a0), (b, b0) = (self._pair(t) if t.name in self.flow.data else (t, t) for t in (numerator, denominator))
        shapes = tf.raw_ops.BroadcastGradientArgs(s0=tf.shape(a), s1=tf.shape(b))
        if numerator.name in self.flow.data:
            yield numerator, tf.reshape(tf.reduce_sum(m * (1 / b + 1 / b0) / 2, shapes[0]), tf.shape(a))
        if denominator.name in self.flow.data:
            yield denominator, tf.reshape(tf.reduce_sum(-m * (a + a0) / 2 / (b * b0), shapes[1]), tf.shape(b))

    def _softmax(self, operation: Operation, m: Tensor) -> Messages:
        """e/Σe, with one shift for both passes: exponentials are curves, the quotient as above."""
        x, e, e0, rise = self._exponentials(operation)
        total, total0 = (tf.reduce_sum(part, -1, keepdims=True) for part in (e, e0))
        of_total = -tf.reduce_sum(m * (e + e0) / 2, -1, keepdims=True) / (total * total0)
        yield x, (m * (1 / total + 1 / total0) / 2 + of_total) * rise

    def _log_softmax(self, operation: Operation, m: Tensor) -> Messages:
        x, e, e0, rise = self._exponentials(operation)
        total, total0 = (tf.reduce_sum(part, -1, keepdims=True) for part in (e, e0))
        slope = _ratio(tf.math.log(total) - tf.math.log(total0), total - total0, _small(total, total0), 1 / total)
        yield x, m - tf.reduce_sum(m, -1, keepdims=True) * slope * rise

    def _exponentials(self, operation: Operation) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x, x0 = self._pair(operation.inputs[0])
        highest = tf.reduce_max(tf.maximum(x, x0), -1, keepdims=True)
        e, e0 = tf.exp(x - highest), tf.exp(x0 - highest)
        # Of values far apart the ratio is right; of near ones e·expm1(Δ)/Δ is.
        rise = _ratio(e - e0, x - x0, _small(x, x0), e)
        return operation.inputs[0], e, e0, rise

    def _winner(self, operation: Operation, m: Tensor) -> Messages:
        """A rise goes to who wins now, a fall to who won at the reference: each differs by as much at least."""
        (x, x0), (y, y0) = self._pair(operation.inputs[0]), self._pair(operation.outputs[0])
        rest = {i: tensor for i, tensor in enumerate(self.twin[operation.outputs[0].name].op.inputs) if i}
        before = replayed(operation, {0: x0, **rest})
        rose = pulled(operation, [m * tf.nn.relu(y - y0)])[0]
        fell = pulled(before, [-m * tf.nn.relu(y0 - y)])[0]
        yield operation.inputs[0], tf.math.divide_no_nan(rose + fell, x - x0)


def _small(x: Tensor, x0: Tensor) -> Tensor:
    return tf.abs(x - x0) <= _SMALL * (tf.abs(x) + tf.abs(x0)) + _TINY


def _ratio(rise: Tensor, run: Tensor, small: Tensor, slope: Tensor) -> Tensor:
    return tf.where(small, slope, rise / tf.where(small, tf.ones_like(run), run))
