"""Signals in which one event decides the class and the second channel nothing.

A signal is 128 steps of two channels. The first one drifts slowly and carries one event of 15 steps: a peak, a
dip, or a wave (up, then down). The second has the same drift and louder noise, and never an event.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CLASSES = ("peak", "dip", "wave")
STEPS = 128

_REACH = 7  # steps an event extends to either side of its middle

Seed = int | np.random.Generator


@dataclass(frozen=True)
class Signal:
    """One drawn signal with its truth.

    Attributes:
        values: The signal, float32, `(128, 2)`.
        kind: Its class.
        mask: The steps of the event, bool, `(128,)`; they lie in the first channel.
    """

    values: np.ndarray
    kind: str
    mask: np.ndarray


def draw(seed: Seed, kind: str) -> Signal:
    """Draw a signal of class `kind`.

    Args:
        seed: A number, or a generator to go on with.
        kind: One of `CLASSES`.

    Returns:
        The signal and where its event is.
    """
    rng = np.random.default_rng(seed)
    steps = np.arange(STEPS)
    drift = [
        rng.uniform(0.2, 0.6) * np.sin(steps * rng.uniform(0.02, 0.08) + rng.uniform(0, 2 * np.pi)) for _ in range(2)
    ]
    noise = rng.normal(size=(2, STEPS)) * np.array([[0.15], [0.4]])
    middle = int(rng.integers(_REACH, STEPS - _REACH))
    offset = (steps - middle) / _REACH
    mask = np.abs(offset) <= 1
    bell = np.where(mask, np.cos(0.5 * np.pi * offset) ** 2, 0.0)
    swing = np.where(mask, -np.sin(np.pi * offset), 0.0)
    event = {"peak": bell, "dip": -bell, "wave": swing}[kind] * rng.uniform(1.2, 2.0)
    values = np.stack(drift, axis=1) + noise.T
    values[:, 0] += event
    return Signal(values.astype(np.float32), kind, mask)


def draw_many(seed: Seed, count: int) -> list[Signal]:
    """Draw signals of random classes."""
    rng = np.random.default_rng(seed)
    return [draw(rng, CLASSES[rng.integers(len(CLASSES))]) for _ in range(count)]
