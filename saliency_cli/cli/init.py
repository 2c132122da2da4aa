"""`saliency init`: a policy and a baseline from the model as it is, or the workflow that checks them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from saliency_cli.cli.model_options import MODEL_HELP, MODEL_OPTIONS
from saliency_cli.cli.parameters import Choice, SectionCommand, SectionOption
from saliency_cli.cli.telling import say, tell

_OPENING = tuple(names[-1] for names, _ in MODEL_OPTIONS)


class InitCommand(SectionCommand):
    """The layout of `saliency init --help`."""

    sections = ("Policy", "Preparing", "Target", "Workflow", "Model", "Display")
    examples = (
        ("saliency init model.keras ci/images/ --preprocess unit", "writes saliency.toml and saliency-baseline/"),
        ("saliency init --github > .github/workflows/saliency.yml", "checks it on every push"),
    )


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def _option(section: str, *names: str, **attributes: Any) -> Decorator:
    return click.option(*names, cls=SectionOption, section=section, **attributes)


def _opening_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for names, attributes in reversed(MODEL_OPTIONS):
        function = _option("Model", *names, **attributes)(function)
    return function


_FILE = click.Path(dir_okay=False)


@click.command(cls=InitCommand)
@click.argument("model", type=click.Path(), required=False, help=MODEL_HELP)
@click.argument("inputs", metavar="[INPUT]...", nargs=-1, type=click.Path(), help="Files, folders, quoted globs.")
@_option("Policy", "-o", "--out", "out", type=_FILE, default="saliency.toml", metavar="FILE", help="The policy.")
@_option(
    "Policy",
    "--profile",
    "profile",
    type=Choice(("reexport", "finetune", "retrain")),
    default="finetune",
    help="What happens to the model between checks: the same weights saved anew, trained on, or trained afresh.",
)
@_option("Policy", "--overwrite", "overwrite", is_flag=True, help="Replace a policy and a baseline that are there.")
@_option("Preparing", "--preprocess", "preprocess", default="auto", metavar="NAME", help="As for `saliency compute`.")
@_option("Target", "--target", "target", default="top", metavar="TEXT", help="As for `saliency compute`.")
@_option("Target", "--labels", "labels", type=_FILE, metavar="FILE", help="The true classes, lines path,label.")
@_option("Target", "--class-names", "class_names", type=_FILE, metavar="FILE", help="The names of the classes.")
@_option("Workflow", "--github", "github", is_flag=True, help="Print a GitHub workflow, and do nothing else.")
@_option("Workflow", "--gitlab", "gitlab", is_flag=True, help="Print a GitLab job, and do nothing else.")
@_opening_options
@_option("Display", "-q", "--quiet", "quiet", is_flag=True, help="Print errors only.")
@_option("Display", "--debug", "debug", is_flag=True, help="Print the whole traceback of an error.")
@click.pass_context
def init(context: click.Context, /, **given: Any) -> int:
    """Write a policy and a baseline, with limits from what the model measures now."""
    if given["github"] or given["gitlab"]:
        return _workflow(context, given)
    if given["model"] is None or not given["inputs"]:
        raise click.UsageError("a model and the inputs to check it on were expected", context)
    from saliency_cli.cli.terminal import Display, Terminal

    terminal = Terminal(Display(form="none", quiet=given["quiet"]))
    try:
        terminal.loading(given["model"])
        from saliency_cli.runs.check import init as module
        from saliency_cli.runs.check.request import CheckRequest

        opening = CheckRequest(**{field: given[field] for field in _OPENING}, command=context.find_root().obj or ())
        kept = ("model", "inputs", "profile", "preprocess", "target", "labels", "class_names", "overwrite")
        request = module.InitRequest(**{key: given[key] for key in kept}, out=Path(given["out"]), opening=opening)
        found = module.initialise(request, terminal)
        terminal.close()
    finally:
        terminal.close()
    click.echo(f"{found.policy}\n{found.baseline}")
    if not given["quiet"]:
        from saliency_cli.runs.check.policy import NAME

        say(f"limits from {found.inputs:,} inputs: read them, then commit both")
        named = "" if given["out"] == NAME else f" {given['out']}"
        tell("hint", f"saliency check{named}; saliency init --github prints the workflow")
    return 0


def _workflow(context: click.Context, given: dict[str, Any]) -> int:
    if given["github"] and given["gitlab"]:
        raise click.UsageError("--github and --gitlab exclude each other", context)
    if given["model"] is not None:
        kind = "github" if given["github"] else "gitlab"
        raise click.UsageError(f"--{kind} prints a workflow and measures nothing: leave the model away", context)
    from saliency_cli.reports import workflows

    click.echo((workflows.github if given["github"] else workflows.gitlab)(given["out"]), nl=False)
    return 0
