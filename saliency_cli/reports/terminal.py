"""The check as rows of text for a terminal, each with the style it is shown in."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from saliency_cli.reports.numerals import interval, percent
from saliency_cli.reports.plaintext import one_line, pad
from saliency_cli.reports.wording import (
    breaking,
    counted,
    headline,
    is_lenient,
    limits_at,
    measured,
    names,
    next_step,
    origin,
    pairing,
    sentence,
    shown,
    worst,
)
from saliency_cli.shortening import cells, shorten
from saliency_cli.verdicts import CheckRecord, RuleRecord, Verdict

Style = Literal["pass", "warning", "fail", "error", "plain"]

WORDS: dict[Verdict, str] = {"pass": "PASS", "warning": "WARN", "fail": "FAIL", "error": "ERROR"}
_INDENT = "       "
_GAP = 2
_NAMES = (1, 2)
_READABLE, _NARROWEST = 24, 8
_MOST_WORST = 3


class Row(NamedTuple):
    """One line and how it is coloured."""

    text: str
    style: Style


def rows(record: CheckRecord, width: int = 80, report: str = "") -> list[Row]:
    """Return a row for each rule in the policy's order, what broke it below, and the counts at the end.

    `report` is a file written about it. No row is wider than `width` cells.
    """
    found: list[Row] = []
    ids = names(record.rules)
    columns = [(WORDS[rule.verdict], name, *_columns(rule)) for name, rule in zip(ids, record.rules, strict=True)]
    widths = _widths(columns, width)
    for rule, texts in zip(record.rules, columns, strict=True):
        found.append(Row(_line(texts, widths, width), rule.verdict))
        found += [Row(text, rule.verdict) for text in _below(rule, widths, width)]
    found += [Row(text, "warning") for text in _failed(record, width)]
    if record.baseline.new or record.baseline.missing or record.baseline.changed:
        found += [Row(text, "plain") for text in _wrapped(f"baseline {pairing(record)}", width, "")]
    for note in (*record.baseline.notes, *record.notes):
        found += [Row(text, "plain") for text in _wrapped(f"note: {one_line(note)}", width, "")]
    found += _last(record, width, report)
    return [Row(shorten(row.text, width).rstrip(), row.style) for row in found]


def _columns(rule: RuleRecord) -> tuple[str, str, str, str]:
    if rule.verdict == "error":
        return measured(rule), "", "", ""
    value, limit = shown(rule)
    if is_lenient(rule):
        return measured(rule), value, limit, f"{rule.allowed_failures:,} allowed"
    beside = _more(rule) or ([counted(rule.n, "input")] if rule.n else [])
    return measured(rule), value, limit, "  ".join(beside)


def _more(rule: RuleRecord) -> list[str]:
    """Return what stands beside a rule where there is room, else below."""
    found = [breaking(rule), f"({origin(rule)})" if origin(rule) else ""]
    found += [percent(rule.change) if rule.change is not None else ""]
    found += [interval(rule.interval) if rule.interval is not None else ""]
    return [text for text in found if text]


def _widths(columns: Sequence[Sequence[str]], width: int) -> list[int]:
    """Return the widths of the columns, the last 0 where it has to stand below; the longest names give way."""
    if not columns:
        return []
    natural = [max(map(cells, column)) for column in zip(*columns, strict=True)]
    beside = _narrowed(natural, width, _READABLE)
    return beside if _total(beside) <= width else _narrowed([*natural[:-1], 0], width, _NARROWEST)


def _narrowed(natural: Sequence[int], width: int, least: int) -> list[int]:
    widths = list(natural)
    while _total(widths) > width:
        longest = max(_NAMES, key=lambda column: widths[column])
        if widths[longest] <= least:
            break
        widths[longest] -= 1
    return widths


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1 - (widths[-1] == 0))


def _line(texts: Sequence[str], widths: Sequence[int], width: int) -> str:
    gap = " " * _GAP
    line = gap.join(pad(text, size) for text, size in zip(texts, widths, strict=True))
    return shorten(line.rstrip(), width)


def _below(rule: RuleRecord, widths: Sequence[int], width: int) -> list[str]:
    if rule.verdict == "error":
        hint = one_line(rule.hint)
        return [*_wrapped(sentence(rule), width), *_wrapped(hint, width)]
    if rule.verdict == "pass":
        lenient = breaking(rule) if is_lenient(rule) and not widths[-1] else ""
        return [*_wrapped(lenient, width), *_wrapped(one_line(rule.message), width)]
    lines = [] if widths[-1] else _wrapped("  ".join(_more(rule)), width)
    lines += _wrapped(one_line(rule.message), width)
    return [*lines, *_worst(rule, width)]


def _worst(rule: RuleRecord, width: int) -> list[str]:
    """Return the worst inputs on one line, as many as fit, at least one."""
    line = ""
    for entry in rule.worst[:_MOST_WORST]:
        start = f"{line}   " if line else f"{_INDENT}worst: "
        told = worst(entry)
        room = width - cells(start) - cells(told) - 1
        name = one_line(entry.id)
        if line and cells(name) > room:
            break
        line = f"{start}{shorten(name, max(room, _NARROWEST))} {told}"
    return [line] if line else []


def _failed(record: CheckRecord, width: int) -> list[str]:
    failed = record.failed_inputs
    if not failed:
        return []
    lines = [f"{counted(len(failed), 'input')} could not be measured:"]
    for name, message in list(failed.items())[:_MOST_WORST]:
        lines += _wrapped(_broken(f"{one_line(name)}: {one_line(message)}", width - len(_INDENT)), width)
    rest = len(failed) - _MOST_WORST
    return [*lines, f"{_INDENT}and {rest:,} more"] if rest > 0 else lines


def _last(record: CheckRecord, width: int, report: str) -> list[Row]:
    gravest: Style = "pass" if record.passed else "fail"
    if any(rule.verdict == "error" for rule in record.rules):
        gravest = "error"
    elif record.passed and any(rule.verdict == "warning" for rule in record.rules):
        gravest = "warning"
    accept = f"accept: {next_step(record)}" if next_step(record) else ""
    change = f"change the limit: {limits_at(record)}" if limits_at(record) else ""
    parts = [f"{headline(record)}.", f"report: {one_line(report)}" if report else "", accept, change]
    whole = "  ".join(part for part in parts if part)
    if cells(whole) <= width:
        return [Row(whole, gravest)]
    head, *rest = [text for part in parts if part for text in _wrapped(part, width, "")]
    return [Row(head, gravest), *(Row(text, "plain") for text in rest)]


def _broken(text: str, width: int) -> str:
    """Return text whose words fit the width: an error's path is worth a second line rather than a gap."""
    found: list[str] = []
    for word in text.split():
        part = ""
        for sign in word:
            if part and cells(part + sign) > max(width, _NARROWEST):
                found.append(part)
                part = ""
            part += sign
        found.append(part)
    return " ".join(found)


def _wrapped(text: str, width: int, indent: str = _INDENT) -> list[str]:
    """Return text broken at its spaces; a word wider than the room is left to be shortened."""
    lines: list[str] = []
    for word in text.split():
        if lines and cells(lines[-1]) + 1 + cells(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(indent + word)
    return lines
