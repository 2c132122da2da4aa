"""How relevance is shared out by one linear operation: the rules of layer-wise relevance propagation.

An output z_j = Σ_i c_ij + b_j, with contributions c_ij = x_i w_ij, hands its relevance R_j to its inputs in
proportion to c_ij, to their positive and negative parts, or to something that looks at the weights alone.
"""

from dataclasses import dataclass
from typing import Any, Literal

from saliency_cli.autodiff.backward.linear import Product, Sign, Sum
from saliency_cli.autodiff.runtime import tf
from saliency_cli.errors import UsageError

Tensor = Any
Linear = Product | Sum
Name = Literal["epsilon", "gamma", "alpha-beta", "zplus", "zbox", "wsquare", "flat"]


@dataclass(frozen=True)
class Sharing:
    """A rule with its numbers. `biases`: whether b_j takes its own share, which is then lost."""

    name: Name
    epsilon: float = 1e-6
    gamma: float = 0.25
    alpha: float = 2.0
    biases: bool = True

    def share(self, linear: Linear, relevance: Tensor, box: tuple[Tensor, Tensor] | None = None) -> list[Tensor]:
        """Return the relevance of each input."""
        if self.name == "epsilon":
            return self._epsilon(linear, relevance)
        if self.name == "gamma":
            return self._gamma(linear, relevance)
        if self.name in ("alpha-beta", "zplus"):
            return self._alpha_beta(linear, relevance)
        assert isinstance(linear, Product)
        if self.name == "zbox":
            if box is None:
                raise UsageError("the box rule needs the lowest and the highest input", reason="no-box")
            return self._zbox(linear, relevance, *box)
        return self._by_weights(linear, relevance, "one" if self.name == "flat" else "square")

    def _epsilon(self, linear: Linear, relevance: Tensor) -> list[Tensor]:
        """Share by c / (z + ε·rms(z)·sign z)."""
        z = _required(linear.apply(linear.inputs, "all")) + self._bias(linear)
        over = _per(relevance, stabilised(z, self.epsilon))
        return [x * part for x, part in zip(linear.inputs, _required(linear.back(over, "all")), strict=True)]

    def _gamma(self, linear: Linear, relevance: Tensor) -> list[Tensor]:
        """(c + γ c⁺) / (z + γ z⁺) where z > 0, (c + γ c⁻) / (z + γ z⁻) where z < 0."""
        z = _required(linear.apply(linear.inputs, "all")) + self._bias(linear)
        favoured, against = self._parts(linear)
        over = _per(relevance, z + self.gamma * tf.where(z >= 0, favoured, against))
        plain = [x * part for x, part in zip(linear.inputs, _required(linear.back(over, "all")), strict=True)]
        rises = _signed(linear, tf.where(z >= 0, over, tf.zeros_like(over)), positive=True)
        falls = _signed(linear, tf.where(z >= 0, tf.zeros_like(over), over), positive=False)
        return [a + self.gamma * (b + c) for a, b, c in zip(plain, rises, falls, strict=True)]

    def _alpha_beta(self, linear: Linear, relevance: Tensor) -> list[Tensor]:
        """α c⁺ / z⁺ − (α − 1) c⁻ / z⁻; z⁺ is the case α = 1."""
        alpha = 1.0 if self.name == "zplus" else self.alpha
        favoured, against = self._parts(linear, both=alpha != 1)
        found = _signed(linear, alpha * _per(relevance, favoured), positive=True)
        if alpha == 1:
            return found
        falls = _signed(linear, (alpha - 1) * _per(relevance, against), positive=False)
        return [a - b for a, b in zip(found, falls, strict=True)]

    def _zbox(self, linear: Product, relevance: Tensor, low: Tensor, high: Tensor) -> list[Tensor]:
        """(x w − l w⁺ − h w⁻) over its sum: the first layer of bounded inputs."""
        x = linear.inputs[0]
        kinds: tuple[tuple[Tensor, Sign, float], ...] = ((x, "all", 1.0), (low, "+", -1.0), (high, "-", -1.0))
        z = tf.add_n([sign * _required(linear.apply([value], part)) for value, part, sign in kinds])
        over = _per(relevance, z)
        return [tf.add_n([sign * value * _required(linear.back(over, part))[0] for value, part, sign in kinds])]

    def _by_weights(self, linear: Product, relevance: Tensor, sign: Sign) -> list[Tensor]:
        """w² / Σ w², or the same share for every input of a unit."""
        z = _required(linear.apply([tf.ones_like(linear.inputs[0])], sign))
        found: list[Tensor] = _required(linear.back(_per(relevance, z), sign))
        return found

    def _parts(self, linear: Linear, *, both: bool = True) -> tuple[Tensor, Tensor]:
        """Return the sums of positive and of negative contributions, the biases among them where they count."""
        rises, falls = [tf.nn.relu(x) for x in linear.inputs], [-tf.nn.relu(-x) for x in linear.inputs]
        bias = self._bias(linear)
        some = [linear.apply(rises, "+"), None if _never_negative(linear) else linear.apply(falls, "-")]
        positive = tf.add_n([part for part in some if part is not None]) + tf.nn.relu(bias)
        if not both:
            return positive, positive
        some = [linear.apply(rises, "-"), None if _never_negative(linear) else linear.apply(falls, "+")]
        found = [part for part in some if part is not None]
        return positive, (tf.add_n(found) if found else tf.zeros_like(positive)) - tf.nn.relu(-bias)

    def _bias(self, linear: Linear) -> Tensor:
        dtype = linear.inputs[0].dtype
        return linear.added if self.biases and linear.added is not None else tf.zeros((), dtype)


