"""GitHub: annotations at the policy's lines, and the step's summary."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from saliency_cli.reports.markdown import encode
from saliency_cli.reports.plaintext import one_line
from saliency_cli.reports.wording import counted, headline, names, sentence, unexplained
from saliency_cli.shortening import shorten
from saliency_cli.verdicts import CheckRecord, RuleRecord

# The runner keeps ten errors and ten warnings of a step and 4,096 characters of each, and drops the
# rest without a word. A summary above 1,024 KiB is not uploaded at all.
MOST = 10
LONGEST = 4_000
SUMMARY = 900_000

_TITLE = 200


class _Note(NamedTuple):
    title: str
    message: str
    line: int | None = None


def annotations(record: CheckRecord, lines: Mapping[str, int] | None = None, file: str | None = None) -> str:
    """Return workflow commands, one a line: an error for each broken rule, a warning for each warning.

    `lines` says on which line of the policy a rule stands, by its id; `file` is the policy as the
    repository has it, where that is not what the command line says. Above ten of a kind the last one
    names the rest.
    """
    at = lines or {}
    errors = [_note(rule, name, at) for name, rule in _named(record, ("error", "fail"))]
    warnings = [_note(rule, name, at) for name, rule in _named(record, ("warning",))]
    if unexplained(record):
        errors.append(_Note("saliency check", headline(record)))
    if record.failed_inputs:
        told = "; ".join(f"{name}: {message}" for name, message in record.failed_inputs.items())
        failed = counted(len(record.failed_inputs), "input")
        warnings.append(_Note(f"{failed} could not be measured", told))
    place = record.policy if file is None else file
    commands = [
        *(_command("error", place, note) for note in _at_most(errors)),
        *(_command("warning", place, note) for note in _at_most(warnings)),
    ]
    return "".join(f"{command}\n" for command in commands)


def summary(record: CheckRecord) -> str:
    """Return the Markdown to append to the file `$GITHUB_STEP_SUMMARY` names."""
    return encode(record, SUMMARY)


def _named(record: CheckRecord, verdicts: Sequence[str]) -> list[tuple[str, RuleRecord]]:
    pairs = zip(names(record.rules), record.rules, strict=True)
    return [(name, rule) for name, rule in pairs if rule.verdict in verdicts]


def _note(rule: RuleRecord, name: str, lines: Mapping[str, int]) -> _Note:
    kept = "could not be judged" if rule.verdict == "error" else "is not kept"
    worst = f"; worst: {', '.join(entry.id for entry in rule.worst[:3])}" if rule.worst else ""
    hint = f" → {rule.hint}" if rule.hint else ""
    return _Note(f"{name} {kept}", f"{sentence(rule)}{worst}{hint}", lines.get(rule.id))


def _at_most(notes: list[_Note]) -> list[_Note]:
    if len(notes) <= MOST:
        return notes
    rest = notes[MOST - 1 :]
    return [*notes[: MOST - 1], _Note(f"and {len(rest):,} more", "; ".join(note.title for note in rest))]


def _command(kind: Literal["error", "warning"], policy: str, note: _Note) -> str:
    properties = {"file": one_line(policy)} if policy else {}
    if policy and note.line is not None:
        properties["line"] = str(note.line)
    properties["title"] = shorten(one_line(note.title), _TITLE)
    listed = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{kind} {listed}::{_data(shorten(one_line(note.message), LONGEST))}"


def _data(text: str) -> str:
    # The percent sign first: the others are escaped with it.
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
