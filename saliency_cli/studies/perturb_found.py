"""What an attack did to one sample, and what is recorded of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from saliency_cli.differentiable import Array, Arrays
from saliency_cli.records import PredictionRecord
from saliency_cli.runs.study import File
from saliency_cli.studies.captions import class_text
from saliency_cli.studies.perturb_search import Cost
from saliency_cli.threat import Ball, Perturbed

Label = Callable[[int], str]


@dataclass(frozen=True, eq=False)
class Found:
    """What an attack did to one sample.

    `before` and `after` `(classes,)` are the output's readable scores. `already`: the sample was what is looked
    for, and nothing was tried: `ball` and `perturbed` are None. `files`: the perturbed inputs' own, by input, where
    the goal was reached within ε; `flipped`: it still is by what is read back from them. `smallest`: the least ε
    found, as a share of the ball's, where it was looked for.
    """

    prediction: PredictionRecord
    truth: int
    before: Array
    after: Array
    already: bool
    flipped: bool = False
    ball: Ball | None = None
    perturbed: Perturbed | None = None
    smallest: float | None = None
    cost: Cost = field(default_factory=Cost)
    files: Mapping[str, File] = field(default_factory=dict)

    @property
    def values(self) -> Arrays:
        """The perturbed inputs in the units of their files, float64."""
        return {} if self.perturbed is None else self.perturbed.values

    @property
    def arrays(self) -> Arrays:
        """The perturbed inputs as the model gets them."""
        return {} if self.ball is None else {n: self.ball.reaches[n].apply(v) for n, v in self.values.items()}


def results_of(found: Found, label: Label, *, epsilon_given: bool) -> dict[str, Any]:
    """Return what the record says of a sample; the numbers of one input alone stand at the top too."""
    results: dict[str, Any] = {
        "outcome": "already" if found.already else "flipped" if found.flipped else "not-flipped",
        "flipped": found.flipped,
        "flips_when_read_back": found.flipped if found.files else None,
        "truth": label(found.truth),
        "before": seen(found.before, label),
        "gradients": found.cost.gradients,
        "passes": found.cost.passes,
    }
    if found.ball is None or found.perturbed is None:
        return results
    inputs = {name: _moved(found, name, bounded=found.ball.bounded or epsilon_given) for name in found.ball.reaches}
    if len(inputs) == 1:
        (told,) = inputs.values()
        results |= {key: told[key] for key in ("epsilon", "linf", "l2", "smallest_epsilon") if key in told}
    if found.files:
        results["after"] = seen(found.after, label)
    return {**results, "steps": found.perturbed.steps, "inputs": inputs}


def _moved(found: Found, name: str, *, bounded: bool) -> dict[str, Any]:
    """Return how far an input was moved, in the units of its file."""
    assert found.ball is not None
    reach = found.ball.reaches[name]
    change = found.values[name] - reach.start
    told = {
        "epsilon": reach.epsilon if bounded else None,
        "linf": float(np.abs(change).max(initial=0.0)),
        "l2": float(np.linalg.norm(change)),
        "changed": float(np.count_nonzero(change) / max(1, change.size)),
        "range": [reach.low, reach.high],
        "whole_steps": reach.whole,
        "shape": list(change.shape),
    }
    if found.smallest is not None:
        told["smallest_epsilon"] = found.smallest * reach.epsilon
    return told


def seen(scores: Array, label: Label) -> dict[str, Any]:
    """Return the class on top of an output's scores, and its score."""
    top = int(np.argmax(scores))
    return {"index": top, "label": label(top), "score": float(scores[top])}


def title(scores: Array, label: Label) -> str:
    """Return the class on top in a few words."""
    told = seen(scores, label)
    return f"{class_text(told['label'])} {told['score']:.2f}"
