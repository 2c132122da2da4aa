"""The group `saliency`: commands named in a table and imported only when called."""

import importlib
from pathlib import Path
from typing import cast

import click

from saliency_cli import __version__

COMMANDS = {
    "compute": (
        "saliency_cli.cli.compute:compute",
        "Draw which parts of an input a model's output depends on.",
    ),
    "evaluate": (
        "saliency_cli.cli.evaluate:evaluate",
        "Measure maps: sensitivity, stability, faithfulness, place.",
    ),
    "compare": ("saliency_cli.cli.compare:compare", "Put two models' maps of the same inputs side by side."),
    "check": (
        "saliency_cli.cli.check:check",
        "Hold a model to the rules of a policy; exit code 1 says that one is broken.",
    ),
    "init": (
        "saliency_cli.cli.init:init",
        "Write a policy and a baseline, with limits from what the model measures now.",
    ),
    "perturb": (
        "saliency_cli.cli.perturb:perturb",
        "Change inputs a little so that the model's answer changes: for testing your own model.",
    ),
    "maximize": (
        "saliency_cli.cli.maximize:maximize",
        "Make an input that raises a class, a channel, a unit or a layer.",
    ),
    "jacobian": (
        "saliency_cli.cli.jacobian:jacobian",
        "Write every output's derivative by every input, whole.",
    ),
    "hessian": (
        "saliency_cli.cli.hessian:hessian",
        "Measure how a target curves: H·v, the diagonal, the top eigenvalues.",
    ),
    "parameters": (
        "saliency_cli.cli.parameters_command:parameters",
        "Tell the gradient of a target or a loss by the model's weights, layer by layer.",
    ),
    "inspect": ("saliency_cli.cli.inspect:inspect", "Show what a saved model takes, gives and is made of."),
    "methods": ("saliency_cli.cli.methods:methods", "List the attribution methods, or tell all about one."),
    "metrics": (
        "saliency_cli.cli.metrics:metrics",
        "List what can be measured, or tell all about one metric.",
    ),
    "attacks": ("saliency_cli.cli.attacks:attacks", "List the attacks of `perturb`, or tell all about one."),
    "completion": ("saliency_cli.cli.completion:completion", "Print the completion script of a shell."),
}

MODEL_SUFFIXES = (".keras", ".h5", ".hdf5", ".pb")

_SHOWN_ARGUMENTS = 4


class LazyGroup(click.Group):
    """A group whose help is the table and whose commands are imported one at a time."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the table's order: the main command first."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, _, function = COMMANDS[cmd_name][0].partition(":")
        return cast(click.Command, getattr(importlib.import_module(module), function))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table, importing nothing."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say what was probably meant."""
        if args[0] not in COMMANDS and not ctx.resilient_parsing:
            if kind := _file_kind(args[0]):
                raise click.UsageError(f"'{args[0]}' is a {kind}, not a command. {_meant(args)}", ctx)
            raise click.exceptions.NoSuchCommand(args[0], possibilities=COMMANDS, ctx=ctx)
        return super().resolve_command(ctx, args)


def _file_kind(name: str) -> str:
    if Path(name).is_dir():
        return "folder"
    return "file" if name.lower().endswith(MODEL_SUFFIXES) or Path(name).exists() else ""


def _meant(args: list[str]) -> str:
    import shlex

    # A glob may have become thousands of names; the first few show the idea.
    shown = shlex.join(args[:_SHOWN_ARGUMENTS]) + (" …" if len(args) > _SHOWN_ARGUMENTS else "")
    return f"Did you mean: saliency compute {shown}?"


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
    epilog="First steps: saliency compute model.keras cat.png",
)
@click.version_option(__version__, "-V", "--version", message="saliency %(version)s")
def saliency() -> None:
    """Show what a saved Keras or TensorFlow model looks at."""
