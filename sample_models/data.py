"""Data which scikit-learn brings along, split the same way for training and for the sample files."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits, load_wine

NUMBERS = ("shift", "factor", "extra", "unused")
CULTIVARS = ("barolo", "grignolino", "barbera")  # what scikit-learn calls class_0, class_1 and class_2


def digits(*, held_out: bool) -> tuple[np.ndarray, np.ndarray]:
    """Handwritten digits as grey pictures.

    Args:
        held_out: Every fifth digit, which no model was trained on, rather than the rest.

    Returns:
        Pictures, uint8, `(n, 16, 16, 1)`, and the digits they show.
    """
    found = load_digits()
    pictures = np.rint(found.images * (255 / 16)).astype(np.uint8)
    pictures = pictures.repeat(2, axis=1).repeat(2, axis=2)[..., None]
    chosen = _chosen(len(pictures), held_out=held_out)
    return pictures[chosen], found.target[chosen]


def numbers(seed: int, shown: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The task in which both outputs depend on both inputs.

    Args:
        seed: Seed of the drawn numbers.
        shown: The digits shown.

    Returns:
        The numbers, float32, `(n, 4)`: shift, factor, extra and one that is not used; the digit to answer,
        `shown + shift` modulo 10; and the amount to answer, `factor * shown + extra`.
    """
    rng = np.random.default_rng(seed)
    count = len(shown)
    shift = rng.integers(0, 2, count)
    factor, extra, unused = rng.uniform(-1, 1, (3, count))
    given = np.stack([shift, factor, extra, unused], axis=1).astype(np.float32)
    return given, (shown + shift) % 10, (factor * shown + extra).astype(np.float32)


def wines(*, held_out: bool) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Measured wines of three cultivars.

    Args:
        held_out: Every fifth wine, which no model was trained on, rather than the rest.

    Returns:
        Features, float32, `(n, 13)`, the cultivars as numbers, and the features' names.
    """
    found = load_wine()
    chosen = _chosen(len(found.data), held_out=held_out)
    return found.data[chosen].astype(np.float32), found.target[chosen], list(found.feature_names)


def _chosen(count: int, *, held_out: bool) -> np.ndarray:
    return (np.arange(count) % 5 == 0) == held_out
