"""`saliency compare`: two models' maps of the same inputs, as a table, as Markdown, as a folder to keep."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from saliency_cli.cli.compute import displayed
from saliency_cli.cli.compute_options import FIELDS, MEASURE_SECTIONS, compare_options
from saliency_cli.cli.parameters import SectionCommand
from saliency_cli.cli.telling import tell

if TYPE_CHECKING:
    from saliency_cli.records import CompareRecord
    from saliency_cli.runs.compare import Compared


_FILES = ("compare.json", "compare.md", "compare.png")


class CompareCommand(SectionCommand):
    """The layout of `saliency compare --help`."""

    sections = MEASURE_SECTIONS
    examples = (
        ("saliency compare old.keras new.keras photos/", "does the new model look at the same places"),
        ("saliency compare old.keras new.keras photos/ --markdown", "the same, to paste in a pull request"),
        (
            "saliency compare model.keras model.keras photos/ --method smoothgrad --before-method gradient",
            "two methods on one model",
        ),
    )


@click.command(cls=CompareCommand)
@compare_options
@click.pass_context
def compare(context: click.Context, /, **given: Any) -> int:
    """Put two models' maps of the same inputs side by side."""
    if given["as_json"] and given["as_markdown"]:
        raise click.UsageError("--json and --markdown exclude each other", context)
    if not given["inputs"]:
        raise click.UsageError("Missing argument 'INPUT...': files, folders or quoted globs", context)
    if given["folder"]:
        _require_free(Path(given["folder"]))
    from saliency_cli.runs.request import ComputeRequest

    fields = {field: given[field] for field in FIELDS if field in given}
    fields["methods"] = tuple(dict.fromkeys(name for names in given["methods"] for name in names))
    command = context.find_root().obj or ()
    request = ComputeRequest(given["after"], reference=given["before"], **fields, command=command)
    with displayed({**given, "as_jsonl": False, "as_json": False}, request, items=False) as terminal:
        from dataclasses import replace

        from saliency_cli.runs.compare import DEFAULT_METRICS
        from saliency_cli.runs.compare import compare as run_compare

        compared = run_compare(replace(request, metrics=request.metrics or DEFAULT_METRICS), terminal)
    _show(compared, given)
    return compared.exit_code


def _show(compared: "Compared", given: dict[str, Any]) -> None:
    """Write and print a comparison in the form that was asked for."""
    if given["folder"]:
        _write(compared, Path(given["folder"]), given["worst"])
    if given["as_json"]:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(compared.record), indent=2))
    elif given["as_markdown"]:
        from saliency_cli.reports.comparison import markdown

        click.echo(markdown(compared.record, given["worst"]), nl=False)
    elif not given["quiet"]:
        for line in _lines(compared.record, given["worst"]):
            click.echo(line)
    if not given["quiet"]:
        for note in compared.record.notes:
            tell("warning", note)


def _require_free(folder: Path) -> None:
    """Raise `OutputError` for a folder that holds anything but an earlier comparison."""
    foreign = sorted(path.name for path in folder.iterdir() if path.name not in _FILES) if folder.is_dir() else []
    if foreign:
        from saliency_cli.errors import OutputError

        raise OutputError(
            f"the folder '{folder}' holds other files ('{foreign[0]}')",
            hint="-o a new folder, or one that holds a comparison only",
            reason="not-empty",
        )


def _lines(record: "CompareRecord", worst: int) -> list[str]:
    """Return the drift table and the inputs that changed most, for a terminal."""
    from saliency_cli.cli.tables import table, width_of_stdout
    from saliency_cli.reports.comparison import prediction, rows, worst_rows

    width = width_of_stdout()
    lines = table(("metric", "median", "p05", "p95", "mean", "inputs"), rows(record), width)
    if record.inputs:
        changed = record.predictions_changed
        lines += ["", f"{changed:,} of {len(record.inputs):,} predictions changed"]
    shown = worst_rows(record, worst)
    if shown:
        lines += ["", "changed most:"]
        header = ("input", record.ranked_by, "before → after")
        lines += table(header, [(name, value, prediction(each)) for name, value, each in shown], width)
    return lines


def _write(compared: "Compared", folder: Path, worst: int) -> None:
    """Write compare.json, compare.md and compare.png into a folder."""
    import msgspec

    from saliency_cli.reports.comparison import markdown, picture
    from saliency_cli.runs.destination import write_whole

    record = compared.record
    document = msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"
    write_whole(folder / "compare.json", document)
    write_whole(folder / "compare.md", markdown(record, worst, image="compare.png").encode())
    write_whole(folder / "compare.png", picture(record, compared.tiles(worst)))
