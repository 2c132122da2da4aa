"""GitLab's metrics report, in the text format of OpenMetrics: shown in a merge request beside the branch's before."""

import math
from collections import Counter
from collections.abc import Sequence

from saliency_cli.reports.plaintext import one_line
from saliency_cli.reports.wording import GRAVEST, names
from saliency_cli.verdicts import CheckRecord


def encode(record: CheckRecord) -> str:
    """Return every rule's value and limit, and the counts of the check, as gauges.

    GitLab compares the values as text, so they have four digits: the noise in the seventh would show as a change.
    """
    rules = list(zip(names(record.rules), record.rules, strict=True))
    verdicts = Counter(rule.verdict for rule in record.rules)
    values = [(_labels(rule=name), rule.value) for name, rule in rules]
    limits = [(_labels(rule=name), rule.limit) for name, rule in rules if rule.limit is not None]
    counts = [(_labels(verdict=verdict), float(verdicts[verdict])) for verdict in GRAVEST[::-1]]
    lines = [
        *_family("saliency_rule_value", "What was measured for a rule.", values),
        *_family("saliency_rule_limit", "What a rule's value is held to.", limits),
        *_family("saliency_rules", "Rules by verdict.", counts),
        *_family("saliency_inputs", "Inputs measured.", [("", float(record.inputs))]),
        *_family("saliency_failed_inputs", "Inputs not measured.", [("", float(len(record.failed_inputs)))]),
        "# EOF",
    ]
    return "\n".join(lines) + "\n"


def _family(name: str, told: str, samples: Sequence[tuple[str, float | None]]) -> list[str]:
    if not samples:
        return []
    return [f"# TYPE {name} gauge", f"# HELP {name} {told}", *(f"{name}{at} {_value(v)}" for at, v in samples)]


def _value(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "NaN"
    return f"{value:.4g}" if math.isfinite(value) else "+Inf" if value > 0 else "-Inf"


def _labels(**labels: str) -> str:
    return "{" + ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items()) + "}"


def _escaped(text: str) -> str:
    # GitLab cuts every line at a number sign, inside quotes too, and then loses the line.
    return one_line(text).replace("#", "＃").replace("\\", "\\\\").replace('"', '\\"')
