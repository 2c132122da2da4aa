"""`saliency compute`: the command line becomes a request, the run's report an exit code."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from saliency_cli.cli.compute_options import FIELDS, SECTIONS, compute_options
from saliency_cli.cli.parameters import SectionCommand
from saliency_cli.runs.request import ComputeRequest

if TYPE_CHECKING:
    from saliency_cli.cli.terminal import Terminal
    from saliency_cli.records import ItemRecord, RunRecord


class ComputeCommand(SectionCommand):
    """The layout of `saliency compute --help`."""

    sections = SECTIONS
    examples = (
        ("saliency compute model.keras cat.png", "draws cat.saliency.png: what the top class depends on"),
        ("saliency compute model.keras photos/ -o out --class-names names.txt", "a folder, into a folder"),
        (
            "saliency compute model.keras cat.png --method smoothgrad -p draws=200",
            "another method, set finer",
        ),
    )


@click.command(cls=ComputeCommand)
@compute_options
@click.pass_context
def compute(context: click.Context, /, **given: Any) -> int:
    """Draw which parts of an input a model's output depends on."""
    request = request_of(context, given)
    with displayed(given, request) as terminal:
        from saliency_cli.runs.compute import compute as run_compute

        return run_compute(request, listen=terminal).exit_code


@contextmanager
def displayed(
    given: dict[str, Any],
    request: ComputeRequest,
    *,
    items: bool = True,
    tell: "Callable[[ItemRecord], str] | None" = None,
    sum_up: "Callable[[RunRecord], str] | None" = None,
) -> "Iterator[Terminal]":
    """Show a run as the options of display ask for; an interrupted one says how to go on.

    `items` off: the lines of single inputs are left to `--json` and `--jsonl`. `tell` puts what was found of an
    input into a few words, in place of its prediction and its map's norm; `sum_up` does so with the run's results.
    """
    from saliency_cli.cli.terminal import Display, Terminal

    display = Display(
        form="json" if given["as_json"] else "jsonl" if given["as_jsonl"] else "lines" if items else "none",
        quiet=given["quiet"],
        verbose=given["verbose"],
        out=request.out,
        dry_run=request.dry_run,
        tell=tell,
        sum_up=sum_up,
    )
    terminal = Terminal(display)
    if given["verbose"] > 1:
        os.environ["SALIENCY_TENSORFLOW_LOG"] = "1"
    try:
        terminal.loading(request.model)  # before the import: that alone takes a moment
        yield terminal
    except KeyboardInterrupt as stop:
        _say_how_to_go_on(stop, request, terminal.done + terminal.failed, terminal.total)
        raise
    finally:
        terminal.close()


def request_of(context: click.Context, given: dict[str, Any], *, inputs_needed: bool = True) -> ComputeRequest:
    """Build the request; refuse what can't be meant together before anything heavy is imported."""
    _refuse_both(context, given, ("--json", "as_json"), ("--jsonl", "as_jsonl"))
    _refuse_both(context, given, ("--quiet", "quiet"), ("--verbose", "verbose"))
    _refuse_both(context, given, ("--resume", "resume"), ("--overwrite", "overwrite"))
    _refuse_both(context, given, ("--label", "label"), ("--labels", "labels"))
    _refuse_both(context, given, ("--clip-norm", "clip_norm"), ("--clip-value", "clip_value"))
    _refuse_both(context, given, ("--clip-norm", "clip_norm"), ("--clip-global-norm", "clip_global_norm"))
    _refuse_both(context, given, ("--clip-value", "clip_value"), ("--clip-global-norm", "clip_global_norm"))
    if given["out"] == "-" and (given["as_json"] or given["as_jsonl"]):
        raise click.UsageError(
            "'-o -' puts the picture on stdout, where the JSON would go; give one of them a file", context
        )
    if given.get("null_separated") and given["files_from"] is None:
        raise click.UsageError("--null says how --files-from is separated, and there is no --files-from", context)
    if inputs_needed and not (given["inputs"] or given["named_inputs"] or given.get("files_from")):
        raise click.UsageError("Missing argument 'INPUT...': a file, a folder, --input or --files-from", context)
    fields = {field: given[field] for field in FIELDS if field in given}
    fields["methods"] = tuple(dict.fromkeys(name for names in given["methods"] for name in names))
    command = context.find_root().obj or ()
    return ComputeRequest(**fields, command=command)


def _refuse_both(
    context: click.Context, given: dict[str, Any], first: tuple[str, str], second: tuple[str, str]
) -> None:
    if given.get(first[1]) not in (None, False, 0) and given.get(second[1]) not in (None, False, 0):
        raise click.UsageError(f"{first[0]} and {second[0]} exclude each other", context)


def _say_how_to_go_on(stop: BaseException, request: ComputeRequest, done: int, total: int | None) -> None:
    """Note on the exception what is done and what to type; the entry prints both."""
    stop.add_note(
        f"{done:,} of {total:,} done" if total else f"{done:,} done" if done else "before the first input was done"
    )
    if request.out and request.out != "-" and Path(request.out).is_dir():
        instead = " in place of --overwrite" if request.overwrite else ""
        told = "" if request.resume else f" with --resume{instead}"
        stop.add_note(f"the same command{told} goes on from there")
