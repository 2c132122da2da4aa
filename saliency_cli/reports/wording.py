"""The sentences all reports share, so that a terminal and a pull request never say different things."""

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence

from saliency_cli.reports.numerals import NOTHING, apart, interval, number, percent
from saliency_cli.reports.plaintext import one_line
from saliency_cli.verdicts import CheckRecord, RuleRecord, Verdict, WorstRecord

_MOST_LINES = 3
GRAVEST: tuple[Verdict, ...] = ("error", "fail", "warning", "pass")


def ordered(rules: Iterable[RuleRecord]) -> list[RuleRecord]:
    """Return rules with the gravest verdict first, else in their order."""
    return sorted(rules, key=lambda rule: GRAVEST.index(rule.verdict))


def names(rules: Sequence[RuleRecord]) -> list[str]:
    """Return each rule's id as one line, an id that stands for several bounds with its bound: `same (max)`.

    Jenkins, GitLab and JSON keep one of two entries with one name, and silently.
    """
    shared = Counter(rule.id for rule in rules)
    found: list[str] = []
    for rule in rules:
        plain = one_line(rule.id if shared[rule.id] == 1 else f"{rule.id} ({rule.bound})") or "rule"
        name, count = plain, 1
        while name in found:
            count += 1
            name = f"{plain} ({count})"
        found.append(name)
    return found


def counted(count: int, noun: str) -> str:
    """Return `1 rule`, `3 rules`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def headline(record: CheckRecord) -> str:
    """Return the whole check in one sentence, without a full stop."""
    count = Counter(rule.verdict for rule in record.rules)
    total = len(record.rules)
    on_inputs = f"on {counted(record.inputs, 'input')}"
    parts = []
    if count["fail"]:
        parts.append(f"{count['fail']:,} of {counted(total, 'rule')} failed {on_inputs}")
    if count["error"]:
        parts.append(f"{counted(count['error'], 'rule')} could not be judged")
    if not parts:
        kept = total - count["warning"]
        parts.append(f"{counted(kept, 'rule')} kept {on_inputs}" if total else f"no rule was checked {on_inputs}")
    if count["warning"]:
        parts.append(counted(count["warning"], "warning"))
    if record.failed_inputs:
        parts.append(f"{counted(len(record.failed_inputs), 'input')} could not be measured")
    return ", ".join(parts)


def unexplained(record: CheckRecord) -> bool:
    """Whether the check failed although no rule did: its warnings or its unreadable inputs are the reason."""
    return not record.passed and not any(rule.verdict in ("fail", "error") for rule in record.rules)


def measured(rule: RuleRecord) -> str:
    """Return what was measured, `loss_grad_l2 median`."""
    return one_line(f"{rule.metric} {rule.aggregate}")


def bounds(rule: RuleRecord) -> tuple[str, str]:
    """Return the value, and the limit with its comparison: `4.91`, `<= 4.41`."""
    value, limit = apart(rule.value, rule.limit)
    return value, f"{rule.comparison} {limit}".strip() if rule.limit is not None else NOTHING


def is_lenient(rule: RuleRecord) -> bool:
    """Whether a rule is kept although some inputs break it, since so many are allowed to."""
    return rule.verdict == "pass" and rule.aggregate == "each" and rule.failures > 0


def shown(rule: RuleRecord) -> tuple[str, str]:
    """Return what a table shows of the value and its limit: `bounds`, or of a lenient rule `2 of 8`, `over 0`.

    The worst value beside the limit it breaks would contradict the verdict.
    """
    if not is_lenient(rule):
        return bounds(rule)
    side = "beyond" if rule.bound == "max-delta" else "under" if rule.comparison == ">=" else "over"
    return f"{rule.failures:,} of {rule.n:,}", f"{side} {leeway(rule) or number(rule.limit)}"


def leeway(rule: RuleRecord) -> str:
    """Return what a bound on the difference to the baseline lets through, `+25%`; nothing for the other bounds."""
    return {
        "max-increase": f"+{100 * rule.allowed:g}%",
        "max-decrease": f"-{100 * rule.allowed:g}%",
        "max-delta": f"±{rule.allowed:g}",
    }.get(rule.bound, "")


def origin(rule: RuleRecord) -> str:
    """Return where a limit that hangs on the baseline comes from, `baseline 3.53 +25%`; else nothing."""
    return "" if rule.baseline is None else f"baseline {number(rule.baseline)} {leeway(rule)}".strip()


def breaking(rule: RuleRecord) -> str:
    """Return how many inputs break a rule that holds for each; nothing for the other rules."""
    if rule.aggregate != "each":
        return ""
    allowed = f", {rule.allowed_failures} allowed" if rule.allowed_failures else ""
    return f"{rule.failures} of {counted(rule.n, 'input')} {'breaks' if rule.failures == 1 else 'break'} it{allowed}"


def details(rule: RuleRecord) -> list[str]:
    """Return what else there is to say of a judged rule, a phrase each."""
    found = [breaking(rule), origin(rule)]
    if rule.change is not None:
        found.append(f"changed by {percent(rule.change)}")
    if rule.interval is not None:
        found.append(f"95% interval {interval(rule.interval)}")
    return [phrase for phrase in found if phrase]


def sentence(rule: RuleRecord) -> str:
    """Return a rule's verdict as one line: its message where it could not be judged, else its numbers."""
    if rule.verdict == "error":
        return one_line(rule.message) or "could not be judged"
    value, limit = bounds(rule)
    what = f"worst {one_line(rule.metric)}" if rule.aggregate == "each" else measured(rule)
    found = f"is {value}" if rule.value is not None else "has no value"
    must = f", must be {limit}" if rule.limit is not None else ""
    told = "; ".join([f"{what} {found}{must}", *details(rule)])
    return f"{told}; {one_line(rule.message)}" if rule.message else told


