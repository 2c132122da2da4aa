"""Feature ablation: how much the target falls when one feature, a group of values, is hidden.

Definition
    φ = s(x) − s(x with the feature's values as in the baseline), for each feature by itself; every value of
    a feature carries the feature's whole φ. Features do not overlap: `auto` is each column of a table, and
    a grid of `cells` along each axis of any other array, channels together; `superpixels` (SLIC) follow a
    picture's edges; `values` are single values; a file of group numbers names any groups.

When it misleads
    Features are hidden one at a time, so of two that say the same neither is missed, and two that need
    each other both get the whole. A hole may itself be a clue. It is relative to the baseline.

Source
    Zeiler, Fergus 2014, arXiv:1311.2901, section 4.2; among other ways to remove features Covert, Lundberg, Lee
    2021, Explaining by Removing, arXiv:2011.14878, section 6. Superpixels: Achanta et al. 2012, SLIC,
    doi:10.1109/TPAMI.2012.120.

Differs from
    Occlusion, whose windows overlap and are averaged; Captum's, which is this with `features=values` or a mask.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from saliency_cli.asking import ask_values
from saliency_cli.differentiable import Array, Arrays, Attributing, Explanation, Reduce, Sample
from saliency_cli.features import Absent, Cells, Kind, Segments, features_of, require_kind

__all__ = ["FeatureAblation"]


@dataclass(frozen=True)
class FeatureAblation:
    """φ = s(x) − s(x without the feature)."""

    features: Kind = "auto"
    cells: Cells = 8
    segments: Segments = 50
    baseline: Absent = "black"

    reduce: ClassVar[Reduce] = "mean"
    unit: ClassVar[str] = "target"
    signed: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_kind(self.features)

    def attribute(self, sample: Sample) -> Attributing:
        """Ask for the value with each feature hidden, the sample itself first."""
        absent = sample.baseline(self.baseline)
        features = features_of(sample, self.features, self.cells, self.segments)
        first = {name: int(labels.min(initial=features.count)) for name, labels in features.labels.items()}

        def point(i: int, out: Arrays) -> None:
            sample.write(out)
            # Point 0 is the sample itself, by the very function of the others, so an ignored feature gets 0.
            owner = next((name for name in reversed(sample.floating) if i and i - 1 >= first[name]), None)
            if owner is not None:
                np.copyto(out[owner], absent[owner], where=features.labels[owner] == i - 1)

        values = np.empty(1 + features.count)

        def take(start: int, found: Array) -> None:
            values[start : start + len(found)] = found

        yield from ask_values(len(values), point, take)
        maps = features.spread(values[0] - values[1:], sample)
        same = all(np.array_equal(sample.inputs[name], absent[name]) for name in sample.floating)
        return Explanation(maps, {"features": float(features.count)}, ("baseline-is-input",) if same else ())
