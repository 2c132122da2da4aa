"""DeepLIFT's rescale rule: multipliers of the difference from a reference instead of derivatives.

Every operation hands back m so that Σ m·Δinput = m·Δoutput, exactly: straight lines by their derivative,
products and squares by their derivative halfway, curves (an activation, however many operations it is
written with) by Δy/Δx, maxima by who won on either side.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from saliency_cli.autodiff.backward.differences import (
    Pair,
    of_log_softmax,
    of_log_sum_exp,
    of_quotient,
    of_softmax,
    ratio,
    summed_exponentials,
)
from saliency_cli.autodiff.backward.elementwise import Elementwise
from saliency_cli.autodiff.backward.flow import Flow, twins
from saliency_cli.autodiff.backward.kinds import BATCH_NORMS, KERNELS, MOVES, SUMS, WINNERS
from saliency_cli.autodiff.backward.ruled import Pulled, Way, counted
from saliency_cli.autodiff.backward.walk import no_rule, pulled, pulled_by_input, replayed, walk
from saliency_cli.autodiff.runtime import tf

__all__ = ["Deeplift"]

Tensor = Any
Operation = Any
Messages = Iterable[tuple[Tensor, Tensor]]

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
        logsumexp = summed_exponentials(operation)
        if logsumexp is not None and logsumexp[0].name in self.flow.data:
            self.counts["LogSumExp"] += 1
            inner, axes = logsumexp
            yield inner, of_log_sum_exp(self._pair(inner), axes, arriving[0])
            return
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
        self.counts[kind] += 1
        if kind in ("RealDiv", "Div"):
            pairs = [self._pair(tensor) for tensor in operation.inputs]
            yield from zip(operation.inputs, of_quotient(pairs[0], pairs[1], arriving[0]), strict=True)
        elif kind in ("Softmax", "LogSoftmax"):
            shared = of_softmax if kind == "Softmax" else of_log_softmax
            yield operation.inputs[0], shared(self._pair(operation.inputs[0]), arriving[0])
        elif kind in WINNERS:
            yield from self._winner(operation, arriving[0])
        else:
            raise no_rule("DeepLIFT", operation)

    def _pair(self, tensor: Tensor) -> Pair:
        return tensor, self.twin.get(tensor.name, tensor)

    def _curve(self, operation: Operation, m: Tensor) -> tuple[Tensor, Tensor]:
        """Δy/Δx from the activation's own beginning; where Δx is next to nothing, dy/dx."""
        root = self.elementwise.root(operation)
        y = operation.outputs[0]
        if len(operation.inputs) == 1:
            slope = pulled(operation, [tf.ones_like(y)])[0]
        else:
            (slope,) = tf.gradients(y, root, stop_gradients=[root])
        return root, m * ratio(self._pair(y), self._pair(root), slope)

    def _halfway(self, operation: Operation, arriving: list[Tensor]) -> Messages:
        """A product of two, or a square: the derivative halfway between is exact."""
        carried = self.flow.carried(operation)
        if len(carried) < 2 and operation.type != "SquaredDifference":
            yield from pulled_by_input(self.flow, operation, arriving)
            return
        self.counts[operation.type] += 1
        between = {i: sum(self._pair(operation.inputs[i])) / 2 for i in carried}
        yield from pulled_by_input(self.flow, operation, arriving, replayed(operation, between))

    def _winner(self, operation: Operation, m: Tensor) -> Messages:
        """Of a maximum a rise goes to who wins now, a fall to who won before: each differs by as much at least."""
        y, y0 = self._pair(operation.outputs[0])
        rise, fall = m * tf.nn.relu(y - y0), -m * tf.nn.relu(y0 - y)
        now, then = (fall, rise) if operation.type in ("Min", "Minimum") else (rise, fall)
        parts = pulled(operation, [now]), pulled(y0.op, [then])
        for i in self.flow.carried(operation):
            x, x0 = self._pair(operation.inputs[i])
            share = tf.add_n([part[i] for part in parts])
            yield operation.inputs[i], tf.math.divide_no_nan(share, x - x0)
