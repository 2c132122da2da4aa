"""`saliency jacobian`: every output's derivative by every input."""

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from saliency_cli.cli import study
from saliency_cli.cli.compute import displayed, request_of
from saliency_cli.cli.compute_options import out_option, own_option
from saliency_cli.cli.parameters import Choice, SectionCommand

if TYPE_CHECKING:
    from saliency_cli.cli.terminal import Terminal
    from saliency_cli.records import ItemRecord
    from saliency_cli.studies.jacobian_asking import Way

_LARGE = 1e9


class JacobianCommand(SectionCommand):
    """The layout of `saliency jacobian --help`."""

    sections = study.SECTIONS
    examples = (
        ("saliency jacobian model.keras cat.png", "every class by every pixel: cat.jacobian.npz and a picture"),
        ("saliency jacobian model.keras photos/ -o out --classes cat,dog,7", "rows of three classes, a folder"),
        ("saliency jacobian model.keras x.npy --output-name mask --mode forward", "a column at a time"),
    )


@click.command(cls=JacobianCommand)
@study.study_options(
    own_option("--output-name", "outputs", multiple=True, metavar="NAME", show_default="all",
               help="An output to differentiate; repeat for several."),
    own_option("--classes", "classes", multiple=True, metavar="CLASS[,CLASS…]", show_default="every value",
               help="Rows for these classes alone, by name or index; of an output with places the mean over them."),
    own_option("--mode", "mode", type=Choice(("auto", "forward", "reverse")), default="auto",
               help="A column at a time, a row at a time, or whichever is cheaper for the shape."),
    out_option("NAME.jacobian.npz and .png in the current folder",
               "FILE.npz or FILE.png for one input, a folder for many."),
    without=("target", "output_name", "loss", "label", "labels"),
)  # fmt: skip
@click.pass_context
def jacobian(context: click.Context, /, **given: Any) -> int:
    """Write every output's derivative by every input, whole.

    The arrays go into an .npz with named axes; a picture shows a heat map for each class.
    """
    texts = given.pop("classes")
    classes = tuple(name.strip() for text in texts for name in text.split(",") if name.strip())
    if texts and not classes:
        raise click.UsageError("--classes names no class; leave it away for every value", context)
    mode = given.pop("mode")
    given = {"methods": (("gradient",),), **given, "target": "all", "label": None, "labels": None}
    request = request_of(context, given)
    with displayed(given, request, tell=_told) as terminal:
        from saliency_cli.runs.studying import run_study
        from saliency_cli.studies.jacobian import Jacobians

        jacobians = Jacobians(classes, mode, watch=partial(_show, terminal))
        return run_study(request, jacobians, terminal).exit_code


def _show(terminal: "Terminal", identity: str, way: "Way") -> None:
    """Say how far a large Jacobian has got, and of one that takes long and much room how large it will be."""
    if not way.done and way.size >= _LARGE:
        rows, columns = way.shape
        terminal.notice(
            f"{identity}: the Jacobian of '{way.output}' is {rows:,} × {columns:,}, {way.size / 1e9:.1f} GB and "
            f"{way.total:,} gradients; --classes or --output-name asks for less of it"
        )
    kind = "row" if way.mode == "reverse" else "column"
    terminal.working(f"{identity}: {way.output}, {kind} {way.done:,} of {way.total:,}")


def _told(record: "ItemRecord") -> str:
    pairs = record.results.get("pairs") or []
    shapes = ", ".join("×".join(map(str, pair.shape)) for pair in pairs[:2])
    more = f" +{len(pairs) - 2}" if len(pairs) > 2 else ""
    norm = record.results.get("norm")
    return f"{shapes}{more}" + ("" if norm is None else f" |J| {norm:.3g}")
