"""A policy as text that explains itself."""

from collections.abc import Iterator, Sequence
from typing import Any

from saliency_cli.runs.check.policy import FLAGS, Policy, Rule
from saliency_cli.runs.check.profiles import PROFILES
from saliency_cli.runs.check.tables import as_toml
from saliency_cli.runs.needs import METRICS

_WHY = {
    "maps-are-finite": "A NaN in the map is a broken model.",
    "maps-are-not-zero": "A map of zeros: dead units, or a saturated head.",
    "maps-can-be-trusted": "Reasons not to trust a map that saliency finds itself; see docs/guide.md.",
    "sensitivity-not-up": "More sensitive than before: easier to mislead by noise or on purpose.",
    "sensitivity-not-down": "Much less sensitive than before: worth a look, a dead model is.",
    "same-evidence": "The maps correlate with those of the baseline.",
    "same-top-places": "The strongest 5 % of the places are those of the baseline.",
    "classes-stay-apart": "How far a picture must move to be another class: 20 % below today's 5th percentile.",
    "maps-stay-focused": "How much of the map is in few places: 20 % below today's 5th percentile.",
}


def policy_text(policy: Policy, target: str, rules: Sequence[Rule]) -> str:
    """Return the text of a policy, its rules with a line on what each is for."""
    profile = PROFILES[policy.profile]
    others = ", ".join(name for name in PROFILES if name != policy.profile)
    lines = [
        "# What `saliency check` holds this model to. Written by `saliency init`; yours to change.",
        "# Every key: docs/check.md. Paths are relative to this file.",
        "version = 1",
        f"# {policy.profile}: {profile.meaning}. Others: {others}",
        f"profile = {as_toml(policy.profile)}",
        f"model = {as_toml(policy.model)}",
        f"inputs = [{', '.join(as_toml(given) for given in policy.inputs)}]",
        *([f"labels = {as_toml(policy.labels)}"] if policy.labels else []),
        *([f"class-names = {as_toml(policy.class_names)}"] if policy.class_names else []),
        f"baseline = {as_toml(policy.baseline)}",
        f"preprocess = {as_toml(policy.preprocess)}",
        f"min-inputs = {policy.min_inputs}",
        "",
        "[compute]",
        f"method = {as_toml(profile.method)}",
        *([f"options = {_inline(profile.options)}"] if profile.options else []),
        "seed = 0",
        f"target = {as_toml(target)}",
    ]
    for rule in rules:
        lines += ["", *_rule(rule)]
    return "\n".join(lines) + "\n"


def _rule(rule: Rule) -> Iterator[str]:
    yield "[[rule]]"
    yield f"# {_WHY.get(rule.id) or _summary(rule.metric)}"
    yield f"id = {as_toml(rule.id)}"
    yield f"metric = {as_toml(rule.metric)}"
    if rule.options:
        yield f"options = {_inline(rule.options)}"
    if rule.versus:
        yield f"versus = {as_toml(rule.versus)}"
    yield f"agg = {as_toml(rule.agg)}"
    for bound in rule.bounds:
        yield f"{bound.key} = {bound.allowed:g}"
    if rule.severity != "error":
        yield f"severity = {as_toml(rule.severity)}"
    if rule.allow_failures:
        yield f"allow-failures = {rule.allow_failures}"


def _inline(options: dict[str, Any]) -> str:
    return "{ " + ", ".join(f"{key} = {as_toml(value)}" for key, value in options.items()) + " }"


def _summary(metric: str) -> str:
    return "Reasons not to trust a map." if metric == FLAGS else METRICS.summary(metric)
