"""`saliency perturb`: small changes of inputs that change what a model says of them."""

from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from saliency_cli.cli import study
from saliency_cli.cli.compute_options import out_option, own_option
from saliency_cli.cli.parameters import Choice, NamedPair, SectionCommand

if TYPE_CHECKING:
    from saliency_cli.records import ItemRecord, RunRecord


class AttackName(click.ParamType[str]):
    """The name of one attack, checked against the files of the room, not imported."""

    name = "attack"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name. Raises `saliency_cli.errors.UsageError` for an unknown one."""
        del param, ctx
        attack_registry().summary(str(value))
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[Any]]:
        """Complete the name."""
        del ctx, param
        registry = attack_registry()
        names = [name for name in registry.names() if name.startswith(incomplete)]
        return [CompletionItem(name, help=registry.summary(name)) for name in names]


def attack_registry() -> Any:
    """Return the registry of attacks, imported late to keep the start cheap."""
    from saliency_cli.registry import Registry

    return Registry[Any]("saliency_cli.attacks", "attack")


class PerturbCommand(SectionCommand):
    """The layout of `saliency perturb --help`."""

    sections = study.SECTIONS
    examples = (
        ("saliency perturb model.keras cat.png -o out", "what changes the class within 8 of 255 steps"),
        ("saliency perturb model.keras photos/ -o out --smallest", "and the smallest ε that does, for each"),
        ("saliency perturb model.keras cat.png --to dog --norm 2 --epsilon 500", "towards one class, in ℓ2"),
    )


_OWN = ("attack", "options", "epsilon", "norm", "to", "smallest", "only", "valid_range", "formats")
_EPSILON = "How far the input may be moved, in the units of its file: steps of 255 for pictures."


@click.command(cls=PerturbCommand)
@study.study_options(
    own_option("--attack", "attack", type=AttackName(), default="pgd", metavar="NAME",
               help="How to search; `saliency attacks` lists them."),
    own_option("-p", "options", multiple=True, metavar="KEY=VALUE",
               help="An option of the attack; `saliency attacks NAME` shows them."),
    own_option("--epsilon", "epsilon", type=float, metavar="ε",
               show_default="8/255 of the range; with --norm 2 a root mean square of 2/255", help=_EPSILON),
    own_option("--norm", "norm", type=Choice(("inf", "2")), default="inf",
               help="How far is measured: every value on its own (inf), or all together (2)."),
    own_option("--to", "to", metavar="CLASS", show_default="any other class",
               help="The class to reach, by name or index."),
    own_option("--smallest", "smallest", is_flag=True,
               help="Look for the smallest ε that changes the class, by bisection in the steps of the format."),
    own_option("--only", "only", multiple=True, metavar="INPUT", show_default="all",
               help="Move this input of the model and hold the others; repeat for several."),
    own_option("--valid-range", "valid_range", type=NamedPair(), multiple=True, metavar="[NAME=]LOW,HIGH",
               show_default="0,255 for pictures",
               help="How far a value of an array may go, in the file's own units: of all inputs, or of the one "
                    "of that name; repeat for several."),
    own_option("--format", "formats", type=Choice(("after", "before", "difference", "panel", "all")), multiple=True,
               section="Output", show_default="all; of several inputs all but the panels",
               help="What to write beside the perturbed input (after) itself; repeat for several. A panel shows all "
                    "with what the model sees, and takes longest to draw."),
    out_option("NAME.perturb.after.png and others in the current folder; of an array NAME.perturb.npy",
               "FILE.png or FILE.npy for one input, a folder for many."),
    without=("target", "space", "loss"),
)  # fmt: skip
@click.pass_context
def perturb(context: click.Context, /, **given: Any) -> int:
    """Change inputs a little so that the model's answer changes: for testing your own model.

    The true class is the input's label where one is given, else the one on top. What is written is read back and
    asked about again before it counts.
    """
    own = {name: given.pop(name) for name in _OWN}
    if given["label"] is not None or given["labels"] is not None:
        given["target"] = "label"

    def build() -> Any:
        from saliency_cli.studies.perturb import Perturb

        return Perturb(
            settings=_settings(own.pop("options")), valid_range=study.ranges(own.pop("valid_range")), **own
        )

    return study.run(context, given, build, _told, sum_up=_summed_up)


def _settings(texts: tuple[str, ...]) -> dict[str, str]:
    """Return `-p key=value` as settings. Raises `UsageError` for what is none."""
    from saliency_cli.errors import UsageError

    settings = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise UsageError(f"-p {text}: 'KEY=VALUE' was expected", hint="saliency attacks NAME shows the options")
        settings[key.strip()] = value.strip()
    return settings


def _told(record: "ItemRecord") -> str:
    results = record.results
    if results.get("outcome") == "already":
        return f"{results['before']['label']}: already"
    if results.get("outcome") != "flipped":
        epsilon = results.get("epsilon")
        return "not flipped" if epsilon is None else f"not flipped within {epsilon:g}"
    smallest = results.get("smallest_epsilon")
    least = "" if smallest is None else f" at {smallest:.3g}"
    return f"{results['before']['label']} → {results['after']['label']}{least}"


def _summed_up(run: "RunRecord") -> str:
    tried, flipped, already = (run.results.get(key, 0) for key in ("tried", "flipped", "already"))
    told = [f"{flipped:,} of {tried:,} flipped"] if tried else []
    return ", ".join([*told, *([f"{already:,} already"] if already else [])])
