"""`saliency parameters`: the gradient of a target or a loss by the model's weights."""

from typing import TYPE_CHECKING, Any

import click

from saliency_cli.cli import study
from saliency_cli.cli.compute import displayed, request_of
from saliency_cli.cli.compute_options import CLIPPING, out_option, own_option
from saliency_cli.cli.parameters import Choice, SectionCommand

if TYPE_CHECKING:
    from collections.abc import Iterator

    from saliency_cli.runs.report import Report
    from saliency_cli.studies.parameters_found import LayerRecord


class ParametersCommand(SectionCommand):
    """The layout of `saliency parameters --help`."""

    sections = study.SECTIONS
    examples = (
        (
            "saliency parameters model.keras photos/ --loss categorical_crossentropy --labels labels.csv",
            "a table of the layers: how long their gradients are, and which learn nothing",
        ),
        (
            "saliency parameters model.keras batch.npy --loss mse --label 0 -o gradients.npz",
            "the gradient of the mean loss, an array for each weight, ready for an optimizer",
        ),
        (
            "saliency parameters model.keras photos/ --target label --labels labels.csv --per-sample -o out",
            "each input's own gradient too, and a chart of the layers",
        ),
    )


_OWN = ("reduction", "per_sample", "all_weights", "vanishing", "exploding")


@click.command(cls=ParametersCommand)
@study.study_options(
    own_option("--reduction", "reduction", type=Choice(("mean", "sum")), default="mean",
               help="Over the inputs: the mean, as a loss takes it over a batch, or the sum."),
    own_option("--per-sample", "per_sample", is_flag=True,
               help="Write each input's own gradient too, with the inputs as first axis; -o FILE.npz holds these."),
    own_option("--all-weights", "all_weights", is_flag=True,
               help="Those too that training leaves as they are: moving statistics, frozen layers."),
    own_option("--vanishing", "vanishing", type=float, default=1e-3, metavar="N",
               help="A layer's gradient vanishes where, relative to its weights, it is below N times the median's."),
    own_option("--exploding", "exploding", type=float, default=1e3, metavar="N",
               help="… and explodes where it is above N times that."),
    *(own_option(*names, **attributes) for names, attributes in CLIPPING),
    out_option("nothing written", "FILE.npz of the gradients, FILE.png of the layers, or a folder for both."),
    without=("fold", "seed"),
)  # fmt: skip
@click.pass_context
def parameters(context: click.Context, /, **given: Any) -> int:
    """Tell the gradient of a target or a loss by the model's weights, layer by layer.

    Over all inputs together, in inference mode: batch normalisations use their moving statistics, dropout is off.
    Without -o nothing is written; a folder gets gradients.npz and layers.png.
    """
    own = {name: given.pop(name) for name in _OWN}
    if own["per_sample"] and given["out"] is None:
        raise click.UsageError("--per-sample writes each input's gradient: -o FILE.npz or -o DIR says where", context)
    request = request_of(context, {"methods": (("gradient",),), **given, "by_weights": True})
    with displayed(given, request, items=request.dry_run) as terminal:
        from saliency_cli.runs.studying import run_study
        from saliency_cli.studies.parameters import Parameters

        report = run_study(request, Parameters(**own), terminal)
        if not (given["as_json"] or given["as_jsonl"] or given["quiet"] or request.dry_run):
            for line in layer_table(report):
                click.echo(line)
        return report.exit_code


def layer_table(report: "Report") -> "Iterator[str]":
    """Yield the lines of the table, and what is noticed of the layers below it."""
    from saliency_cli.cli.tables import table, width_of_stdout

    results = report.run.results
    layers: list[LayerRecord] = results.get("layers", [])
    if not layers:
        return
    rows = [
        [
            each.layer or "the model",
            f"{each.size:,}",
            f"{each.l2:.3g}",
            f"{each.max:.3g}",
            f"{each.zeros:.0%}",
            f"{each.typical:.3g}",
            "" if each.relative is None else f"{each.relative:.2g}",
            "" if each.of_median is None else f"{each.of_median:.2g}",
            each.verdict,
        ]
        for each in layers
    ]
    header = ["layer", "weights", "|g|", "max", "zeros", "typical", "typical/|w|", "of median", ""]
    yield from table(header, rows, width_of_stdout())
    over = f"{report.run.options['reduction']} over {results['n']:,} inputs" if results["n"] > 1 else "one input"
    noise = results["noise_scale"]
    told = [f"all layers: {results['weights']:,} weights, |g| {results['norm']:.4g}, {over}"]
    told += [f"noise scale {noise:.3g}"] if noise is not None else []
    yield ", ".join(told)
    if "norm_before" in results:
        yield f"clipped from |g| {results['norm_before']:.4g}"
    if lost := results["disconnected"]:
        more = f" and {len(lost) - 8} more" if len(lost) > 8 else ""
        yield f"the target doesn't depend on: {', '.join(lost[:8])}{more}"