def worst(entry: WorstRecord) -> str:
    """Return the number of one of the worst inputs, `11.2 (was 3.00)`, with what was found instead."""
    was = f" (was {number(entry.baseline)})" if entry.baseline is not None else ""
    note = f" {one_line(entry.note)}" if entry.note else ""
    value = "" if entry.value is None and note else number(entry.value)
    return f"{value}{note}{was}".strip()


def pairing(record: CheckRecord) -> str:
    """Return how the inputs paired with the baseline, or nothing where there is none."""
    baseline = record.baseline
    if baseline.kind == "none":
        return ""
    counts = [f"{baseline.matched:,} matched"]
    for word, ids in (("new", baseline.new), ("missing", baseline.missing), ("changed", baseline.changed)):
        counts += [f"{len(ids):,} {word}"] if ids else []
    return f"{one_line(baseline.path) or f'a {baseline.kind}'}: {', '.join(counts)}"


def provenance(record: CheckRecord) -> list[str]:
    """Return what was measured and with what, a phrase each."""
    run = record.run
    found = [" ".join(run.tool[key] for key in ("name", "version") if key in run.tool)] if run.tool else []
    if run.model is not None:
        weights = f" (weights {run.model.weights_sha256[:12]})" if run.model.weights_sha256 else ""
        found.append(f"model {run.model.path}{weights}")
    if run.methods:
        found.append(", ".join(method.name for method in run.methods))
    found += [f"policy {record.policy}"] if record.policy else []
    found += [f"profile {record.profile}"] if record.profile else []
    found += [run.created] if run.created else []
    return [one_line(phrase) for phrase in found]


def next_step(record: CheckRecord) -> str:
    """Return the command that makes what was measured the new baseline, or nothing where that would not help."""
    broken = any(rule.verdict in ("fail", "warning") and rule.versus == "baseline" for rule in record.rules)
    if not broken or record.baseline.kind != "folder":
        return ""
    policy = [record.policy] if record.policy not in ("", "saliency.toml") else []
    return shlex.join(["saliency", "check", *policy, "--update-baseline"])


def limits_at(record: CheckRecord) -> str:
    """Return where the broken limits stand that no baseline moves, `saliency.toml:12`; nothing if not known."""
    broken = [rule for rule in record.rules if rule.verdict in ("fail", "warning") and rule.versus is None]
    lines = sorted({rule.line for rule in broken if rule.line})
    if not lines or not record.policy:
        return ""
    more = f" and {len(lines) - _MOST_LINES:,} more" if len(lines) > _MOST_LINES else ""
    return ", ".join(f"{one_line(record.policy)}:{line}" for line in lines[:_MOST_LINES]) + more
