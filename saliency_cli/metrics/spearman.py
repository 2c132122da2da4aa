"""Correlation of the places' order in the map with their order in its reference.

Definition
    The linear correlation of the ranks of both folded |maps|; places that tie share the mean of their ranks. It is
    the same for any rising function of a map.

When it misleads
    Most places of most maps are faint, and their order is most of the value: 0.94 was measured with the top
    layer drawn anew, 0.51 against a network that was never trained. Report it, but judge by `pearson` and
    `topk-intersection`.

Source
    Adebayo et al. 2018, Sanity Checks for Saliency Maps, arXiv:1810.03292.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from saliency_cli.differentiable import Array
from saliency_cli.metrics.pearson import correlation, same, why_incomparable
from saliency_cli.subject import Better, Measurement, Need, Subject, plain

__all__ = ["Spearman"]


@dataclass(frozen=True)
class Spearman:
    """Rank correlation of two maps."""

    better: ClassVar[Better] = "higher"
    lowest: ClassVar[float] = -1.0
    highest: ClassVar[float] = 1.0
    unit: ClassVar[str] = ""
    needs: ClassVar[frozenset[Need]] = frozenset({"map", "reference"})
    cost: ClassVar[str] = "nothing beside the map"

    def measure(self, subject: Subject) -> Measurement:
        """Correlate the ranks of the two maps."""
        assert subject.reference is not None
        return plain(*rank_correlation(subject.plane, subject.reference.plane))


def rank_correlation(a: Array, b: Array) -> tuple[float, str]:
    """Return the rank correlation of two maps, or NaN and why."""
    if same(a, b):
        return 1.0, ""
    reason = why_incomparable(a, b)
    return (np.nan, reason) if reason else correlation(ranks(a), ranks(b))


def ranks(values: Array) -> Array:
    """Return every value's rank from 1, equal values sharing the mean of theirs."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[group.reshape(-1)])
