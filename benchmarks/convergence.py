"""Integrated gradients: points to a map within 1 % (relative L2) of that of 512 points, by rule and by a stop.

Every rule is evaluated at a ladder of sizes on trained models, about the class on top, from a black baseline. What
a rule needs is where its error falls below 1 % for good, between two sizes by a line through the logarithms. The stop
is the trapezoid with its intervals halved again and again, the points it has kept, until the map changes by less than
a tolerance.
"""

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from common import Row, finish
from trained import Trained, trained

from saliency_cli.differentiable import Array
from saliency_cli.methods.integrated_gradients import Rule, quadrature

RULES: tuple[Rule, ...] = ("gauss-legendre", "midpoint", "trapezoid", "left", "right")
SIZES = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
NESTED = (8, 16, 32, 64, 128, 256, 512)
REFERENCE = ("gauss-legendre", 512)
FIXED = ("gauss-legendre", 50)
WITHIN, CHANGE = 0.01, 0.015
PICTURES, LARGE, FEW = 8, 100_000, 2

Case = tuple[str, int]


def maps(model: Trained, sample: Array, black: Array) -> dict[Case, Array]:
    """Return the map of every rule at every size, each point evaluated once."""
    wanted: dict[float, list[tuple[Case, float]]] = defaultdict(list)
    cases = [(rule, size + (rule == "trapezoid")) for rule in RULES for size in SIZES]
    for case in {*cases, *(("trapezoid", size + 1) for size in NESTED), REFERENCE, FIXED}:
        for alpha, weight in zip(*quadrature(*case), strict=True):
            wanted[round(float(alpha), 14)].append((case, float(weight)))
    target, way = model.top(sample), sample.astype(np.float64) - black
    sums: dict[Case, Array] = {}
    alphas = sorted(wanted)
    for start in range(0, len(alphas), 64):
        chunk = alphas[start : start + 64]
        points = np.asarray([black + alpha * way for alpha in chunk], np.float32)
        for alpha, gradient in zip(chunk, model.gradients(points, target), strict=True):
            for case, weight in wanted[alpha]:
                sums[case] = sums.get(case, 0.0) + weight * gradient
    return {case: way * total for case, total in sums.items()}


def needed(errors: Sequence[float]) -> float:
    """Return the points after which the error stays within 1 %: infinite where it doesn't at the last size."""
    late = [k for k, error in enumerate(errors) if error > WITHIN]
    if not late:
        return SIZES[0]
    k = late[-1]
    if k + 1 == len(errors):
        return float("inf")
    share = np.log(errors[k] / WITHIN) / np.log(errors[k] / max(errors[k + 1], 1e-12))
    return float(SIZES[k] * (SIZES[k + 1] / SIZES[k]) ** share)


def stopped(found: Mapping[Case, Array], reference: Array) -> tuple[int, float]:
    """Return the points the stop takes, and how far its map then is from the reference."""
    last = found["trapezoid", NESTED[0] + 1]
    for size in NESTED[1:]:
        now = found["trapezoid", size + 1]
        if apart(last, now) <= CHANGE:
            break
        last = now
    return size + 1, apart(now, reference)


def apart(a: Array, b: Array) -> float:
    """Return the relative L2 distance of two maps."""
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def told(values: Sequence[float]) -> str:
    """Return the median of numbers of points; infinite is beyond the largest size."""
    median = statistics.median(values)
    return f"{median:.0f}" if np.isfinite(median) else f"> {SIZES[-1]}"


def measure() -> list[Row]:
    rows = []
    every: dict[str, list[float]] = defaultdict(list)
    ends: list[tuple[int, float]] = []
    fixed: list[float] = []
    for model in trained(PICTURES):
        samples = model.samples[:FEW] if model.samples[0].size > LARGE else model.samples
        black = np.zeros(samples.shape[1:], np.float64) + min(0.0, float(np.floor(samples.min())))
        if model.name == "signals":
            black[:] = 0
        here: dict[str, list[float]] = defaultdict(list)
        halts, at_fixed = [], []
        for sample in samples:
            found = maps(model, sample, black)
            reference = found[REFERENCE]
            for rule in RULES:
                sizes = [(rule, size + (rule == "trapezoid")) for size in SIZES]
                here[rule].append(needed([apart(found[case], reference) for case in sizes]))
            halts.append(stopped(found, reference))
            at_fixed.append(apart(found[FIXED], reference))
        for rule in RULES:
            every[rule] += here[rule]
        ends += halts
        fixed += at_fixed
        rows.append(Row(f"points to 1 %, {model.name}", *_line(here, halts, at_fixed)))
    rows.append(Row("points to 1 %, median of all pictures", *_line(every, ends, fixed)))
    return [*rows, *summary(every, [size for size, _ in ends], fixed)]


def summary(points: Mapping[str, Sequence[float]], taken: Sequence[int], fixed: Sequence[float]) -> list[Row]:
    """Return what is to be learnt for a default, and for a stop."""
    best = min(RULES, key=lambda rule: statistics.median(points[rule]))
    pairs = zip(points[best], points["gauss-legendre"], strict=True)
    worth = statistics.median(a / b for a, b in pairs if np.isfinite(a + b))
    fewest = statistics.median(points[best])
    note = f"{fewest:.0f} ({best}, {worth:.2f} of what Gauss–Legendre needs for the same)"
    enough = np.array(fixed) <= WITHIN
    sizes = np.array(taken)
    stop = (
        f"{np.median(sizes[enough]):.0f} where a fixed Gauss–Legendre 50 is within 1 % "
        f"({enough.mean():.0%} of the pictures), {np.median(sizes[~enough]):.0f} where it isn't"
    )
    return [
        Row("points to 1 %, best rule, median of all pictures", "40", note, f"< {FIXED[1]}", fewest < FIXED[1]),
        Row("points of the stop, median", "25, and 200", stop),
    ]


def _line(
    points: Mapping[str, Sequence[float]], ends: Sequence[tuple[int, float]], fixed: Sequence[float]
) -> tuple[str, str]:
    rules = " · ".join(f"{rule} {told(points[rule])}" for rule in RULES)
    taken, errors = statistics.median(size for size, _ in ends), [error for _, error in ends]
    kept = np.mean(np.array(errors) <= WITHIN)
    stop = f"stop {taken:.0f} (within 1 %: {kept:.0%}, worst {max(errors):.1%})"
    return "midpoint fewest", f"{rules}; {stop}; error of Gauss–Legendre 50 {statistics.median(fixed):.2%}"


if __name__ == "__main__":
    finish(measure)
