"""SmoothGrad: how many draws other noise needs for the error of plain noise, in the mean of squares.

The mean of n draws misses the mean of all by √(v / n) with v the draws' variance, summed over the map. Of pairs ±ε it
is the variance of the pairs' means that counts; of a Latin hypercube (every value's n draws spread evenly over its
law) that of the means of whole sets. The last is tried here only.
"""

import statistics
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
from common import Row, finish
from trained import Trained, trained

from saliency_cli.differentiable import Array

DRAWS, SETS, SET, NOISE = 1000, 8, 50, 0.15
PICTURES, LARGE, FEW = 6, 100_000, 2
BOUND = 0.7
_LAW = np.asarray([NormalDist().inv_cdf((k + 0.5) / 2**14) for k in range(2**14)])


def spread_evenly(rng: np.random.Generator, values: int) -> Array:
    """Return a set of draws `(draws, values)`: one in each of as many equally likely intervals, for every value."""
    places = (rng.permuted(np.tile(np.arange(SET)[:, None], values), axis=0) + rng.random((SET, values))) / SET
    return _LAW[(places * len(_LAW)).astype(int)]


def variance(rows: Array) -> float:
    """Return the variance of rows, summed over their values."""
    return float(np.square(rows - rows.mean(0)).sum() / (len(rows) - 1))


def ratios(model: Trained, sample: Array) -> tuple[float, float, float]:
    """Return the relative error of 50 plain draws against all, and the draws pairs and even sets need : plain."""
    rng = np.random.default_rng(0)
    target, size = model.top(sample), sample.size
    sigma = NOISE * (float(sample.max()) - float(sample.min()))

    def means(draws: Callable[[], Array], sets: int, together: int) -> Array:
        """Return the mean gradient of every so many draws of some sets."""
        found = []
        for _ in range(sets):
            points = (sample.reshape(-1) + sigma * draws()).astype(np.float32).reshape(-1, *sample.shape)
            gradients = model.gradients(points, target).reshape(-1, together, size)
            found.append(gradients.mean(1).astype(np.float32))
        return np.concatenate(found)

    def mirrored() -> Array:
        half = rng.standard_normal((SET // 2, size))
        return np.stack([half, -half], axis=1).reshape(SET, size)

    plain = means(lambda: rng.standard_normal((SET, size)), DRAWS // SET, 1)
    pairs = means(mirrored, DRAWS // SET // 2, 2)
    sets = means(lambda: spread_evenly(rng, size), SETS, SET)
    alone = variance(plain)
    error = np.sqrt(alone / SET) / np.linalg.norm(plain.mean(0, dtype=np.float64))
    return float(error), 2 * variance(pairs) / alone, SET * variance(sets) / alone


def measure() -> list[Row]:
    rows, reached = [], []
    for model in trained(PICTURES):
        samples = model.samples[:FEW] if model.samples[0].size > LARGE else model.samples
        errors, pairs, sets = zip(*(ratios(model, sample) for sample in samples), strict=True)
        antithetic = statistics.median(pairs)
        reached.append(antithetic)
        note = (
            f"Latin hypercube {statistics.median(sets):.2f}; error of 50 plain draws {statistics.median(errors):.0%}"
        )
        what = f"draws for the same error, antithetic : plain, {model.name}"
        rows.append(Row(what, "0.6", f"{antithetic:.2f} ({note})"))
    median = statistics.median(reached)
    rows.append(Row.ratio("draws for the same error, antithetic : plain, median of the models", "0.6", median, BOUND))
    return rows


if __name__ == "__main__":
    finish(measure)
