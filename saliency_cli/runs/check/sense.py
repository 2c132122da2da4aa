"""What a policy's keys mean together: methods that exist, targets that have labels, ids that are one rule's."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from saliency_cli.errors import UsageError
from saliency_cli.runs.check.mistakes import Mistakes
from saliency_cli.runs.check.policy import Policy, Rule
from saliency_cli.runs.check.rule_sense import Where, labelled
from saliency_cli.runs.needs import METRICS
from saliency_cli.runs.settings import build_methods


def options_of(metric: Any) -> tuple[str, ...]:
    """Return the options a metric declares; none for what is no metric."""
    name = metric.replace("_", "-") if isinstance(metric, str) else ""
    return tuple(option.name for option in METRICS.options(name)) if name in METRICS.names() else ()


def option_texts(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the options of a method as `-p` texts."""
    plain = {key: str(value).lower() if isinstance(value, bool) else value for key, value in options.items()}
    return tuple(f"{key}={value}" for key, value in plain.items())


def make_sense(policy: Policy, mistakes: Mistakes) -> Policy:
    """Return the policy, its rules labelled with what they measure; note whatever makes no sense."""
    _check_compute(policy, mistakes)
    if policy.baseline and policy.baseline_model:
        mistakes.add(("baseline-model",), "'baseline' and 'baseline-model' exclude each other", "keep one of them")
    count = Counter(rule.id for rule in policy.rules)
    own = -1
    rules = []
    for rule in policy.rules:
        where: Where = ("profile",)
        if not rule.of_profile:
            own = _place(rule, mistakes)
            where = ("rule", own)
        if count[rule.id] > 1:
            mistakes.add((*where, "id"), f"{count[rule.id]} rules are called '{rule.id}'", "give each its own id")
        rules.append(labelled(rule, where, policy, mistakes))
    if not rules and not mistakes:
        mistakes.add(("profile",), "the profile 'custom' has no rules of its own, and none is written", "[[rule]]")
    return msgspec.structs.replace(policy, rules=tuple(rules))


def _place(rule: Rule, mistakes: Mistakes) -> int:
    """Return which `[[rule]]` a rule is, told by its line."""
    place = 0
    while mistakes.lines.of("rule", place) != rule.line:
        place += 1
    return place


def _check_compute(policy: Policy, mistakes: Mistakes) -> None:
    compute = policy.compute
    assert compute.method is not None
    try:
        build_methods((compute.method,), option_texts(compute.options))
    except UsageError as error:
        key = "options" if error.reason == "bad-option" else "method"
        mistakes.add(("compute", key), error.message, error.hint)
    if compute.target == "loss" and compute.loss is None:
        mistakes.add(("compute", "target"), "the target is a loss, and 'loss' doesn't say which", 'loss = "compiled"')
    if compute.loss is not None and compute.target != "loss":
        mistakes.add(("compute", "loss"), "a loss is named, and the target is no loss", 'target = "loss"')
    if compute.loss is not None and ".py:" in compute.loss:
        mistakes.add(
            ("compute", "loss"),
            "a loss in a Python file is code, and a policy must not bring any",
            'a named loss, such as "categorical_crossentropy"',
        )
    if compute.target in ("label", "loss") and policy.labels is None:
        mistakes.add(
            ("compute", "target"),
            f"the target '{compute.target}' needs each input's true class",
            'labels = "labels.csv", with lines path,label',
        )
    if compute.target.startswith("top:") or compute.target == "all":
        what = f"the target '{compute.target}' is several, and a check has one map of each input"
        mistakes.add(("compute", "target"), what, 'target = "top"')
