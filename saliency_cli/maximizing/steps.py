"""One step uphill: Adam, or a step of one length along the gradient."""

from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from saliency_cli.differentiable import Array

Optimizer = Literal["adam", "gradient"]


class Stepping(Protocol):
    """Turns gradients into steps; it may remember earlier ones."""

    def step(self, gradient: Array) -> Array:
        """Return what to add to the parameters so that what has this gradient rises."""
        ...


@dataclass(frozen=True)
class Plain:
    """`rate · g / rms(g)`: along the gradient, `rate` a parameter at the root mean square, whatever its size."""

    rate: float

    def step(self, gradient: Array) -> Array:
        """Return the step; none where the gradient is zero."""
        size = _rms(gradient)
        return np.asarray(gradient * (self.rate / size)) if size else np.zeros(gradient.shape)


@dataclass
class Adam:
    """`rate · m̂ / (√v̂ + ε)` with running means of the gradient and its square (Kingma, Ba 2014, arXiv:1412.6980).

    Uphill, β = (0.9, 0.999), ε = 1e-8 of the first gradient's root mean square, so that a target in other units
    gives the same steps.
    """

    rate: float
    first: float = 0.9
    second: float = 0.999
    _mean: Array | float = field(default=0.0, init=False)
    _square: Array | float = field(default=0.0, init=False)
    _unit: float = field(default=0.0, init=False)
    _count: int = field(default=0, init=False)

    def step(self, gradient: Array) -> Array:
        """Return the step and remember the gradient; none before the first gradient that isn't zero."""
        self._unit = self._unit or _rms(gradient)
        if not self._unit:
            return np.zeros(gradient.shape)
        scaled = gradient / self._unit
        self._count += 1
        self._mean = self.first * self._mean + (1 - self.first) * scaled
        self._square = self.second * self._square + (1 - self.second) * np.square(scaled)
        mean = self._mean / (1 - self.first**self._count)
        square = self._square / (1 - self.second**self._count)
        return np.asarray(self.rate * mean / (np.sqrt(square) + 1e-8))


def stepping(optimizer: Optimizer, rate: float) -> Stepping:
    """Return what makes the steps of one input."""
    return Adam(rate) if optimizer == "adam" else Plain(rate)


def _rms(values: Array) -> float:
    # Scaled first: the square of a tiny gradient would be nothing at all.
    largest = float(np.abs(values).max(initial=0.0))
    return largest * float(np.sqrt(np.mean(np.square(values / largest)))) if largest else 0.0
