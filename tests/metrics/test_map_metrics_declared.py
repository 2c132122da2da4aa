"""What the metrics of maps say of themselves."""

import numpy as np
import pytest
from numpy_classes import METRICS

COMPARING = {
    "pearson": "higher",
    "spearman": "higher",
    "topk-intersection": "higher",
    "ssim": "higher",
    "similarity": "higher",
    "emd-marginal": "lower",
    "centroid-shift": "lower",
    "cosine": "higher",
    "norm-ratio": "neither",
    "prediction-change": "lower",
    "value-change": "lower",
}
ON_THE_OBJECT = dict.fromkeys(["pointing", "mass-in-mask", "mass-lift", "rank-in-mask"], "higher")
OF_A_MAP = {"entropy": "neither", "mass90": "neither", "gini": "neither", "finite": "higher", "nonzero": "higher"}
SANITY = dict.fromkeys(["model-randomisation", "cascading-randomisation", "random-logit"], "lower")
ALL = COMPARING | ON_THE_OBJECT | OF_A_MAP | SANITY

every = pytest.mark.parametrize("name", list(ALL))


@every
def test_what_is_declared(name):
    metric = METRICS.build(name, {})
    assert metric.better == ALL[name]
    assert metric.lowest < metric.highest
    assert isinstance(metric.unit, str)
    assert all(option.help for option in METRICS.options(name))
    assert ("reference" in metric.needs) == (name in COMPARING)
    assert ("mask" in metric.needs) == (name in ON_THE_OBJECT)
    assert ("reference-attribution" in metric.needs) == (name in ("cosine", "norm-ratio"))
    assert ("depth" in metric.needs) == (name in SANITY and name != "random-logit")
    assert ("map" in metric.needs) == (name not in ("prediction-change", "value-change"))


@every
def test_the_docstring_tells_definition_dangers_and_source(name):
    story = METRICS.story(name).splitlines()
    for heading in ("Definition", "When it misleads", "Source"):
        assert heading in story
        assert story[story.index(heading) + 1].startswith("    ")
    source = "\n".join(story[story.index("Source") :])
    assert any(where in source for where in ("arXiv:", "doi:", "No paper"))
    assert 20 < len(METRICS.summary(name)) < 100
    assert METRICS.summary(name).endswith(".")


@every
def test_the_cost(name):
    cost = METRICS.build(name, {}).cost
    assert cost == "nothing beside the map" if name not in SANITY else "map" in cost
    assert METRICS.build("cascading-randomisation", {"steps": 7}).cost == "up to 7 maps and 7 forward passes"


def test_bounds_of_options():
    from saliency_cli.errors import UsageError

    for name, options in [("mass90", {"share": 0}), ("pointing", {"tolerance": -1}), ("topk-intersection", {"k": 2})]:
        with pytest.raises(UsageError):
            METRICS.build(name, options)
    assert np.isinf(METRICS.build("value-change", {}).highest)
