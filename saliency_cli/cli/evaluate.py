"""`saliency evaluate`: every map measured; a table of what was found."""

from typing import TYPE_CHECKING, Any

import click

from saliency_cli.cli.compute import displayed, request_of
from saliency_cli.cli.compute_options import MEASURE_SECTIONS, evaluate_options
from saliency_cli.cli.parameters import SectionCommand

if TYPE_CHECKING:
    from saliency_cli.runs.report import Report

DEFAULT_METRICS = ("grad-l2", "gini", "mass90")


class EvaluateCommand(SectionCommand):
    """The layout of `saliency evaluate --help`."""

    sections = MEASURE_SECTIONS
    examples = (
        ("saliency evaluate model.keras photos/ --metric flip-radius-linf", "how far away the next class is"),
        ("saliency evaluate model.keras photos/ --metric pointing --masks masks/", "does it point at the object"),
        ("saliency evaluate model.keras photos/ --metric deletion -o out", "each input in out/items.jsonl"),
    )


@click.command(cls=EvaluateCommand)
@evaluate_options
@click.pass_context
def evaluate(context: click.Context, /, **given: Any) -> int:
    """Measure maps: sensitivity, stability, faithfulness, place."""
    given["metrics"] = given["metrics"] or DEFAULT_METRICS
    request = request_of(context, given)
    with displayed(given, request, items=False) as terminal:
        from saliency_cli.runs.compute import compute as run_compute

        report = run_compute(request, listen=terminal)
        if not given["as_json"] and not given["as_jsonl"] and not given["quiet"] and not request.dry_run:
            for line in statistics_table(report):
                click.echo(line)
        return report.exit_code


def statistics_table(report: "Report") -> list[str]:
    """Return the lines of the table: a row for each metric and method."""
    from saliency_cli.cli.tables import table, width_of_stdout

    several = len(report.run.metrics) > 1
    rows = []
    for method, found in report.run.metrics.items():
        for label, record in report.run.measured.items():
            if label in found:
                s = found[label]
                numbers = [_number(value) for value in (s.median, s.p05, s.p95, s.mean)]
                rows.append([*([method] if several else []), label, *numbers, f"{s.n:,}", _better(record.better)])
            else:
                rows.append([*([method] if several else []), label, "", "", "", "", "0", _better(record.better)])
    if not rows:
        return []
    header = [*(["method"] if several else []), "metric", "median", "p05", "p95", "mean", "inputs", "better"]
    return table(header, rows, width_of_stdout())


def _better(better: str) -> str:
    return "" if better == "neither" else better


def _number(value: float | None) -> str:
    if value is None:
        return "none"
    return "> bound" if value == float("inf") else f"{value:.4g}"
