"""`saliency inspect`: what a saved model takes, gives and is made of."""

import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import click

from saliency_cli.cli.model_options import MODEL_HELP, MODEL_OPTIONS
from saliency_cli.cli.tables import table, width_of_stdout
from saliency_cli.cli.telling import is_terminal, printable
from saliency_cli.errors import ModelError


def _model_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for names, attributes in reversed(MODEL_OPTIONS):
        function = click.option(*names, **attributes)(function)
    return function


@click.command()
@click.argument("model", type=click.Path(), help=MODEL_HELP)
@click.option(
    "--trace",
    is_flag=True,
    help="Load the model too, and tell what the file alone doesn't: heads, connected inputs, every shape, preparing.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@_model_options
@click.option("--debug", is_flag=True, help="Print the whole traceback of an error.")
def inspect(model: str, *, trace: bool, as_json: bool, debug: bool, **opening: Any) -> None:
    """Show what a saved model takes, gives and is made of.

    Read off the file, in less than a second: nothing of the model is loaded or run. A model that is refused
    is shown too, with what it would need.
    """
    del debug  # the entry reads it from the command line
    from saliency_cli.cli.progress import Progress

    progress = Progress(quiet=not trace)
    try:
        progress.loading(model)
        import msgspec

        from saliency_cli.runs.inspect import inspect_model
        from saliency_cli.runs.request import ComputeRequest

        record = inspect_model(ComputeRequest(model, **opening), trace=trace)
    finally:
        progress.close()
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(record), indent=2))
    else:
        width = min(shutil.get_terminal_size().columns, 120)
        click.echo("\n".join(_page(msgspec.to_builtins(record), width)))
    if record.error is not None:
        raise ModelError(record.error.message, hint=record.error.hint, reason=record.error.reason)


def _page(record: dict[str, Any], width: int) -> Iterator[str]:
    model = record["model"]
    size = f", {model['parameters']:,} parameters" if model["parameters"] is not None else ""
    yield f"{printable(model['path'])}: {model['format']}{size}"
    if model.get("writer"):
        yield f"written by {printable(model['writer'])}"
    yield from _section("Signatures", _signatures(record["signatures"]), width)
    yield from _section("Inputs", _inputs(record["inputs"]), width)
    yield from _section("Outputs", _outputs(record["outputs"]), width)
    yield from _section("Layers", _layers(record["layers"]), width)
    if not record["layers"] and record["operations"]:
        listed = ", ".join(f"{count} {kind}" for kind, count in record["operations"].items())
        yield from _paragraph("Operations", listed, width)
    preparing = record["preparing"]
    if preparing:
        guessed = " (guessed: set --preprocess to be sure)" if preparing["guessed"] else ""
        yield from _paragraph("Preparing", f"{preparing['name']}{guessed}: {preparing['reason']}", width)
    if record["stochastic"]:
        yield from _paragraph("Random layers", ", ".join(record["stochastic"]), width)
    for note in record["notes"]:
        yield from _paragraph("Note", note, width)
    yield from _paragraph("Screening", "; ".join(record["screening"]) or "no known risk found", width)
    if not record["traced"] and record["error"] is None:
        yield from _paragraph("More", "--trace loads it: heads, connected inputs, shapes, preparing", width)


def _signatures(entries: dict[str, str]) -> list[list[str]]:
    return [["name", "takes → gives"], *([name, ends] for name, ends in entries.items() if len(entries) > 1)]


def _inputs(entries: list[dict[str, Any]]) -> list[list[str]]:
    rows = [
        [entry["name"], entry["shape"], entry["dtype"], _yes(entry["differentiable"]), entry["why"]]
        for entry in entries
    ]
    return [["name", "shape", "type", "differentiable", "why"], *rows]


def _outputs(entries: list[dict[str, Any]]) -> list[list[str]]:
    rows = [
        [
            entry["name"],
            entry["shape"],
            entry["head"] or entry["by"],
            _yes(entry["logits_found"]),
            entry["note"],
        ]
        for entry in entries
    ]
    traced = any(entry["head"] for entry in entries)
    return [["name", "shape", "head" if traced else "given out by", "logits found", "note"], *rows]


def _layers(entries: list[dict[str, Any]]) -> list[list[str]]:
    rows = [
        [
            entry["path"],
            entry["type"],
            entry["shape"],
            "?" if entry["parameters"] is None else f"{entry['parameters']:,}",
        ]
        for entry in entries
    ]
    return [["path", "type", "shape", "parameters"], *rows]


def _section(title: str, rows: list[list[str]], width: int) -> Iterator[str]:
    if len(rows) < 2:
        return
    # A column in which nobody says anything is noise.
    kept = [place for place in range(len(rows[0])) if any(row[place] for row in rows[1:])]
    header, *body = [[printable(row[place]) for place in kept] for row in rows]
    yield from ("", title)
    yield from (
        f"  {text}" for text in table(header, body, (width if is_terminal(sys.stdout) else width_of_stdout()) - 2)
    )


def _paragraph(title: str, text: str, width: int) -> Iterator[str]:
    yield ""
    yield from textwrap.wrap(f"{title}: {printable(text)}", width, subsequent_indent="  ")


def _yes(value: bool | None) -> str:
    return "" if value is None else "yes" if value else "no"
