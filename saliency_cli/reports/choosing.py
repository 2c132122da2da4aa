"""Which inputs are worth a look, and what is said of each."""

from dataclasses import dataclass, field

from saliency_cli.reports.plaintext import one_line
from saliency_cli.reports.wording import bounds, leeway, names, worst
from saliency_cli.verdicts import CheckRecord, RuleRecord, WorstRecord

MOST = 24


@dataclass(frozen=True)
class Worst:
    """One input and what each rule it is bad for says of it."""

    id: str
    captions: list[str] = field(default_factory=list)


def worst_inputs(record: CheckRecord, most: int = MOST) -> list[Worst]:
    """Return the worst inputs of the broken rules, each once, every rule's worst before any rule's second worst.

    Warnings count where no rule is broken, and where all is well every rule does: there is then
    something to look at all the same.
    """
    found: dict[str, Worst] = {}
    named = [pair for pair in zip(names(record.rules), record.rules, strict=True) if pair[1].worst]
    for verdicts in (("fail", "error"), ("warning",), ("pass",)):
        chosen = [(name, rule) for name, rule in named if rule.verdict in verdicts]
        longest = max((len(rule.worst) for _, rule in chosen), default=0)
        for rank in range(longest):
            for name, rule in chosen:
                if rank < len(rule.worst):
                    _note(found, name, rule, rule.worst[rank], most)
        if found:
            break
    return list(found.values())


def _note(found: dict[str, Worst], name: str, rule: RuleRecord, entry: WorstRecord, most: int) -> None:
    if entry.id not in found and len(found) == most:
        return
    kept = "kept: " if rule.verdict == "pass" else ""
    found.setdefault(entry.id, Worst(entry.id)).captions.append(
        one_line(f"{kept}{name}: {rule.metric} {worst(entry)}{_held_to(rule)}")
    )


def _held_to(rule: RuleRecord) -> str:
    """Return the limit, and whose: the aggregate's, or the input's own that hangs on its own baseline."""
    if rule.limit is None:
        return ""
    if rule.verdict == "pass":
        # What is shown of a kept rule is what comes nearest to its limit, and no failure.
        return f"; {rule.aggregate} is {bounds(rule)[0]}" if rule.aggregate != "each" else ""
    if rule.aggregate != "each":
        return f"; {rule.aggregate} must be {bounds(rule)[1]}"
    return f"; allowed {leeway(rule)}" if leeway(rule) else f"; must be {bounds(rule)[1]}"
