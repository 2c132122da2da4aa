"""Limits a model keeps now, with some room: what `init` writes."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np

from saliency_cli.runs.check.bounds import range_of
from saliency_cli.runs.check.held import Held
from saliency_cli.runs.check.policy import Rule
from saliency_cli.runs.check.statistics import aggregated
from saliency_cli.runs.engine import Engine
from saliency_cli.runs.reading import picture_suffixes
from saliency_cli.subject import Metric

ROOM = 0.2
_DIGITS = 2


def candidates(engine: Engine, paths: Sequence[str]) -> tuple[Rule, ...]:
    """Return the absolute rules that this model and these inputs allow, their limits still to be found."""
    classes = engine.has_classes and engine.head in ("softmax", "sigmoid", "binary")
    pictures = all(Path(path).suffix.lower() in picture_suffixes() for path in paths)
    found = []
    # How far a value may go is known of pictures only, and the distance to another class is measured in it.
    if classes and pictures:
        found.append(Rule(id="classes-stay-apart", metric="flip-radius-linf", agg="p05", label="flip-radius-linf"))
    found.append(Rule(id="maps-stay-focused", metric="gini", agg="p05", label="gini"))
    return tuple(found)


def absolute(rules: Sequence[Rule], metrics: Mapping[str, Metric], judged: Sequence[Held]) -> tuple[Rule, ...]:
    """Return the rules with a limit 20 % beyond what the worst of the inputs have now, where there is such a one."""
    found = []
    for rule in rules:
        metric = metrics[rule.label]
        values = np.array([entry.value(rule.label) for entry in judged])
        value = float(aggregated(values, rule.agg)) if values.size else math.nan
        limit = rounded(value - ROOM * abs(value), up=False)
        if math.isfinite(limit) and metric.lowest < limit <= metric.highest:
            found.append(msgspec.structs.replace(rule, min=limit))
    return tuple(found)


def proposed(rules: Sequence[Rule], judged: Sequence[Held]) -> tuple[Rule, ...]:
    """Return a profile's rules, those about each input allowing as many failures as there are today."""
    found = []
    for rule in rules:
        broken = 0
        if rule.families == ("absolute",) and not rule.versus:
            values = np.array([entry.value(rule.label) for entry in judged])
            broken = int(np.count_nonzero(range_of(rule).excess(values) > 0))
        if broken and rule.agg in ("min", "max", "each"):
            rule = msgspec.structs.replace(rule, agg="each", allow_failures=broken)
        found.append(rule)
    return tuple(found)


def rounded(value: float, *, up: bool) -> float:
    """Return a value with two digits that count, rounded to the lenient side."""
    if not math.isfinite(value) or value == 0:
        return value
    step = 10.0 ** (math.floor(math.log10(abs(value))) - _DIGITS + 1)
    steps = (math.ceil if up else math.floor)(round(value / step, 6))
    return float(f"{steps * step:.{_DIGITS}g}")
