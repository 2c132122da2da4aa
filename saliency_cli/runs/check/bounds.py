"""A rule's bounds as one quantity and the range it has to lie in.

`min` and `max` hold the value itself, `max-increase` and `max-decrease` its change over |baseline|,
`max-delta` the difference. NaN lies in no range.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from saliency_cli.differentiable import Array
from saliency_cli.runs.check.policy import Rule

Quantity = Literal["value", "change", "difference"]

# A derived number on its limit (0.125 over 0.1) must not break it by the last bit.
_ROUNDING = 1e-8


@dataclass(frozen=True)
class Range:
    """`low` ≤ quantity ≤ `high`, either side infinite where there is no bound."""

    quantity: Quantity
    low: float
    high: float

    def of(self, value: Array, before: Array) -> Array:
        """Return the quantity of values and what they were before; `before` is not looked at for `value`."""
        if self.quantity == "value":
            return np.asarray(value, np.float64)
        return difference(value, before) if self.quantity == "difference" else change(value, before)

    def excess(self, quantity: Array) -> Array:
        """Return how far a quantity lies outside: positive breaks the rule, and NaN is infinitely far."""
        with np.errstate(invalid="ignore"):
            # The infinite side is left out: ∞ − ∞ would be NaN for an infinite value that is allowed.
            below = self.low - quantity if np.isfinite(self.low) else np.full_like(quantity, -np.inf)
            above = quantity - self.high if np.isfinite(self.high) else np.full_like(quantity, -np.inf)
        return np.asarray(np.where(np.isnan(quantity), np.inf, np.maximum(below, above)))

    def is_low(self, quantity: float) -> bool:
        """Return whether it is the lower bound that a quantity is nearest to, or beyond."""
        if not np.isfinite(self.low):
            return False
        return not np.isfinite(self.high) or bool(self.low - quantity >= quantity - self.high)


def change(value: Array, before: Array) -> Array:
    """Return (value − before) / |before|: 0 for equals, −1 for a number after an infinity."""
    gap = difference(value, before)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = gap / np.abs(before)
    found = np.where(gap == 0, 0.0, found)
    return np.asarray(np.where(np.isinf(before) & np.isinf(gap), np.sign(gap), found))


def difference(value: Array, before: Array) -> Array:
    """Return value − before, 0 for two infinities of one sign."""
    value, before = np.asarray(value, np.float64), np.asarray(before, np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(value == before, 0.0, value - before))


def range_of(rule: Rule) -> Range:
    """Return what a rule's bounds, which are of one family, come to."""
    if rule.families == ("absolute",):
        return Range("value", _or(rule.min, -np.inf), _or(rule.max, np.inf))
    if rule.families == ("delta",):
        assert rule.max_delta is not None
        room = rule.max_delta * (1 + _ROUNDING)
        return Range("difference", -room, room)
    return Range("change", -_or(rule.max_decrease, np.inf) - _ROUNDING, _or(rule.max_increase, np.inf) + _ROUNDING)


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def named(rule: Rule, *, low: bool) -> tuple[str, float, str]:
    """Return the policy's key of one side, its number, and the comparison it stands for."""
    sides = {"min", "max-decrease", "max-delta"} if low else {"max", "max-increase", "max-delta"}
    bound = next(bound for bound in rule.bounds if bound.key in sides)
    return bound.key, bound.allowed, ">=" if low else "<="


def limit(key: str, allowed: float, before: float, *, low: bool) -> float:
    """Return the absolute number a value is held to."""
    sign = -1.0 if low else 1.0
    if key in ("min", "max") or not np.isfinite(before):
        return allowed if key in ("min", "max") else before
    return before + sign * allowed * (abs(before) if key != "max-delta" else 1.0)
