"""What the commands beside `compute` share: their options of input, model, target, run and display."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from saliency_cli.cli.compute import displayed, request_of
from saliency_cli.cli.compute_options import Declared, study_arguments

if TYPE_CHECKING:
    from saliency_cli.records import ItemRecord, RunRecord
    from saliency_cli.runs.study import Study

SECTIONS = ("Study", "Input", "Model", "Preparing", "Target", "Output", "Run", "Display")


def study_options(
    *own: Declared, without: tuple[str, ...] = ()
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a callback with a command's own options and what of `compute` means the same there.

    `own` is made by `compute_options.own_option`; `without` names fields of the request that mean nothing.
    """
    return study_arguments(own, without)


def run(
    context: click.Context,
    given: dict[str, Any],
    build: "Callable[[], Study]",
    tell: "Callable[[ItemRecord], str] | None" = None,
    *,
    sum_up: "Callable[[RunRecord], str] | None" = None,
    without_inputs: bool = False,
) -> int:
    """Run a study as the command line asks.

    `build` makes it; `tell` puts one sample's results into a few words, `sum_up` those of all.
    `without_inputs`: the study may work on inputs that it makes itself.
    """
    given = {"methods": (("gradient",),), **given}
    request = request_of(context, given, inputs_needed=not without_inputs)
    with displayed(given, request, tell=tell, sum_up=sum_up) as terminal:
        from saliency_cli.runs.studying import run_study

        return run_study(request, build(), terminal).exit_code


def ranges(pairs: tuple[tuple[str, tuple[float, float]], ...]) -> dict[str, tuple[float, float]] | None:
    """Return the ranges of `--valid-range` by the name of their input. Raises `UsageError` for two of one."""
    from saliency_cli.errors import UsageError

    ranges = dict(pairs)
    if len(ranges) < len(pairs):
        twice = next(name for name in ranges if sum(name == other for other, _ in pairs) > 1)
        raise UsageError(
            f"--valid-range is given twice{f' for {twice}' if twice else ''}",
            hint="one range for all inputs, and NAME=LOW,HIGH for those of another",
        )
    return ranges or None
