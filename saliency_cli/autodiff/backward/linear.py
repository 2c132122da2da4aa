"""Linear operations as relevance rules want them: their inputs, their weights by sign, and the way back."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from saliency_cli.autodiff.backward.walk import pulled, replayed
from saliency_cli.autodiff.runtime import tf

Tensor = Any
Operation = Any
Sign = Literal["all", "+", "-", "one", "square"]


@dataclass(frozen=True, eq=False)
class Product:
    """A product of data with a kernel, times `scale` plus `shift` (each a row, one number a channel).

    `end` is the tensor it ends in, behind `moves` that leave the channels' axis as it is. `turned`: it stands for
    −`end`, with all its weights turned round.
    """

    operation: Operation
    data: int
    end: Tensor
    scale: Tensor | None = None
    shift: Tensor | None = None
    moves: tuple[Operation, ...] = ()
    turned: bool = False
    made: dict[str, Operation] = field(default_factory=dict)

    @property
    def inputs(self) -> list[Tensor]:
        """The data, as one input."""
        return [self.operation.inputs[self.data]]

    @property
    def added(self) -> Tensor | None:
        """What is added to the product, of a shape that broadcasts with it."""
        if self.shift is None:
            return None
        return along_channels(self.operation, -self.shift if self.turned else self.shift)

    def turned_round(self) -> "Product":
        """Return the product whose end is this one's, times −1."""
        return replace(self, turned=not self.turned, made={})

    def apply(self, xs: Sequence[Tensor], sign: Sign) -> Tensor | None:
        """Return the product of data with the kernel's part of a sign, scaled and not shifted."""
        made = replayed(self.operation, {self.data: xs[0], self._kernel_at: self._kernel(sign)})
        self.made.setdefault(sign, made)
        return made.outputs[0]

    def back(self, message: Tensor, sign: Sign) -> list[Tensor] | None:
        """Return the transposed product with the kernel's part of a sign."""
        if sign not in self.made:
            self.apply([self.inputs[0]], sign)
        found = pulled(self.made[sign], [message])[self.data]
        return [found]

    def moved_back(self, message: Tensor) -> Tensor:
        """Bring a message from `end` to the shape of the product itself."""
        for operation in reversed(self.moves):
            message = pulled(operation, [message])[0]
        return message

    @property
    def _kernel_at(self) -> int:
        return 1 if self.operation.type == "Conv2DBackpropInput" else 1 - self.data

    def _kernel(self, sign: Sign) -> Tensor:
        kernel = self.operation.inputs[self._kernel_at]
        if self.scale is not None:
            kernel = kernel * _laid_out(self.operation, kernel, self.scale)
        if self.turned:
            kernel = -kernel
        parts = {
            "all": lambda: kernel,
            "+": lambda: tf.nn.relu(kernel),
            "-": lambda: -tf.nn.relu(-kernel),
            "one": lambda: tf.ones_like(kernel),
            "square": lambda: tf.square(kernel),
        }
        return parts[sign]()


@dataclass(frozen=True, eq=False)
class Sum:
    """A sum, a mean, a resize or a difference: linear, and its weights are no kernel's.

    `turned`: it stands for −1 times itself.
    """

    operation: Operation
    carried: tuple[int, ...]
    turned: bool = False
    added: None = None

    @property
    def inputs(self) -> list[Tensor]:
        """The data added."""
        return [self.operation.inputs[i] for i in self.carried]

    @property
    def falls(self) -> list[bool]:
        """Which inputs weigh in with a minus."""
        return [self.turned != (self.operation.type == "Sub" and i == 1) for i in self.carried]

    def apply(self, xs: Sequence[Tensor], sign: Sign) -> Tensor | None:
        """Return the sum of other data, of those that weigh in with a sign."""
        if sign == "-" and not any(self.falls):
            return None
        given = [x if keep else tf.zeros_like(x) for x, keep in zip(xs, self._signs(sign), strict=True)]
        total = replayed(self.operation, dict(zip(self.carried, given, strict=True))).outputs[0]
        return -total if self.turned else total

    def back(self, message: Tensor, sign: Sign) -> list[Tensor] | None:
        """Return what each input gets of a message."""
        if sign == "-" and not any(self.falls):
            return None
        parts = pulled(self.operation, [-message if self.turned else message])
        found = [parts[i] for i in self.carried]
        return [x if keep else tf.zeros_like(x) for x, keep in zip(found, self._signs(sign), strict=True)]

    def _signs(self, sign: Sign) -> list[bool]:
        """Return which inputs weigh in with a sign."""
        return [sign == "all" or (sign == "-") == falls for falls in self.falls]


def channels_first(operation: Operation) -> bool:
    """Whether an operation has its channels before the places."""
    names = {attribute.name for attribute in operation.op_def.attr}
    return "data_format" in names and operation.get_attr("data_format").startswith(b"NC")


def along_channels(operation: Operation, row: Tensor) -> Tensor:
    """Return one number a channel in a shape that broadcasts with an operation's output."""
    rank = operation.outputs[0].shape.rank
    return tf.reshape(row, [-1, *(1 for _ in range(rank - 2))]) if channels_first(operation) else row


def _laid_out(operation: Operation, kernel: Tensor, scale: Tensor) -> Tensor:
    """Lay a scale by channel along the kernel's axis of output channels."""
    if scale.shape[0] == 1:
        return scale
    if operation.type == "DepthwiseConv2dNative":
        return tf.reshape(scale, tf.shape(kernel)[-2:])
    names = {attribute.name for attribute in operation.op_def.attr}
    turned = [name for name in ("transpose_b", "adj_y") if name in names]
    if operation.type == "Conv2DBackpropInput" or any(operation.get_attr(name) for name in turned):
        return scale[:, None]
    return scale
