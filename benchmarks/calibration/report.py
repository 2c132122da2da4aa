"""Judge what `measure.py` found by the default profiles, and write docs/calibration.md."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from saliency_cli.runs.check.policy import Rule
from saliency_cli.runs.check.profiles import PROFILES

HERE = Path(__file__).parent
FOUND = HERE / "found.jsonl"
PAGE = HERE.parents[1] / "docs" / "calibration.md"
HALVES = {"limits fixed on seeds 0–2": (0, 1, 2), "reported on seeds 3–5": (3, 4, 5)}
# What a user would check by each profile, and what each must stop.
BENIGN = {
    "reexport": ("same", "fp16"),
    "finetune": ("same", "fp16", "int8", "noise-1%", "fine-tune-2e-4", "fine-tune-2e-3"),
    "retrain": ("same", "retrain"),
}
BROKEN = ("untrained", "top-randomised", "shortcut")
# A change that cost the model more of its accuracy than this is not benign.
WORSE = 0.05
_VALUES = {("pearson", "p05"): "pearson-p05", ("pearson", "median"): "pearson-median"} | {
    ("topk-intersection", "median"): "top-median"
}

Found = dict[str, Any]


def stopped(rule: Rule, found: Found) -> bool:
    """Whether a rule of severity error is broken by a variant."""
    if rule.severity != "error":
        return False
    if rule.metric == "grad-l2":
        change = found["ratio"] - 1
        return (rule.max_increase is not None and change > rule.max_increase) or (
            rule.max_decrease is not None and -change > rule.max_decrease
        )
    key = _VALUES.get((rule.metric, rule.agg))
    return key is not None and rule.min is not None and found[key] < rule.min


def fails(profile: str, found: Found) -> bool:
    return any(stopped(rule, found) for rule in PROFILES[profile].rules)


def harmless(found: Found, rows: Sequence[Found]) -> bool:
    first = next(
        row
        for row in rows
        if (row["architecture"], row["seed"], row["variant"]) == (found["architecture"], found["seed"], "same")
    )
    return found["accuracy"] >= first["accuracy"] - WORSE


def verdicts(rows: Sequence[Found]) -> list[str]:
    lines = ["| | profile | false alarms | untrained missed | top layer randomised missed | shortcut missed |"]
    lines += ["| --- | --- | --: | --: | --: | --: |"]
    for told, seeds in HALVES.items():
        half = [row for row in rows if row["seed"] in seeds]
        for profile, variants in BENIGN.items():
            benign = [row for row in half if row["variant"] in variants and harmless(row, rows)]
            cells = [f"{sum(fails(profile, row) for row in benign)} of {len(benign)}"]
            for name in BROKEN:
                broken = [row for row in half if row["variant"] == name]
                cells.append(f"{sum(not fails(profile, row) for row in broken)} of {len(broken)}")
            lines.append(f"| {told} | `{profile}` | {' | '.join(cells)} |")
    return lines


def spreads(rows: Sequence[Found]) -> list[str]:
    keys = ("accuracy", "pearson-p05", "pearson-median", "top-median", "ratio")
    lines = ["| change | accuracy | Pearson p05 | Pearson median | top 5 % median | norm of the gradient |"]
    lines += ["| --- | --: | --: | --: | --: | --: |"]
    for variant in dict.fromkeys(row["variant"] for row in rows):
        values = [[row[key] for row in rows if row["variant"] == variant] for key in keys]
        lines.append(f"| {variant} | " + " | ".join(f"{min(v):.2f} … {max(v):.2f}" for v in values) + " |")
    return lines


def main() -> None:
    rows = [json.loads(line) for line in FOUND.read_text().splitlines()]
    begin, end = "<!-- tables -->", "<!-- end of tables -->"
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(begin)
    after = rest.partition(end)[2]
    body = "\n".join([*verdicts(rows), "", *spreads(rows)])
    PAGE.write_text(f"{before}{begin}\n\n{body}\n\n{end}{after}", encoding="utf-8")
    print(body)


if __name__ == "__main__":
    main()
