"""JUnit XML, for the test reports of Jenkins, GitLab and the rest: a suite a check, a case a rule."""

from xml.etree import ElementTree as ET

from saliency_cli.reports.plaintext import clean, one_line
from saliency_cli.reports.wording import (
    headline,
    names,
    pairing,
    provenance,
    sentence,
    unexplained,
    worst,
)
from saliency_cli.verdicts import CheckRecord, RuleRecord

# What the elements are called that say "broken" and "could not be judged".
_ELEMENTS = {"fail": "failure", "error": "error"}


def encode(record: CheckRecord) -> str:
    """Return the check as JUnit XML, as the schema of Jenkins has it (`junit-10.xsd`).

    A rule that is broken is a failure, one that could not be judged an error, a warning a passed case
    whose output says so. Where the check failed for no rule's sake, a case of its own says why: a red
    build never has a green report.
    """
    suite = ET.Element("testsuite", name=_text(record.policy) or "saliency check")
    properties = ET.SubElement(suite, "properties")
    for number, phrase in enumerate(provenance(record), 1):
        ET.SubElement(properties, "property", name=f"provenance.{number}", value=_text(phrase))
    cases = len(record.rules) + unexplained(record)
    for name, rule in zip(names(record.rules), record.rules, strict=True):
        # All rules are judged on one run: its time is shared, so that the cases sum to it.
        _add_case(suite, record, name, record.seconds / cases, rule)
    if unexplained(record):
        case = _case(suite, record, "check", record.seconds / cases)
        _add(case, "failure", "check", headline(record), _failed_inputs(record))
    failures, errors = len(suite.findall("./*/failure")), len(suite.findall("./*/error"))
    counts = {"tests": cases, "failures": failures, "errors": errors}
    for key, count in counts.items():
        suite.set(key, str(count))
    suite.set("skipped", "0")
    suite.set("time", f"{record.seconds:.3f}")
    if record.run.created:
        suite.set("timestamp", record.run.created)
    _output(suite, "system-out", [pairing(record), *record.notes])
    _output(suite, "system-err", _failed_inputs(record))
    root = ET.Element("testsuites", {"name": "saliency", **{key: str(count) for key, count in counts.items()}})
    root.set("time", f"{record.seconds:.3f}")
    root.append(suite)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _add_case(suite: ET.Element, record: CheckRecord, name: str, seconds: float, rule: RuleRecord) -> None:
    case = _case(suite, record, name, seconds)
    lines = [f"worst: {one_line(entry.id)}: {worst(entry)}" for entry in rule.worst]
    lines += [rule.hint] if rule.hint else []
    if rule.verdict in _ELEMENTS:
        _add(case, _ELEMENTS[rule.verdict], rule.bound, sentence(rule), lines)
    elif rule.verdict == "warning":
        _output(case, "system-out", [f"warning: {sentence(rule)}", *lines])


def _case(suite: ET.Element, record: CheckRecord, name: str, seconds: float) -> ET.Element:
    classname = _text(record.policy) or "saliency"
    return ET.SubElement(suite, "testcase", classname=classname, name=name, time=f"{seconds:.3f}")


def _add(case: ET.Element, tag: str, kind: str, message: str, lines: list[str]) -> None:
    # GitLab shows the body, Jenkins the attribute: the message stands in both.
    ET.SubElement(case, tag, type=_text(kind), message=_text(message)).text = _text("\n".join([message, *lines]))


def _output(parent: ET.Element, tag: str, lines: list[str]) -> None:
    told = [line for line in lines if line]
    if told:
        ET.SubElement(parent, tag).text = _text("\n".join(told))


def _failed_inputs(record: CheckRecord) -> list[str]:
    return [f"not measured: {one_line(name)}: {one_line(message)}" for name, message in record.failed_inputs.items()]


def _text(text: str) -> str:
    """Return text that XML may hold: of the control characters it allows three, of the others none even escaped."""
    return clean(text, "\n\t")
