"""`saliency check`: a policy's rules judged, shown, and written where reports are asked for."""

import os
import shutil
import sys
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from saliency_cli.cli.check_options import FIELDS, REPORTS, SECTIONS, check_options
from saliency_cli.cli.parameters import SectionCommand
from saliency_cli.cli.telling import say, tell, wants_colour
from saliency_cli.errors import OutputError

if TYPE_CHECKING:
    from saliency_cli.cli.terminal import Terminal
    from saliency_cli.runs.check.check import Checked
    from saliency_cli.runs.check.request import CheckRequest
    from saliency_cli.runs.check.updating import UpdateRecord

_COLOURS = {"pass": "green", "warning": "yellow", "fail": "red", "error": "magenta", "plain": None}


class CheckCommand(SectionCommand):
    """The layout of `saliency check --help`."""

    sections = SECTIONS
    examples = (
        ("saliency check", "the rules of saliency.toml"),
        ("saliency check --update-baseline", "the model as it is becomes what later ones are compared with"),
        ("saliency check prod.toml new.keras --select same-evidence", "another policy, another model, one rule"),
    )


@click.command(cls=CheckCommand)
@check_options
@click.pass_context
def check(context: click.Context, /, **given: Any) -> int:
    """Hold a model to the rules of a policy; exit code 1 says that one is broken."""
    from saliency_cli.cli.terminal import Display, Terminal

    request = _request(context, given)
    terminal = Terminal(Display(form="none", quiet=given["quiet"], verbose=given["verbose"]))
    if given["verbose"] > 1:
        os.environ["SALIENCY_TENSORFLOW_LOG"] = "1"
    try:
        if request.update_baseline:
            return _update(request, terminal, given)
        from saliency_cli.runs.check import check as module

        checked = module.check(request, terminal)
        terminal.close()
        _show(checked, given)
        return checked.exit_code(exit_zero=given["exit_zero"])
    finally:
        terminal.close()


def _request(context: click.Context, given: dict[str, Any]) -> "CheckRequest":
    """Build the request; refuse what can't be meant together before anything heavy is imported."""
    if given["yes"] and not given["update_baseline"]:
        raise click.UsageError("--yes goes with --update-baseline, and does nothing without", context)
    if given["quiet"] and given["verbose"]:
        raise click.UsageError("--quiet and --verbose exclude each other", context)
    if given["update_baseline"]:
        useless = [f"--{name}" for name in REPORTS if given[name.replace("-", "_")]]
        useless += [f"--{name}" for name in ("select", "exit-zero", "github") if given[name.replace("-", "_")]]
        useless += ["--fail-on"] if given["fail_on"] != "error" else []
        if useless:
            raise click.UsageError(f"{useless[0]} is about verdicts, and --update-baseline gives none", context)
    from saliency_cli.runs.check.request import CheckRequest

    words = list(given["words"])
    policy = words.pop(0) if words and words[0].lower().endswith(".toml") else None
    model = words.pop(0) if words else None
    fields = {field: given[field] for field in FIELDS}
    if policy is not None:
        fields["policy"] = Path(policy)
    command = context.find_root().obj or ()
    return CheckRequest(**fields, model=model, inputs=tuple(words), command=command)


def _show(checked: "Checked", given: dict[str, Any]) -> None:
    """Write the reports, tell GitHub, and print the rows or the JSON: also where a report can't be written."""
    from saliency_cli.runs.check.reporting import annotations, write_reports, write_summary

    files = {name: given[name.replace("-", "_")] for name in REPORTS if given[name.replace("-", "_")]}
    wanted = given["github"]
    if wanted is None:
        wanted = os.environ.get("GITHUB_ACTIONS") == "true"
    told = annotations(checked) if wanted else ""
    unwritten: OutputError | None = None
    try:
        try:
            write_reports(checked, files)
        finally:  # a summary is worth having beside a report that could not be written
            if wanted:
                write_summary(checked)
    except OutputError as error:
        unwritten = error
    if given["as_json"]:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(checked.record), indent=2))
        say(told, end="")  # GitHub reads stderr too, where they don't break the document
    else:
        click.echo(told, nl=False)
        _rows(checked, "" if unwritten else next(iter(files.values()), ""), quiet=given["quiet"])
    if unwritten is not None:
        raise unwritten


def _rows(checked: "Checked", report: str, *, quiet: bool) -> None:
    from saliency_cli.reports.terminal import rows

    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    for row in rows(checked.record, shutil.get_terminal_size().columns, report):
        if quiet and row.style in ("pass", "plain"):
            continue
        text = row.text.encode(encoding, "replace").decode(encoding)
        head, space, rest = text.partition(" ")
        # The verdict alone is coloured: a screen of red says nothing.
        styled = click.style(head, fg=_COLOURS[row.style], bold=True) if head.isupper() else head
        click.echo(styled + space + rest, color=wants_colour(sys.stdout))


def _update(request: "CheckRequest", terminal: "Terminal", given: dict[str, Any]) -> int:
    """Make the baseline anew, and show what that changes."""
    from saliency_cli.runs.check import updating as module

    updated = module.update_baseline(request, terminal)
    terminal.close()
    if given["as_json"]:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(updated.record), indent=2))
        return 0
    if not given["quiet"]:
        for line in updated_table(updated.record):
            click.echo(line)
        for note in updated.record.notes:
            tell("note", note)
    return 0


def updated_table(record: "UpdateRecord") -> list[str]:
    """Return the lines of old → new: the median of each metric, and which inputs came and went."""
    from saliency_cli.cli.tables import table
    from saliency_cli.reports.numerals import number, percent

    rows = []
    for entry in record.metrics:
        share = None
        if entry.old and entry.new is not None and isfinite(entry.old):
            share = round((entry.new - entry.old) / abs(entry.old), 6)  # beyond that, it is rounding
        rows.append([entry.metric, number(entry.old), number(entry.new), "" if share is None else percent(share)])
    lines = table(["median of", "old", "new", "change"], rows, shutil.get_terminal_size().columns) if rows else []
    for word, ids in (("added", record.added), ("removed", record.removed)):
        if ids:
            more = f" and {len(ids) - 3:,} more" if len(ids) > 3 else ""
            lines.append(f"{len(ids):,} {word}: {', '.join(ids[:3])}{more}")
    return [*lines, f"baseline of {record.inputs:,} inputs written to {record.path}"]
