"""`saliency maximize`: inputs that raise a class, a channel or a unit of a model."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from saliency_cli.cli import study
from saliency_cli.cli.compute import displayed, request_of
from saliency_cli.cli.compute_options import out_option, own_option
from saliency_cli.cli.parameters import Choice, NamedPair, SectionCommand

if TYPE_CHECKING:
    from saliency_cli.cli.terminal import Terminal
    from saliency_cli.records import ItemRecord

ANIMATIONS = ("gif", "apng", "webp")


class Sizes(click.ParamType[tuple[int, ...]]):
    """`ROWS,COLUMNS`, or one number of steps: whole numbers above 0."""

    name = "sizes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Split at the commas."""
        if isinstance(value, tuple):
            return value
        parts = str(value).lower().replace("x", ",").replace("×", ",").split(",")
        if not all(part.strip().isascii() and part.strip().isdigit() and int(part) for part in parts):
            self.fail(f"'{value}' is not ROWS,COLUMNS", param, ctx)
        return tuple(int(part) for part in parts)


class MaximizeCommand(SectionCommand):
    """The layout of `saliency maximize --help`."""

    sections = study.SECTIONS
    examples = (
        ("saliency maximize model.keras --target cat", "what raises the logit of a class, from noise"),
        ("saliency maximize model.keras --layer conv3 --channel 0-15 -o out", "16 channels, and all on one sheet"),
        ("saliency maximize model.keras cat.png --layer conv3 --steps 64 -o dream.gif", "what a layer makes of it"),
    )


_CLIMB = ("steps", "optimizer", "tv", "l2", "blur")
_MANNER = ("parametrization", "jitter", "rate", "valid_range", "range_of")
_OBJECTIVE = ("targets", "layer", "channel", "unit")
_OWN = (*_OBJECTIVE, *_CLIMB, *_MANNER, "every", "animation", "only", "sizes")


@click.command(cls=MaximizeCommand)
@study.study_options(
    own_option("--target", "targets", multiple=True, metavar="CLASS",
               help="The class to raise, by name or number; a sum such as 'cat - dog'; of pictures also top. "
                    "Repeat for several."),
    own_option("--layer", "layer", metavar="PATH",
               help="Raise what a layer gives out instead, without --channel and --unit the mean square of all "
                    "of it; `saliency inspect` lists the layers."),
    own_option("--channel", "channel", metavar="N[-M][,…]",
               help="A channel of the layer, its mean over places; several as 0-8,12."),
    own_option("--unit", "unit", metavar="ROW,COLUMN,CHANNEL", help="One unit of the layer."),
    own_option("--steps", "steps", type=click.IntRange(min=1), default=256, metavar="N",
               help="How many steps uphill."),
    own_option("--parametrization", "parametrization", type=Choice(("auto", "fourier", "pixel")), default="auto",
               help="What is varied: waves with the colours of photographs (fourier), or every value (pixel). auto: "
                    "waves from noise, values from an input that is given, or has no places."),
    own_option("--optimizer", "optimizer", type=Choice(("adam", "gradient")), default="adam",
               help="How a gradient becomes a step: adam, or a step of one length along it."),
    own_option("--learning-rate", "rate", type=click.FloatRange(min=0, min_open=True), metavar="N",
               show_default="0.05 for waves, 0.02 of the range for values", help="The length of a step."),
    own_option("--jitter", "jitter", type=click.IntRange(min=0), metavar="N",
               show_default="a sixteenth of the shorter side",
               help="Shift the input by up to N places for each step."),
    own_option("--tv", "tv", type=click.FloatRange(min=0), default=0.1, metavar="W",
               help="How much differences of neighbours (total variation) count against it."),
    own_option("--l2", "l2", type=click.FloatRange(min=0), default=0.0, metavar="W",
               help="How much the distance from the start, or from the middle of the range, counts against it."),
    own_option("--blur", "blur", type=click.FloatRange(min=0), default=0.0, metavar="S",
               help="Blur after each step, σ in places, falling to none by the end."),
    own_option("--size", "sizes", type=Sizes(), default=(), metavar="ROWS,COLUMNS", show_default=False,
               help="The size of what is made, where the model leaves it open."),
    own_option("--only", "only", multiple=True, metavar="INPUT", show_default="all",
               help="Vary this input of the model and hold the others; repeat for several."),
    own_option("--valid-range", "valid_range", type=NamedPair(), multiple=True, metavar="[NAME=]LOW,HIGH",
               show_default="0,255 for pictures",
               help="How far a value of an array may go, in the file's own units: of all inputs, or of the one "
                    "of that name; repeat for several."),
    own_option("--range-of", "range_of", type=click.Path(dir_okay=False), metavar="FILE",
               help="How far each value may go, by the samples of a table or a stack of arrays."),
    own_option("--every", "every", type=click.IntRange(min=0), default=0, metavar="N", show_default="none",
               section="Output", help="Keep the picture after every N-th step."),
    own_option("--animation", "animation", type=Choice(ANIMATIONS), show_default="none, or by the suffix of -o",
               section="Output", help="Write the way there as an animation."),
    out_option("NAME.maximize.png in the current folder; of an array NAME.maximize.npy",
               "A file for one (.png, .npy, or an animation), a folder for several."),
    without=("target", "loss", "label", "labels"),
)  # fmt: skip
@click.pass_context
def maximize(context: click.Context, /, **given: Any) -> int:
    """Make an input that raises a class, a channel, a unit or a layer.

    From noise, or from the pictures given. What is written is read back, and the target's value there recorded.
    """
    own = {name: given.pop(name) for name in _OWN}
    given = {"methods": (("gradient",),), **given, "target": _named(own["targets"])}
    request = request_of(context, given, inputs_needed=False)
    if own["animation"] is None and request.out and Path(request.out).suffix.lower()[1:] in ANIMATIONS:
        own["animation"] = Path(request.out).suffix.lower()[1:]
    with displayed(given, request, tell=told) as terminal:
        from saliency_cli.runs.studying import run_study

        return run_study(request, _study(own, terminal), terminal).exit_code


def _named(targets: tuple[str, ...]) -> str:
    """Return what the run as a whole is asked about; for a layer it plays no part, and class 0 is always there."""
    return targets[0] if targets else "0"


def _study(own: dict[str, Any], terminal: "Terminal") -> Any:
    from saliency_cli.maximizing.ascending import Climb
    from saliency_cli.studies.maximize import Maximize
    from saliency_cli.studies.maximize_canvases import Manner
    from saliency_cli.studies.maximize_objectives import objectives_of

    def watch(identity: str, frame: Any, steps: int, start: float) -> None:
        words = f"{identity}: step {frame.step} of {steps}, {_number(start)} → {_number(frame.value)}"
        terminal.working(words, frame.pixels)

    ranges = study.ranges(own["valid_range"])
    return Maximize(
        objectives=objectives_of(*(own[name] for name in _OBJECTIVE)),
        climb=Climb(**{name: own[name] for name in _CLIMB}),
        manner=Manner(**{name: own[name] for name in _MANNER if name != "valid_range"}, valid_range=ranges),
        every=own["every"],
        animation=own["animation"],
        only=own["only"],
        sizes=own["sizes"],
        watch=watch,
    )


def told(record: "ItemRecord") -> str:
    """Return `cat −2.1 → 14.3`."""
    results = record.results
    if "start" not in results:
        return ""
    return f"{results['objective']} {_number(results['start'])} → {_number(results['written'])}"


def _number(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")
