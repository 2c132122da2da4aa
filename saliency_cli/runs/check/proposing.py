"""Limits a model keeps now, with some room: what `init` writes."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np

from saliency_cli.errors import UsageError
from saliency_cli.runs.check.bounds import range_of
from saliency_cli.runs.check.held import Held
from saliency_cli.runs.check.policy import FLAGS, Rule
from saliency_cli.runs.check.statistics import aggregated
from saliency_cli.runs.engine import Engine
from saliency_cli.runs.reading import picture_suffixes
from saliency_cli.subject import Metric

ROOM = 0.2
MOST_BROKEN = 4
"""Of so many inputs one may break a rule that is written."""
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


def proposed(rules: Sequence[Rule], judged: Sequence[Held], method: str) -> tuple[Rule, ...]:
    """Return a profile's rules, those about each input allowing as many failures as there are today.

    Raises `UsageError` where more than a quarter of the inputs fail: such a rule would say nothing.
    """
    found = []
    for rule in rules:
        broken: list[Held] = []
        if rule.families == ("absolute",) and not rule.versus and judged:
            excess = range_of(rule).excess(np.array([entry.value(rule.label) for entry in judged]))
            broken = [entry for entry, far in zip(judged, excess, strict=True) if far > 0]
        if broken and rule.agg in ("min", "max", "each"):
            if len(broken) > len(judged) // MOST_BROKEN:
                raise _unfit(rule, broken, len(judged), method)
            rule = msgspec.structs.replace(rule, agg="each", allow_failures=len(broken))
        found.append(rule)
    return tuple(found)


def _unfit(rule: Rule, broken: Sequence[Held], count: int, method: str) -> UsageError:
    """Return the error that says what is wrong with the inputs' maps, and what may be done."""
    if rule.metric == FLAGS:
        flags = Counter(flag for entry in broken for flag in (entry.note(FLAGS) or "no map").split(", "))
        why = "maps not to be trusted: " + ", ".join(f"{flag} ({times})" for flag, times in flags.most_common())
    else:
        bound = rule.bounds[0]
        why = f"{rule.label} beyond {bound.key} = {bound.allowed:g}"
    other = "--profile retrain, which computes gradient; or " if method != "gradient" else ""
    less = " or a lower noise in the options" if method == "smoothgrad" else ""
    own = f'a policy of your own with another method (method = "gradient"){less}' if other else "other inputs"
    return UsageError(
        f"{len(broken)} of {count} inputs have {why}; a rule '{rule.id}' that allows them could hardly fail "
        f"(method {method})",
        hint=f"{other}{own}; saliency compute shows the maps",
        reason="too-many-flagged" if rule.metric == FLAGS else "too-many-broken",
    )


def rounded(value: float, *, up: bool) -> float:
    """Return a value with two digits that count, rounded to the lenient side."""
    if not math.isfinite(value) or value == 0:
        return value
    step = 10.0 ** (math.floor(math.log10(abs(value))) - _DIGITS + 1)
    steps = (math.ceil if up else math.floor)(round(value / step, 6))
    return float(f"{steps * step:.{_DIGITS}g}")
