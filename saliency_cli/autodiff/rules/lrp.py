"""Layer-wise relevance propagation: the target's value shared out backward, layer by layer.

Which rule shares out where: `first` in products that no other product comes before, else `dense` in matrix
products and `convolution` in convolutions and in sums (residual additions, averages). Activations hand
relevance on as it is, maxima to the winner, and what only moves values moves their relevance.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import Meta

from saliency_cli.autodiff.backward.elementwise import Elementwise
from saliency_cli.autodiff.backward.flow import Flow, twins
from saliency_cli.autodiff.backward.folding import product_of, scale_and_shift
from saliency_cli.autodiff.backward.kinds import DENSE, MOVES, SUMS, WINNERS
from saliency_cli.autodiff.backward.linear import Product, Sum
from saliency_cli.autodiff.backward.ruled import Pulled, Way, counted, require_score
from saliency_cli.autodiff.backward.shares import Name, Sharing, stabilised
from saliency_cli.autodiff.backward.walk import no_rule, pulled_by_input, walk
from saliency_cli.autodiff.runtime import tf

__all__ = ["Lrp"]

Tensor = Any
Operation = Any
Messages = Iterable[tuple[Tensor, Tensor]]
Hidden = Literal["epsilon", "gamma", "alpha-beta", "zplus"]


@dataclass(frozen=True)
class Lrp:
    """A rule for dense layers, one for convolutions, one for the first layer."""

    dense: Annotated[Hidden, Meta(description="rule of matrix products")] = "epsilon"
    convolution: Annotated[Hidden, Meta(description="rule of convolutions and sums")] = "epsilon"
    first: Annotated[Name | Literal["same"], Meta(description="rule of the first products")] = "same"
    epsilon: Annotated[float, Meta(ge=0, le=100, description="ε as a share of the outputs' root mean square")] = 1e-6
    gamma: Annotated[float, Meta(ge=0, le=1000, description="γ")] = 0.25
    alpha: Annotated[float, Meta(ge=1, le=100, description="α; β is α − 1")] = 2.0
    biases: Annotated[bool, Meta(description="whether biases take their share")] = True
    start: Annotated[Literal["target", "one"], Meta(description="what is shared out")] = "target"

    @property
    def references(self) -> int:
        """The lowest and the highest input, where a box is asked for."""
        return 2 if self.first == "zbox" else 0

    def sharing(self, name: Name) -> Sharing:
        """Return a rule with its numbers."""
        return Sharing(name, self.epsilon, self.gamma, self.alpha, self.biases)

    def backward(self, way: Way, others: Sequence[Tensor]) -> Pulled:
        """Share out what the target is made of."""
        require_score(way, "relevance propagation", ("logit", "output"))
        way.flow.require_in_sight("relevance propagation")
        way.flow.require_precision("relevance propagation")
        relevance = way.seed * way.flow.end if self.start == "target" else way.seed
        sharing = _Relevance(self, way.flow, [twins(way.flow, other) for other in others])
        return Pulled(walk(way.flow, relevance, sharing.step), counted(way, sharing.counts))


class _Relevance:
    def __init__(self, rule: Lrp, flow: Flow, boxes: Sequence[Mapping[str, Tensor]]) -> None:
        self.rule, self.flow, self.boxes = rule, flow, boxes
        self.elementwise = Elementwise(flow)
        self.counted: dict[str, str] = {}
        self.products: dict[str, Product] = {}
        behind = set[str]()  # operations with a product before them
        self.first = set[str]()
        for operation in flow.operations:
            product = product_of(flow, operation)
            after = any(tensor.op.name in behind for tensor in operation.inputs)
            if product is not None:
                self.products[product.end.op.name] = product
                if not after:
                    self.first.add(operation.name)
            if after or product is not None:
                behind.add(operation.name)

    @property
    def counts(self) -> Counter[str]:
        """How many operations shared by each rule."""
        return Counter(self.counted.values())

    def step(self, operation: Operation, arriving: list[Tensor]) -> Messages:
        """Hand relevance back through one operation, or through all that belongs to one product."""
        relevance, kind = arriving[0], operation.type
        product = self.products.get(operation.name)
        if product is not None:
            yield from self._product(product, relevance)
        elif self.elementwise.is_curve(operation):
            yield self.elementwise.root(operation), relevance
        elif kind in MOVES or kind in WINNERS:
            yield from pulled_by_input(self.flow, operation, arriving)
        elif (change := scale_and_shift(self.flow, operation)) is not None:
            x, kept = self._scaled(operation, relevance, *change)
            yield from self._turned(x, kept) if self._turns(operation) else [(x, kept)]
        elif kind in SUMS or kind in ("Sub", "BiasAdd"):  # Keras adds two rows so where the batch is 1
            yield from self._sum(operation, relevance)
        else:
            raise no_rule("relevance propagation", operation, _being(self.flow, operation))

    def _turns(self, operation: Operation) -> bool:
        """Whether an operation is −x, or something less x."""
        return operation.type == "Neg" or (operation.type == "Sub" and self.flow.carried(operation) == [1])

    def _turned(self, tensor: Tensor, relevance: Tensor) -> Messages:
        """Hand on the relevance of −x, x a tensor: what lowers x speaks for it, and has the share of what raises.

        As far as x is a sum, a product, or moved from there; an activation has the relevance of what it gives.
        """
        operation = tensor.op
        product = self.products.get(operation.name)
        if operation.name not in self.flow.names:
            yield tensor, relevance
        elif product is not None:
            yield from self._product(product.turned_round(), relevance)
        elif self.elementwise.is_curve(operation):
            yield tensor, relevance
        elif operation.type in MOVES | WINNERS and len(operation.outputs) == 1:
            for behind, message in pulled_by_input(self.flow, operation, [relevance]):
                yield from self._turned(behind, message)
        elif (change := scale_and_shift(self.flow, operation)) is not None:
            x, kept = self._scaled(operation, relevance, *change)
            yield from [(x, kept)] if self._turns(operation) else self._turned(x, kept)
        elif operation.type in SUMS or operation.type in ("Sub", "BiasAdd"):
            yield from self._sum(operation, relevance, turned=True)
        else:
            yield tensor, relevance

    def _product(self, product: Product, relevance: Tensor) -> Messages:
        name = self._rule_of(product)
        self._count(product.operation, name)
        shares = self.rule.sharing(name).share(product, product.moved_back(relevance), self._box(product))
        yield from zip(product.inputs, shares, strict=True)

    def _count(self, operation: Operation, rule: Name) -> None:
        self.counted[operation.name] = f"{operation.type}_{rule}".replace("-", "_")

    def _rule_of(self, product: Product) -> Name:
        own: Name = self.rule.dense if product.operation.type in DENSE else self.rule.convolution
        first = self.rule.first
        return own if first == "same" or product.operation.name not in self.first else first

    def _box(self, product: Product) -> tuple[Tensor, Tensor] | None:
        """Return the lowest and the highest value that may come into a product, from the two further passes."""
        if not self.boxes:
            return None
        found = [box[product.inputs[0].name] for box in self.boxes if product.inputs[0].name in box]
        return (tf.minimum(*found), tf.maximum(*found)) if len(found) == 2 else None

    def _sum(self, operation: Operation, relevance: Tensor, *, turned: bool = False) -> Messages:
        name: Name = self.rule.convolution
        linear = Sum(operation, tuple(self.flow.carried(operation)), turned)
        self._count(operation, name)
        shares = self.rule.sharing(name).share(linear, relevance)
        for x, falls, share in zip(linear.inputs, linear.falls, shares, strict=True):
            yield from self._turned(x, share) if falls else [(x, share)]

    def _scaled(
        self, operation: Operation, relevance: Tensor, scale: Tensor | None, shift: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """A number times one value: all for that value. A shift takes its share where biases do, by ε alone."""
        (at,) = self.flow.carried(operation)
        x = operation.inputs[at]
        if list(x.shape) != list(operation.outputs[0].shape):
            raise no_rule("relevance propagation", operation)
        if shift is None or not self.rule.biases or self.rule.convolution != "epsilon":
            # What a factor of 0 switches off, as a pruned channel, has no share.
            off = tf.equal(scale, 0) if scale is not None else False
            return x, tf.where(off, tf.zeros_like(relevance), relevance)
        out = operation.outputs[0]
        kept = (out - shift) * tf.math.divide_no_nan(relevance, stabilised(out, self.rule.epsilon))
        return x, kept


def _being(flow: Flow, operation: Operation) -> str:
    """Say what a product of data with data is in a model: relevance has no rule for who of the two earned it."""
    if operation.type not in (*DENSE, "Mul") or len(flow.carried(operation)) < 2:
        return ""
    return "a product of two values that both depend on the input: a gate, attention or a norm"
