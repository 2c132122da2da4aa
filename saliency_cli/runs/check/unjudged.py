"""Why a rule can't be judged, or has no value, and what to do about it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from saliency_cli.errors import nearest
from saliency_cli.runs.check.baseline import Baseline
from saliency_cli.runs.check.held import Held
from saliency_cli.runs.check.policy import Rule

_NAMED = 3


def too_few(
    rule: Rule, held: Sequence[Held], count: int, min_inputs: int, update: str, baseline: Baseline | None
) -> tuple[str, str] | None:
    """Say why there are not enough inputs, and what to do about it."""
    met = tuple(sorted({entry.label for entry in held if entry.label is not None}))
    unknown = [name for name in rule.classes if name not in met]
    if rule.classes and len(unknown) == len(rule.classes):
        told = f"the inputs are of: {', '.join(met[:12])}" if met else "none of the inputs has a class"
        return f"no input is of the class '{unknown[0]}'", nearest(unknown[0], met) or told
    if count == 0 and baseline is not None:
        hint = update if baseline.kind == "folder" else "the second model must be able to explain them"
        return f"none of the {len(held)} inputs is in the baseline '{baseline.path}'", hint
    if count < (rule.min_inputs or min_inputs):
        needed = rule.min_inputs or min_inputs
        of = f" of {', '.join(rule.classes)}" if rule.classes else " that the baseline has too" if baseline else ""
        return (
            f"{count} inputs{of} are too few to judge by: at least {needed} were expected",
            f"more inputs, or min-inputs = {count} in the policy" if count else "more inputs",
        )
    return None


def unknown_before(
    rule: Rule, options: Mapping[str, Any], chosen: Sequence[Held], baseline: Baseline | None, update: str
) -> tuple[str, str] | None:
    """Say which of the baseline's values are missing."""
    assert baseline is not None
    if rule.label not in baseline.measured:
        return f"the baseline '{baseline.path}' holds no {rule.label}: it is older than this rule", update
    if baseline.measured[rule.label] != options:
        return f"the baseline '{baseline.path}' holds {rule.label} measured with {_told(baseline, rule)}", update
    without = [entry for entry in chosen if entry.before and np.isnan(entry.before.values.get(rule.label, np.nan))]
    if without:
        names = _some([entry.id for entry in without])
        notes = next((entry.before.notes.get(rule.label, "") for entry in without if entry.before), "")
        why = f": {notes}" if notes else ""
        return f"the baseline '{baseline.path}' has no value of {rule.label} for {names}{why}", update
    return None


def _told(baseline: Baseline, rule: Rule) -> str:
    return ", ".join(f"{key} = {value}" for key, value in baseline.measured[rule.label].items()) or "no options"


def valueless(missing: Sequence[Held], metric: str) -> str:
    """Say which inputs have no value, and why the first has none."""
    notes = next((entry.note(metric) for entry in missing if entry.note(metric)), "")
    return f"no value of {metric} for {_some([entry.id for entry in missing])}" + (f": {notes}" if notes else "")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