def _signed(linear: Linear, over: Tensor, *, positive: bool) -> list[Tensor]:
    """Return each input's positive (or negative) contributions times what their units hand back."""
    ahead = linear.back(over, "+" if positive else "-")
    behind = None if _never_negative(linear) else linear.back(over, "-" if positive else "+")
    found = [tf.zeros_like(x) for x in linear.inputs]
    if ahead is not None:
        found = [a + tf.nn.relu(x) * part for a, x, part in zip(found, linear.inputs, ahead, strict=True)]
    if behind is not None:
        found = [a - tf.nn.relu(-x) * part for a, x, part in zip(found, linear.inputs, behind, strict=True)]
    return found


_NEVER_NEGATIVE = ("Relu", "Relu6", "Sigmoid", "Softmax", "Softplus", "Square", "Abs")
_CARRIED_ON = ("MaxPool", "AvgPool", "Mean", "Max", "Identity", "Reshape", "Squeeze", "ExpandDims", "Pad", "Sum")


def _never_negative(linear: Linear) -> bool:
    return all(_is_never_negative(tensor) for tensor in linear.inputs)


def _is_never_negative(tensor: Tensor) -> bool:
    while tensor.op.type in _CARRIED_ON:
        tensor = tensor.op.inputs[0]
    if tensor.op.type == "ConcatV2":
        return all(_is_never_negative(part) for part in tensor.op.inputs[:-1])
    return tensor.op.type in _NEVER_NEGATIVE


def stabilised(z: Tensor, epsilon: float) -> Tensor:
    """Move z away from 0 by ε times its own root mean square over one row of the operation's output."""
    axes = list(range(1, z.shape.rank or 1))
    size = tf.sqrt(tf.reduce_mean(tf.square(z), axis=axes, keepdims=True))
    return z + tf.where(z >= 0, tf.ones_like(z), -tf.ones_like(z)) * epsilon * size


def _per(relevance: Tensor, z: Tensor) -> Tensor:
    """Divide, and hand nothing back where nothing was summed."""
    return tf.math.divide_no_nan(relevance, z)


def _required(found: Any) -> Any:
    assert found is not None
    return found
