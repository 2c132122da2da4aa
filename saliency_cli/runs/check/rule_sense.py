"""What is wrong with one rule, and what its values will be called."""

import math
from collections.abc import Iterable

import msgspec

from saliency_cli.errors import UsageError
from saliency_cli.runs.check.mistakes import Mistakes
from saliency_cli.runs.check.policy import ESTIMATED, FAMILIES, FLAGS, Policy, Rule
from saliency_cli.runs.needs import build_metric
from saliency_cli.subject import Metric

Where = tuple[str | int, ...]


def labelled(rule: Rule, where: Where, policy: Policy, mistakes: Mistakes) -> Rule:
    """Return a rule with its metric's plain name and label; note what is wrong with it."""
    _check_bounds(rule, where, mistakes)
    _check_counting(rule, where, mistakes)
    if rule.metric == FLAGS:
        if rule.options:
            mistakes.add((*where, "options"), f"the metric '{FLAGS}' has no options")
        if rule.against or rule.versus:
            mistakes.add((*where, "metric"), f"'{FLAGS}' counts reasons not to trust a map: bound it with max")
        return msgspec.structs.replace(rule, label=FLAGS)
    try:
        label, metric = build_metric(rule.metric, rule.options)
    except UsageError as error:
        place = "options" if error.reason == "bad-option" else "metric"
        mistakes.add((*where, place), f"rule '{rule.id}': {error.message}", error.hint)
        return rule
    _check_range(rule, metric, where, mistakes)
    _check_needs(rule, metric, where, policy, mistakes)
    return msgspec.structs.replace(rule, label=label, metric=rule.metric.replace("_", "-"))


def _check_bounds(rule: Rule, where: Where, mistakes: Mistakes) -> None:
    named = f"rule '{rule.id}'"
    if not rule.id.strip() or "\n" in rule.id:
        mistakes.add((*where, "id"), f"an id of one line was expected, and {rule.id!r} came")
    if not rule.families:
        keys = ", ".join(key for family in FAMILIES.values() for key in family)
        mistakes.add(where, f"{named} has no bound", f"one of {keys}")
    if len(rule.families) > 1:
        given = ", ".join(bound.key for bound in rule.bounds)
        mistakes.add(
            (*where, rule.bounds[-1].key),
            f"{named} has bounds of several kinds: {given}",
            "min and max, or max-increase and max-decrease, or max-delta: a rule each",
        )
    for bound in rule.bounds:
        if not math.isfinite(bound.allowed):
            mistakes.add((*where, bound.key), f"{named}: '{bound.key}' was expected to be a finite number")
    if rule.min is not None and rule.max is not None and rule.min > rule.max:
        mistakes.add((*where, "max"), f"{named}: min {rule.min:g} lies above max {rule.max:g}")


def _check_counting(rule: Rule, where: Where, mistakes: Mistakes) -> None:
    named = f"rule '{rule.id}'"
    if rule.allow_failures and rule.agg != "each":
        mistakes.add(
            (*where, "allow-failures"),
            f"{named}: 'allow-failures' counts inputs, and '{rule.agg}' is one value of them all",
            'agg = "each"',
        )
    if not rule.strict and rule.agg not in ESTIMATED:
        mistakes.add(
            (*where, "strict"),
            f"{named}: 'strict = false' leaves room for chance by the interval of a {', '.join(ESTIMATED)}; "
            f"'{rule.agg}' has none",
            "leave 'strict' away",
        )


def _check_range(rule: Rule, metric: Metric, where: Where, mistakes: Mistakes) -> None:
    """Note bounds that no value can break, or none can keep: 85 for a share, say."""
    low, high = metric.lowest, metric.highest
    span = f"{rule.metric} lies between {low:g} and {high:g}"
    for key, bound, never, always in (
        ("min", rule.min, rule.min is not None and rule.min > high, rule.min is not None and rule.min <= low),
        ("max", rule.max, rule.max is not None and rule.max < low, rule.max is not None and rule.max >= high),
    ):
        if bound is not None and math.isfinite(bound) and (never or always):
            what = "can never be kept" if never else "is always kept"
            mistakes.add((*where, key), f"rule '{rule.id}': {key} = {bound:g} {what}", span)


def _check_needs(rule: Rule, metric: Metric, where: Where, policy: Policy, mistakes: Mistakes) -> None:
    named = f"rule '{rule.id}'"
    pair = is_pair(metric)
    compared = policy.baseline or policy.baseline_model
    if (pair or rule.against or rule.versus) and not compared:
        mistakes.add(
            where,
            f"{named} compares with a baseline, and the policy names none",
            'baseline = "ci/saliency-baseline", or baseline-model = "previous.keras"',
        )
    if pair and rule.against:
        mistakes.add(
            (*where, rule.bounds[0].key),
            f"{named}: {rule.metric} compares with the baseline already",
            "bound it with min or max",
        )
    if rule.versus and not pair and not rule.against:
        mistakes.add(
            (*where, "versus"),
            f"{named}: {rule.metric} is a number of one map, and min and max hold it whatever the baseline's is",
            "max-increase, max-decrease or max-delta; or leave 'versus' away",
        )
    if "reference-attribution" in metric.needs and policy.baseline:
        mistakes.add(
            (*where, "metric"),
            f"{named}: {rule.metric} needs the whole signed map of the other model, and a baseline folder "
            "keeps a small unsigned one",
            'baseline-model = "previous.keras" in place of baseline',
        )
    if "mask" in metric.needs and policy.masks is None:
        mistakes.add((*where, "metric"), f"{named}: {rule.metric} needs masks of the objects", 'masks = "ci/masks"')


def is_pair(metric: Metric) -> bool:
    """Whether a metric is of two maps, and has no value without the other."""
    return bool(metric.needs & {"reference", "reference-attribution"})


def metrics_of(rules: Iterable[Rule]) -> dict[str, Metric]:
    """Return the metrics of rules by label."""
    return dict(build_metric(rule.metric, rule.options) for rule in rules if rule.label != FLAGS)
