"""XRAI: whole regions of a picture, ranked by how densely integrated gradients lie in them.

Definition
    With A = integrated gradients of every place, channels summed, averaged over the baselines: the picture is
    cut into overlapping regions (Felzenszwalb's segments at scales 50, 100, 150, 250, 500 and 1200 of the
    picture at 224×224, grown by a disc of radius 5). Again and again the region is taken whose places not yet
    taken have the largest mean A; that mean is φ of these places. Regions with less than `least` of the
    picture left are passed over; φ of places no region takes is their mean A. A place's channels share φ.
    An input that is no picture, beside one that is, keeps its own integrated gradients.

When it misleads
    Regions come from the picture's edges and not from the model: a sharp outline is no evidence that the
    model saw one. A region's φ is a mean, so its noise and its shape are hidden in it.

Source
    Kapishnikov, Bolukbasi, Viégas, Terry 2019, XRAI: Better Attributions Through Regions, arXiv:1906.02825,
    algorithm 1.

Differs from
    PAIR saliency, which takes the largest channel's attribution (here the sum, which is complete), baselines of
    the picture's least and greatest value in any channel (here each channel's own), and 100 points.
"""

import heapq
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta

from saliency_cli.differentiable import Array, Attributing, Explanation, Reduce, Sample
from saliency_cli.errors import InputError
from saliency_cli.layout import channel_axis, is_picture
from saliency_cli.methods.integrated_gradients import IntegratedGradients
from saliency_cli.references import require_kinds
from saliency_cli.segmentation import regions

__all__ = ["Xrai"]


@dataclass(frozen=True)
class Xrai:
    """φ = the mean of integrated gradients over regions, the densest first."""

    points: Annotated[int, Meta(ge=2, le=100_000, description="points of the quadrature, for each baseline")] = 50
    baselines: Annotated[
        str, Meta(description="kinds of baseline to average over, separated by commas, or a file")
    ] = "min,max"
    least: Annotated[float, Meta(ge=0, le=1, description="smallest part of the picture that counts as a region")] = (
        0.001
    )

    reduce: ClassVar[Reduce] = "mean"
    unit: ClassVar[str] = "target"
    signed: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_kinds(self.baselines)

    def attribute(self, sample: Sample) -> Attributing:
        """Ask for integrated gradients from each baseline, then rank the regions."""
        if not any(is_picture(sample, name) for name in sample.floating):
            raise InputError(
                "xrai ranks regions of a picture, and the input is none",
                hint="-m integrated-gradients",
                reason="not-a-picture",
            )
        kinds = self.baselines.split(",")
        totals = {name: np.zeros(sample.inputs[name].shape) for name in sample.floating}
        gaps: list[float] = []
        raised: list[str] = []
        for kind in kinds:
            found = yield from IntegratedGradients(self.points, baseline=kind).attribute(sample)
            gaps.append(found.details["completeness_gap"])
            raised.extend(found.flags)
            for name, values in found.values.items():
                totals[name] += values / len(kinds)
        maps: dict[str, Array] = {}
        for name, total in totals.items():
            if not is_picture(sample, name):
                maps[name] = np.asarray(total, np.float32)
                continue
            channels = channel_axis(sample, name)
            dense = total if channels is None else total.sum(axis=channels)
            ranked = rank(dense, regions(sample.inputs[name], channels), self.least * dense.size)
            wide = ranked if channels is None else np.expand_dims(ranked, channels)
            maps[name] = np.array(np.broadcast_to(wide, total.shape), np.float32)
        # A flag of one baseline among several is no flag of their mean.
        flags = tuple(flag for flag in dict.fromkeys(raised) if raised.count(flag) == len(kinds))
        return Explanation(maps, {"completeness_gap": float(np.mean(gaps))}, flags)


def rank(dense: Array, found: list[Array], least: float) -> Array:
    """Return each place's gain: the mean of `dense` over what its region added, the greatest first."""
    flat = dense.ravel().astype(np.float64)
    regions_of, first = _owners(found, flat.size)
    sums = np.array([flat[places].sum() for places in found])
    left = np.array([len(places) for places in found])
    gains, free = np.zeros(flat.size), np.ones(flat.size, bool)
    # An entry counts only while its region is as large as it says; a region that shrinks gets a new one.
    queue = [(-sums[region] / left[region], region, int(left[region])) for region in range(len(found))]
    heapq.heapify(queue)
    while queue:
        _, region, size = heapq.heappop(queue)
        if size != left[region] or size < max(least, 1):
            continue
        taken = found[region][free[found[region]]]
        gains[taken], free[taken] = flat[taken].mean(), False
        counts = first[taken + 1] - first[taken]
        owners = regions_of[np.repeat(first[taken] - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())]
        sums -= np.bincount(owners, np.repeat(flat[taken], counts), len(found))
        left -= np.bincount(owners, minlength=len(found))
        for shrunk in np.unique(owners):
            if left[shrunk] >= max(least, 1):
                heapq.heappush(queue, (-sums[shrunk] / left[shrunk], int(shrunk), int(left[shrunk])))
    if free.any():
        gains[free] = flat[free].mean()
    return gains.reshape(dense.shape)


def _owners(found: list[Array], size: int) -> tuple[Array, Array]:
    """Return the regions of every place, place after place, and where each place's begin `(size + 1,)`."""
    places = np.concatenate([np.zeros(0, np.int64), *found])
    regions_of = np.repeat(np.arange(len(found)), [len(each) for each in found])
    order = np.argsort(places, kind="stable")
    return regions_of[order], np.searchsorted(places[order], np.arange(size + 1))
