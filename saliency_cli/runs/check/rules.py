"""One rule and the inputs become a verdict."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from saliency_cli.differentiable import Array
from saliency_cli.runs.check.baseline import Baseline
from saliency_cli.runs.check.bounds import Range, change, difference, limit, named, range_of
from saliency_cli.runs.check.held import Held
from saliency_cli.runs.check.policy import ESTIMATED, Rule
from saliency_cli.runs.check.statistics import aggregated, interval
from saliency_cli.runs.check.unjudged import too_few, unknown_before, valueless
from saliency_cli.verdicts import RuleRecord, WorstRecord

WORST = 5


def judge(
    rule: Rule,
    held: Sequence[Held],
    baseline: Baseline | None,
    *,
    pair: bool,
    options: Mapping[str, Any],
    min_inputs: int,
    update: str,
) -> RuleRecord:
    """Return a rule's record. What can't be judged has the verdict `error`: it is never a pass.

    `pair` says that the metric is of two maps, `options` with which options it was measured. `update` is the
    command that makes a baseline.
    """
    key, allowed = rule.bounds[0]
    record = RuleRecord(
        id=rule.id,
        metric=rule.label,
        aggregate=rule.agg,
        bound=key,
        allowed=allowed,
        verdict="error",
        severity=rule.severity,
        allowed_failures=rule.allow_failures,
        classes=rule.classes,
        versus="baseline" if rule.against or pair else None,
        line=rule.line,
    )
    chosen = [entry for entry in held if not rule.classes or entry.label in rule.classes]
    compared = rule.against or pair
    if compared:
        chosen = [entry for entry in chosen if entry.before is not None]
    record.n = len(chosen)
    found = (
        too_few(rule, held, len(chosen), min_inputs, update, baseline if compared else None)
        or (unknown_before(rule, options, chosen, baseline, update) if rule.against else None)
    )  # fmt: skip
    if found:
        record.message, record.hint = found
        return record
    values = before = np.array([entry.value(rule.label) for entry in chosen])
    if rule.against:
        before = np.array([entry.before.values[rule.label] for entry in chosen if entry.before])
    bounds = range_of(rule)
    excess = bounds.excess(bounds.of(values, before))
    if rule.agg == "each":
        broken = _each(rule, record, values, before, bounds, excess)
    else:
        broken = _together(rule, record, values, before, bounds)
    record.verdict = ("warning" if rule.severity == "warning" else "fail") if broken else "pass"
    record.worst = _worst(rule, chosen, excess, broken=broken)
    missing = [entry for entry, value in zip(chosen, values, strict=True) if np.isnan(value)]
    if broken and missing:
        record.message = f"{valueless(missing, rule.label)}; {record.message}".removesuffix("; ")
    return record


def _together(rule: Rule, record: RuleRecord, values: Array, before: Array, bounds: Range) -> bool:
    """Judge the aggregate of all values. Returns whether the rule is broken."""
    value, was = float(aggregated(values, rule.agg)), float(aggregated(before, rule.agg))
    quantity = float(bounds.of(np.asarray(value), np.asarray(was)))
    broken = bool(bounds.excess(np.asarray(quantity)) > 0)
    _fill(rule, record, value, was, quantity, bounds)
    if rule.agg not in ESTIMATED:
        return broken
    record.interval = interval(len(values), lambda drawn: aggregated(values[drawn], rule.agg))
    spread = record.interval
    if bounds.quantity != "value":
        spread = interval(
            len(values),
            lambda drawn: bounds.of(aggregated(values[drawn], rule.agg), aggregated(before[drawn], rule.agg)),
        )
        record.change_interval = spread
    if broken and not rule.strict and spread is not None:
        record.message = "kept within chance: the value alone breaks it, its 95 % interval does not"
        broken = spread[0] > bounds.high or spread[1] < bounds.low
        record.message = "" if broken else record.message
    return broken


def _each(rule: Rule, record: RuleRecord, values: Array, before: Array, bounds: Range, excess: Array) -> bool:
    """Judge every value by itself; the record shows the worst. Returns whether the rule is broken."""
    worst = int(np.argmax(excess))
    record.failures = int(np.count_nonzero(excess > 0))
    quantity = float(bounds.of(values, before)[worst])
    _fill(rule, record, float(values[worst]), float(before[worst]), quantity, bounds)
    return record.failures > rule.allow_failures


def _fill(rule: Rule, record: RuleRecord, value: float, was: float, quantity: float, bounds: Range) -> None:
    """Write the numbers of the side of the bounds that is broken, or nearest."""
    low = bounds.is_low(quantity)
    record.bound, record.allowed, record.comparison = named(rule, low=low)
    record.limit = _known(limit(record.bound, record.allowed, was, low=low))
    record.value = _known(value)
    if rule.against:
        record.baseline = _known(was)
        record.difference = _known(float(difference(np.asarray(value), np.asarray(was))))
        record.change = _known(float(change(np.asarray(value), np.asarray(was))))


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value


def _worst(rule: Rule, chosen: Sequence[Held], excess: Array, *, broken: bool) -> list[WorstRecord]:
    """Return the inputs furthest outside; of a rule that is kept, those nearest to it, none where all are alike."""
    if len(set(excess.tolist())) == 1 and not excess[0] > 0:
        return []
    order = np.argsort(-excess, kind="stable")[:WORST]
    if broken:
        order = order[excess[order] > 0]
    return [
        WorstRecord(
            id=entry.id,
            value=_known(entry.value(rule.label)),
            baseline=_known(entry.before.values[rule.label]) if rule.against and entry.before else None,
            note=entry.note(rule.label),
            label=entry.label,
        )
        for entry in (chosen[int(place)] for place in order)
    ]
