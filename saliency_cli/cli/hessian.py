"""`saliency hessian`: how a target curves."""

from typing import TYPE_CHECKING, Any

import click

from saliency_cli.cli import study
from saliency_cli.cli.compute_options import out_option, own_option
from saliency_cli.cli.parameters import Choice, SectionCommand

if TYPE_CHECKING:
    from saliency_cli.records import ItemRecord


class HessianCommand(SectionCommand):
    """The layout of `saliency hessian --help`."""

    sections = study.SECTIONS
    examples = (
        ("saliency hessian model.keras cat.png", "curvature along the gradient, diagonal, top eigenvalues"),
        ("saliency hessian relu.keras cat.png --smooth-relu 10", "of a network of ReLUs, which is flat as it is"),
        ("saliency hessian model.keras x.npy --direction v.npy -o hv.npz", "H times a vector of your own"),
    )


_OWN = ("top", "probes", "matrix", "direction", "steps", "smooth")


@click.command(cls=HessianCommand)
@study.study_options(
    own_option("--top", "top", type=click.IntRange(min=0), default=3, metavar="N",
               help="How many eigenvalues of largest magnitude, with their vectors."),
    own_option("--probes", "probes", type=click.IntRange(min=0), default=32, metavar="N",
               help="How many random signs the diagonal of a large input is estimated from; 0 for none of it."),
    own_option("--matrix", "matrix", type=Choice(("auto", "yes", "no")), default="auto",
               help="Ask for all of the second derivative, one product for each value; auto: of inputs up to 256."),
    own_option("--direction", "direction", metavar="gradient|random|FILE", default="gradient",
               help="The vector that the second derivative is multiplied with."),
    own_option("--steps", "steps", type=click.IntRange(min=1), default=200, metavar="N",
               help="How many products the eigenvalues of a large input may take."),
    own_option("--smooth-relu", "smooth", type=float, metavar="β", show_default="ReLUs as they are",
               help="Take softplus(βx)/β for each ReLU: with β 10 it is at most 0.07 above it."),
    out_option("NAME.hessian.npz and .png in the current folder",
               "FILE.npz or FILE.png for one input, a folder for many."),
)  # fmt: skip
@click.pass_context
def hessian(context: click.Context, /, **given: Any) -> int:
    """Measure how a target curves: H·v, the diagonal, the top eigenvalues.

    A network of ReLUs is flat almost everywhere, which is told; --smooth-relu gives it a curve.
    """
    own = {name: given.pop(name) for name in _OWN}

    def build() -> Any:
        from saliency_cli.studies.hessian import Hessian

        return Hessian(**own)

    return study.run(context, given, build, _told)


def _told(record: "ItemRecord") -> str:
    results = record.results
    if results.get("flat"):
        return "flat: H = 0"
    along, top = results.get("curvature_along_gradient"), results.get("top_eigenvalue")
    return f"gᵀHg/g² {_number(along)}  λ {_number(top)}"


def _number(value: Any) -> str:
    return "none" if value is None else f"{value:.3g}"
