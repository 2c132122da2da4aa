"""Numbers only, nested: what `dvc metrics show` and `dvc metrics diff` read."""

import json
import math
from collections import Counter
from typing import Any

import msgspec

from saliency_cli.reports.plaintext import one_line
from saliency_cli.reports.wording import GRAVEST, names
from saliency_cli.verdicts import CheckRecord

_NUMBERS = ("value", "limit", "baseline", "difference")


def encode(record: CheckRecord) -> str:
    """Return the check as JSON of nested numbers; what is no finite number is left out, never null."""
    verdicts = Counter(rule.verdict for rule in record.rules)
    rules = {
        name: {key: getattr(rule, key) for key in (*_NUMBERS, *(["failures"] if rule.aggregate == "each" else []))}
        for name, rule in zip(names(record.rules), record.rules, strict=True)
    }
    whole = {
        "passed": int(record.passed),
        "inputs": {"measured": record.inputs, "failed": len(record.failed_inputs)},
        "verdicts": {verdict: verdicts[verdict] for verdict in GRAVEST[::-1]},
        "rules": rules,
        "metrics": msgspec.to_builtins(record.metrics),
    }
    return json.dumps(_numbers(whole), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _numbers(value: Any) -> Any:
    """Return the finite numbers of nested mappings; None where there are none."""
    if isinstance(value, dict):
        kept = {one_line(str(key)): found for key, part in value.items() if (found := _numbers(part)) is not None}
        return kept or None
    if isinstance(value, bool):
        return int(value)
    return value if isinstance(value, int | float) and math.isfinite(value) else None
