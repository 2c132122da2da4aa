"""Whether attributions add up to the change of the target they share out."""

import numpy as np

from saliency_cli.differentiable import Arrays

LARGE_GAP = 0.25
_ROUNDING = 1e-5  # of Σ|φ|: all that is left of a gap where the target did not change


def completeness(
    values: Arrays, difference: float, *, flag: str = "completeness-gap"
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Return the gap Σφ − difference over every input, as details to record, and the flag it earns if any."""
    gap = sum(float(v.sum(dtype=np.float64)) for v in values.values()) - difference
    details = {"completeness_gap": gap}
    if difference:
        details["relative_gap"] = abs(gap / difference)
    shared = sum(float(np.abs(v).sum(dtype=np.float64)) for v in values.values())
    large = abs(gap) > max(LARGE_GAP * abs(difference), _ROUNDING * shared)
    return details, (flag,) if large else ()
