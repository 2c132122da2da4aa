"""What is varied in place of an input's own values: themselves, or the coefficients of waves.

Both give values `u` in 0…1 (`Range` makes a model's input of them) and take a gradient by `u` back to one by their
own parameters. `pixel`: the values themselves, cut off at 0 and 1 after each step. `fourier`: with waves of every
frequency along the input's places,

    u = sigmoid(M z),  z = Re Σ_f s_f · p_f · e^{2πi f·x},  s_f = gain / max(k_f, 1),

where `k_f` is a wave's number of periods along the longest side and `M` mixes colours (`colours`), so that a step
of one length in every parameter changes the picture as photographs differ from each other: most in what is large.
The same picture can be reached by both; what differs is the way there (Olah, Mordvintsev, Schubert 2017, Feature
Visualization).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from saliency_cli.blurring import blur
from saliency_cli.differentiable import Array
from saliency_cli.maximizing.colours import mixed, mixed_adjoint, unmixed

GAIN = 0.25
# A quarter of a step of 8 bits: a value this far from the end still rounds to it.
_EDGE = 1 / 1020


class Parametrization(Protocol):
    """Parameters `p` in place of values `u` in 0…1. All arrays are float64."""

    def noise(self, generator: np.random.Generator, contrast: float) -> Array:
        """Return parameters of noise about the middle of the range; `contrast` is about the deviation of `u`."""
        ...

    def encode(self, u: Array) -> Array:
        """Return parameters of given values."""
        ...

    def decode(self, p: Array) -> Array:
        """Return the values of parameters."""
        ...

    def pull(self, gradient: Array, u: Array) -> Array:
        """Return the gradient by `p` of what has this gradient by `u`, at `u = decode(p)`."""
        ...

    def settle(self, p: Array) -> Array:
        """Return parameters after a step, brought back to where values are valid."""
        ...

    def blurred(self, p: Array, sigma: float) -> Array:
        """Return parameters of the values blurred along their places, σ in places."""
        ...


@dataclass(frozen=True)
class Pixel:
    """The values themselves. `places`: the axes along which a blur goes."""

    shape: tuple[int, ...]
    places: tuple[int, ...]

    def noise(self, generator: np.random.Generator, contrast: float) -> Array:
        """Draw each value for itself."""
        return self.settle(0.5 + contrast * generator.standard_normal(self.shape))

    def encode(self, u: Array) -> Array:
        """Return a copy."""
        return np.array(u, np.float64)

    def decode(self, p: Array) -> Array:
        """Return them."""
        return p

    def pull(self, gradient: Array, u: Array) -> Array:
        """Return the gradient; a step beyond the range is undone by `settle`."""
        del u
        return gradient

    def settle(self, p: Array) -> Array:
        """Cut off at 0 and 1."""
        return np.clip(p, 0, 1)

    def blurred(self, p: Array, sigma: float) -> Array:
        """Blur, edges reflected."""
        return blur(p, self.places, sigma)


@dataclass(frozen=True)
class Fourier:
    """Coefficients of waves along `places`, real and imaginary parts `(2, *half spectrum)`.

    `colours` is the axis of red, green and blue, None where there are none to mix. A wave goes on beyond an edge at
    the other side.
    """

    shape: tuple[int, ...]
    places: tuple[int, ...]
    colours: int | None = None

    def noise(self, generator: np.random.Generator, contrast: float) -> Array:
        """Draw every coefficient, scaled so that `u` deviates by about `contrast`."""
        p = generator.standard_normal((2, *self._half))
        spread = float(np.std(self._mixed(waves(self._complex(p), self._sizes, self.places))))
        return np.asarray(p * (4 * contrast / spread if spread else 1))

    def encode(self, u: Array) -> Array:
        """Invert, exactly but for values within a quarter of an 8-bit step of an end."""
        z = np.log(held := np.clip(u, _EDGE, 1 - _EDGE)) - np.log1p(-held)
        z = z if self.colours is None else unmixed(z, self.colours)
        spectrum = np.fft.rfftn(z, axes=self.places, norm="forward") / self._scale
        return np.stack([spectrum.real, spectrum.imag])

    def decode(self, p: Array) -> Array:
        """Return the sigmoid of the waves' sum."""
        z = self._mixed(waves(self._complex(p), self._sizes, self.places))
        return np.asarray(0.5 + 0.5 * np.tanh(0.5 * z))

    def pull(self, gradient: Array, u: Array) -> Array:
        """Go back through the sigmoid, the colours and the waves."""
        by_z = gradient * u * (1 - u)
        by_z = by_z if self.colours is None else mixed_adjoint(by_z, self.colours)
        spectrum = waves_adjoint(by_z, self.places) * self._scale
        return np.stack([spectrum.real, spectrum.imag])

    def settle(self, p: Array) -> Array:
        """Return them: every coefficient is valid."""
        return p

    def blurred(self, p: Array, sigma: float) -> Array:
        """Damp each wave as a Gaussian does; what is blurred is what the sigmoid is taken of."""
        total = sum(np.square(frequency) for frequency in self._frequencies)
        return np.asarray(p * np.exp(-2 * np.square(np.pi * sigma) * total))

    def _complex(self, p: Array) -> Array:
        return np.asarray((p[0] + 1j * p[1]) * self._scale)

    def _mixed(self, z: Array) -> Array:
        return z if self.colours is None else mixed(z, self.colours)

    @cached_property
    def _sizes(self) -> tuple[int, ...]:
        return tuple(self.shape[axis] for axis in self.places)

    @cached_property
    def _half(self) -> tuple[int, ...]:
        half = list(self.shape)
        half[self.places[-1]] = half[self.places[-1]] // 2 + 1
        return tuple(half)

    @cached_property
    def _frequencies(self) -> list[Array]:
        """Each axis's frequencies in periods a place, shaped to be spread over the half spectrum."""
        found = []
        for axis in self.places:
            n = self.shape[axis]
            frequencies = np.fft.rfftfreq(n) if axis == self.places[-1] else np.fft.fftfreq(n)
            found.append(frequencies.reshape([-1 if other == axis else 1 for other in range(len(self.shape))]))
        return found

    @cached_property
    def _scale(self) -> Array:
        periods = np.sqrt(sum(np.square(frequency) for frequency in self._frequencies)) * max(self._sizes)
        return np.asarray(GAIN / np.maximum(periods, 1))


def waves(spectrum: Array, sizes: Sequence[int], axes: Sequence[int]) -> Array:
    """Return `Re Σ_f c_f e^{2πi f·x}` over a whole spectrum, of which one half is given: the other is its mirror."""
    return np.fft.irfftn(spectrum, sizes, axes=tuple(axes), norm="forward")


def waves_adjoint(values: Array, axes: Sequence[int]) -> Array:
    """Return the adjoint of `waves`: real and imaginary parts are the gradients by those of the spectrum.

    With ⟨a, b⟩ = Σ Re a · Re b + Im a · Im b on spectra, ⟨waves(c), y⟩ = ⟨c, waves_adjoint(y)⟩.
    """
    last = axes[-1]
    n = values.shape[last]
    # A wave of the given half stands for its mirror image too; a constant, and the last of an even length, have none.
    counted = np.full(n // 2 + 1, 2.0)
    counted[0] = 1
    if n % 2 == 0:
        counted[-1] = 1
    along = [-1 if axis == last else 1 for axis in range(values.ndim)]
    return np.asarray(np.fft.rfftn(values, axes=tuple(axes)) * counted.reshape(along))
