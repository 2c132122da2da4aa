"""Markdown to paste into a pull request, and the table other commands draw with it."""

import re
from collections.abc import Sequence

from saliency_cli.reports.blocks import Block, joined
from saliency_cli.reports.numerals import NOTHING, interval, number, percent, signed
from saliency_cli.reports.plaintext import one_line
from saliency_cli.reports.wording import (
    breaking,
    counted,
    headline,
    limits_at,
    measured,
    next_step,
    ordered,
    pairing,
    provenance,
    shown,
    worst,
)
from saliency_cli.verdicts import CheckRecord, RuleRecord, Verdict

# A comment on GitHub holds 65,536 characters; this is in bytes, of which there are never fewer.
COMMENT = 60_000

MARKS: dict[Verdict, str] = {"pass": "✅ pass", "warning": "⚠️ warning", "fail": "❌ fail", "error": "🚫 error"}
_MOST_OPEN = 20
_SIGNS = {"<=": "≤", ">=": "≥"}
# What is markup anywhere, an underscore between letters excepted, and what is so at a beginning only.
_SPECIAL = re.compile(r"([\\`*\[\]|~$>]|(?<![^\W_])_|_(?![^\W_]))")
_BEGINNING = re.compile(r"^([-+](?=[-\s]|$)|=|\d+(?=[.)](?:\s|$)))")


def encode(record: CheckRecord, limit: int = COMMENT) -> str:
    """Return the check as Markdown of at most `limit` bytes; what is left out for that is counted at its end."""
    mark = MARKS["pass" if record.passed else "fail"].split()[0]
    rules = ordered(record.rules)
    blocks = [Block([f"### {mark} saliency check: {escape(headline(record))}"])]
    # Of many rules those that are kept are folded away, behind what is wrong with the others.
    open_ = rules if len(rules) <= _MOST_OPEN else [rule for rule in rules if rule.verdict != "pass"]
    if open_:
        blocks.append(_rules(open_))
    told = [_told(rule) for rule in rules if rule.verdict == "error" or rule.message]
    blocks += [Block(rows=told)] if told else []
    blocks += [Block([f"To accept the new maps: {code(next_step(record))}"])] if next_step(record) else []
    blocks += [Block([f"To change the limit: {code(limits_at(record))}"])] if limits_at(record) else []
    blocks += [_worst(rule) for rule in rules if rule.worst and rule.verdict != "pass"]
    if kept := rules[len(open_) :]:
        table_ = _rules(kept)
        blocks.append(_folded(f"{counted(len(kept), 'rule')} kept", [*table_.rows], table_.head))
    if record.failed_inputs:
        rows = [f"- {code(name)}: {escape(message)}" for name, message in record.failed_inputs.items()]
        blocks.append(_folded(f"{counted(len(rows), 'input')} could not be measured", rows))
    blocks += _baseline(record)
    blocks += [Block(rows=[f"- {escape(note)}" for note in record.notes])] if record.notes else []
    blocks += [Block([f"<sub>{escape(' · '.join(provenance(record)))}</sub>"])] if provenance(record) else []
    return joined(blocks, limit)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Return the lines of a table; its cells are Markdown already, those of the columns `right` stand right."""
    rule = ["--:" if column in right else ":--" for column in range(len(header))]
    return [f"| {' | '.join(cells)} |" for cells in (header, rule, *rows)]


def code(text: str, *, cell: bool = False) -> str:
    """Return any text as a code span, in a table's `cell` with its pipes escaped."""
    plain = one_line(text)
    # A fence longer than any run of backticks inside, set off where one would touch it.
    fence = "`" * (max((len(run) for run in re.findall("`+", plain)), default=0) + 1)
    room = " " if not plain.strip() or plain[0] in "` " or plain[-1] in "` " else ""
    inside = f"{room}{plain}{room}" if plain.strip() else NOTHING
    return f"{fence}{inside.replace('|', chr(92) + '|') if cell else inside}{fence}"


def escape(text: str) -> str:
    """Return any text as Markdown that shows it as it is: no markup, no HTML, nobody and no issue mentioned."""
    plain = _SPECIAL.sub(r"\\\1", one_line(text).strip().replace("&", "&amp;").replace("<", "&lt;"))
    plain = _BEGINNING.sub(lambda found: f"\\{found[1]}" if found[1] in "-+=" else f"{found[1]}\\", plain)
    # A comment between the sign and the name, since GitHub finds mentions and issues after unescaping.
    return re.sub(r"([@#])(?=\w)", r"\1<!-- -->", re.sub(r"^#", r"\#", plain))


def _rules(rules: Sequence[RuleRecord]) -> Block:
    header = ("", "rule", "measured", "value", "limit", "baseline", "difference", "95 % interval")
    rows = []
    for rule in rules:
        value, limit = shown(rule)
        for sign, pretty in _SIGNS.items():
            limit = limit.replace(sign, pretty)
        broken = f"<br>{escape(breaking(rule))}" if breaking(rule) else ""
        change = f" ({percent(rule.change)})" if rule.change is not None else ""
        rows.append(
            (
                MARKS[rule.verdict],
                code(rule.id, cell=True),
                code(measured(rule), cell=True) + broken,
                value,
                limit,
                number(rule.baseline),
                signed(rule.difference) + change,
                interval(rule.interval),
            )
        )
    lines = table(header, rows, right=(3, 4, 5, 6, 7))
    return Block(lines[:2], lines[2:])


def _told(rule: RuleRecord) -> str:
    hint = f" → {escape(rule.hint)}" if rule.hint else ""
    return f"- {code(rule.id)}: {escape(rule.message) or 'could not be judged'}{hint}"


def _worst(rule: RuleRecord) -> Block:
    lines = table(
        ("input", "value"),
        [(code(entry.id, cell=True), escape(worst(entry))) for entry in rule.worst],
        right=(1,),
    )
    return _folded(f"Worst inputs of <code>{_html(rule.id)}</code>", lines[2:], lines[:2])


def _baseline(record: CheckRecord) -> list[Block]:
    if not pairing(record):
        return []
    found = [Block([f"Compared with {escape(pairing(record))}."])]
    baseline = record.baseline
    for word, ids in (("New", baseline.new), ("Missing", baseline.missing), ("Changed", baseline.changed)):
        if ids:
            found.append(_folded(f"{word}: {counted(len(ids), 'input')}", [f"- {code(name)}" for name in ids]))
    notes = [f"- {escape(note)}" for note in baseline.notes]
    return [*found, Block(rows=notes)] if notes else found


def _folded(summary: str, rows: list[str], head: Sequence[str] = ()) -> Block:
    # The empty lines are what makes Markdown be read inside the element.
    return Block([f"<details><summary>{summary}</summary>", "", *head], rows, ["", "</details>"])


def _html(text: str) -> str:
    return one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
