"""The options of `compute`: each stands for one field of `ComputeRequest` and takes its default there."""

import typing
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields
from typing import Any

import click

from saliency_cli.cli.model_options import MODEL_HELP, MODEL_OPTIONS
from saliency_cli.cli.parameters import (
    BatchSize,
    ByteSize,
    Choice,
    MethodName,
    MethodNames,
    MetricTexts,
    NamedPath,
    NumberPair,
    SectionOption,
    ShardText,
    module_names,
)
from saliency_cli.runs.request import ComputeRequest

SECTIONS = ("Input", "Model", "Preparing", "Target", "Method", "Output", "Run", "Display")
MEASURE_SECTIONS = ("Measure", *SECTIONS)

FIELDS = {field.name: field.default for field in fields(ComputeRequest) if field.name != "command"}

_HINTS = typing.get_type_hints(ComputeRequest)

_FILE = click.Path(dir_okay=False, allow_dash=True)


def _choices(field: str) -> Choice:
    """Return the words of a `Literal[…]` or `Literal[…] | None` field."""
    words: list[str] = []
    for part in (_HINTS[field], *typing.get_args(_HINTS[field])):
        if typing.get_origin(part) is typing.Literal:
            words += typing.get_args(part)
    return Choice(words)


Declared = tuple[str, Callable[[Any], Any]]


def _option(section: str, *names: str, **attributes: Any) -> Declared:
    """Return an option under its name, the last of `names`: the request's field."""
    if (default := FIELDS.get(names[-1], MISSING)) is not MISSING and default is not None:
        attributes.setdefault("default", default)
    return names[-1], click.option(*names, cls=SectionOption, section=section, **attributes)


def _flag(section: str, *names: str, **attributes: Any) -> Declared:
    return _option(section, *names, is_flag=True, **attributes)


_LIMIT = click.FloatRange(0, min_open=True)
CLIPPING: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("--clip-norm", "clip_norm"), {"type": _LIMIT, "metavar": "N", "show_default": "not clipped",
                                    "help": "Shorten each array that is longer than N: g·min(1, N/‖g‖)."}),
    (("--clip-value", "clip_value"), {"type": _LIMIT, "metavar": "V", "show_default": "not clipped",
                                      "help": "Clip every value to -V…V."}),
    (("--clip-global-norm", "clip_global_norm"),
     {"type": _LIMIT, "metavar": "N", "show_default": "not clipped",
      "help": "Shorten all arrays together, as one vector, to N at most: g·min(1, N/‖all‖)."}),
)  # fmt: skip

_DECLARED = (
    ("model", click.argument("model", type=click.Path(), help=MODEL_HELP)),
    ("inputs", click.argument("inputs", metavar="[INPUT]...", nargs=-1, type=click.Path(allow_dash=True),
                              help="Files, folders, quoted globs, or - for one picture on stdin.")),
    _option("Input", "--input", "named_inputs", type=NamedPath(), multiple=True, metavar="NAME=PATH",
            help="The file, folder or glob of one named input; repeat for several, paired by stem or in order."),
    _option("Input", "--files-from", "files_from", type=_FILE, metavar="FILE",
            help="Read the paths of inputs from FILE, one a line, each answered as it comes; - is stdin."),
    _flag("Input", "-0", "--null", "null_separated", help="The paths of --files-from end with a NUL byte."),
    *(_option("Model", *names, **attributes) for names, attributes in MODEL_OPTIONS),
    _option("Preparing", "--preprocess", "preprocess", metavar="NAME",
            help="How values 0…255 become the model's input: auto (looks at the model, and says what it chose), none, "
                 "unit, symmetric, imagenet-torch, imagenet-caffe, or mean=…,std=…"),
    _option("Preparing", "--resize", "resize", type=_choices("resize"),
            help="Fit a whole picture into the model's size with black borders, crop its middle, or stretch it."),
    _option("Target", "--target", "target", metavar="TEXT",
            help="What is explained: top (the predicted class), top:3, all, label (of --labels), a class by name or number, "
                 "or a sum such as 'class:3 - class:5'."),
    _option("Target", "--space", "space", type=_choices("space"),
            show_default="logit, where a softmax or sigmoid is found",
            help="Which of the class's scores is differentiated."),
    _option("Target", "--output-name", "output_name", metavar="NAME",
            help="The model's output, where it has several."),
    _option("Target", "--loss", "loss", metavar="NAME",
            help="Differentiate a loss instead, with --label or --labels: categorical_crossentropy, "
                 "sparse_categorical_crossentropy, binary_crossentropy, mse, mae, huber, compiled (saved in the model), "
                 "or FILE.py:function."),
    _option("Target", "--label", "label", metavar="VALUE", help="The true class (number or name) or value of every input."),
    _option("Target", "--labels", "labels", type=_FILE, metavar="FILE",
            help="A table of the inputs' true classes or values, lines path,label."),
    _option("Target", "--class-names", "class_names", type=_FILE, metavar="FILE",
            help="The names of the classes: one a line, or a JSON list."),
    _option("Method", "--method", "methods", type=MethodNames(), multiple=True,
            metavar="METHOD[,METHOD…]", help="How to attribute; `saliency methods` lists them."),
    _option("Method", "-p", "options", multiple=True, metavar="KEY=VALUE",
            help="An option of the method; METHOD.KEY=VALUE where there are several."),
    _option("Method", "--layer", "layer", metavar="PATH[,PATH…]", show_default="auto: the last layer with places",
            help="Where a method that looks at layers looks; `saliency inspect` lists them. Of several the maps are averaged."),
    *(_option("Method", *names, **attributes) for names, attributes in CLIPPING),
    _option("Run", "--seed", "seed", type=click.IntRange(min=0), metavar="N",
            help="The seed of everything random."),
    _option("Output", "-o", "--out", "out", type=click.Path(allow_dash=True), metavar="PATH",
            show_default="NAME.saliency.png in the current folder",
            help="A file for one input, a folder for many, - for a PNG on stdout."),
    _option("Output", "--format", "formats", type=Choice((*module_names("saliency_cli.writers"), "all")),
            multiple=True, help="What to write; repeat for several.", show_default="overlay; in a folder, heatmap and overlay"),
    _option("Output", "--layout", "layout", type=_choices("layout"),
            help="Of a folder: files of every input, or sharded: parts of rows, maps on request. auto: sharded above "
                 "10,000 inputs."),
    _option("Output", "--keep-maps", "keep_maps", metavar="WHICH", show_default="none",
            help="Which maps the sharded layout keeps: all, failing, worst:K, sample:K, none."),
    _flag("Output", "--overwrite", "overwrite", help="Replace what is in the output folder."),
    _option("Output", "--reduce", "reduce", type=_choices("reduce"),
            show_default="the method's", help="How the channels become one value a pixel; none draws each."),
    _option("Output", "--colormap", "colormap", metavar="NAME",
            show_default="two-sided for signed maps, else one-sided", help="The colours: blue-red, coolwarm, grays, inferno, jet, magma, viridis."),
    _option("Output", "--alpha", "alpha", type=click.FloatRange(0, 1), metavar="N",
            help="How strongly an overlay covers the picture."),
    _option("Output", "--clip-percentile", "clip_percentile", type=click.FloatRange(0, 100, min_open=True),
            metavar="N",
            help="The percentile of a map that gets the strongest colour."),
    _flag("Run", "-n", "--dry-run", "dry_run", help="Say what would be done, and do nothing."),
    _flag("Run", "--resume", "resume", help="Go on with the run in the output folder."),
    _flag("Run", "--strict", "strict", help="Count a map that can't be trusted as failed."),
    _option("Run", "--max-failures", "max_failures", type=click.IntRange(min=1), metavar="N",
            show_default="never", help="Stop after N failed inputs."),
    _option("Run", "--batch-size", "batch_size", type=BatchSize(), metavar="N|auto",
            show_default="1, 8 or 16, as fits", help="Points computed at once; pins the batch shape. auto: as many as fit "
            "and are worth it."),
    _option("Run", "--max-memory", "max_memory", type=ByteSize(), metavar="SIZE", show_default="three quarters of what is free",
            help="What one batch may take, such as 2GB; of --jobs, all of them together."),
    _option("Run", "--fold", "fold", type=_choices("fold"),
            help="Fold batch normalisation into the convolution before it: faster, and the same map but for float32 "
                 "rounding. auto: yes, except for one picture evaluated once."),
    _option("Run", "--device", "device", metavar="NAME", show_default="TensorFlow's choice",
            help="Where to compute: cpu, gpu, gpu:1."),
    _option("Run", "--threads", "threads", type=click.IntRange(min=1), metavar="N",
            show_default="all", help="Processor threads to use; with --jobs, of each worker."),
    _option("Run", "-j", "--jobs", "jobs", type=click.IntRange(min=1), metavar="N", show_default="1; with --engine dask one a core",
            help="Worker processes, each with the model in memory (for TensorFlow some 700 MB) and its part of the threads."),
    _option("Run", "--engine", "engine", type=_choices("engine"),
            help="Who has the workers: saliency itself, or a Dask cluster that it starts on this machine."),
    _option("Run", "--scheduler", "scheduler", metavar="ADDRESS", show_default="no cluster",
            help="Join a Dask cluster: tcp://HOST:PORT, tls://HOST:PORT, or the scheduler's file. Every worker must see the folders."),
    _option("Run", "--shard", "shard", type=ShardText(), metavar="I/N", show_default="all inputs",
            help="Do every N-th input, from the I-th on, into a folder that N such commands fill together."),
    _flag("Display", "--json", "as_json", help="Print one JSON document at the end."),
    _flag("Display", "--jsonl", "as_jsonl", help="Print one line of JSON for each input as it is finished."),
    _flag("Display", "-q", "--quiet", "quiet", help="Print errors only."),
    _option("Display", "-v", "--verbose", "verbose", count=True, show_default=False,
            help="Say how each input was prepared and what was explained; -vv lets TensorFlow's own log through."),
    _flag("Display", "--debug", "debug", help="Print the whole traceback of an error."),
)  # fmt: skip


_MASKS = _option(
    "Measure", "--masks", "masks", type=click.Path(), metavar="PATH",
    help="Where the objects are: a folder of masks named like the inputs, or a CSV of boxes path,left,top,right,bottom.",
)  # fmt: skip
_RANGE = _option(
    "Measure", "--valid-range", "valid_range", type=NumberPair(), metavar="LOW,HIGH",
    show_default="0,255 for pictures", help="How far a value of an array may go, in the file's own units.",
)  # fmt: skip
_METRICS = _option(
    "Measure", "--metric", "metrics", type=MetricTexts(), multiple=True, metavar="NAME[:KEY=VALUE,…]",
    show_default=True, help="What to measure of every map; `saliency metrics` lists them. Repeat for several.",
)  # fmt: skip
_AGAINST = _option(
    "Measure", "--against", "reference", type=click.Path(), metavar="MODEL",
    help="A second model, for the metrics that compare two maps of an input.",
)  # fmt: skip


_BEFORE_METHOD = _option(
    "Method", "--before-method", "reference_method", type=MethodName(), metavar="METHOD",
    show_default="the same", help="How the first model's maps are made, where it is another method.",
)  # fmt: skip
_BEFORE_OPTIONS = _option(
    "Method", "--before-option", "reference_options", multiple=True, metavar="KEY=VALUE",
    help="An option of --before-method.",
)  # fmt: skip
_FOLDER = _option(
    "Output", "-o", "--out", "folder", type=click.Path(file_okay=False), metavar="DIR", show_default="nothing written",
    help="A folder for compare.md, compare.json and compare.png, the inputs that changed most.",
)  # fmt: skip
_WORST = _option(
    "Output", "--worst", "worst", type=click.IntRange(min=0), default=5, metavar="N",
    help="How many of the inputs that changed most are shown.",
)  # fmt: skip
_MARKDOWN = _flag("Display", "--markdown", "as_markdown", help="Print Markdown, ready for a pull request.")
_FROM, _TO = (
    ("before", click.argument("before", type=click.Path(), help="The model to compare with.")),
    ("after", click.argument("after", type=click.Path(), help="Another model, or the same with --before-method.")),
)
_INPUTS = ("inputs", click.argument("inputs", metavar="INPUT...", nargs=-1, type=click.Path(),
                                    help="Files, folders, quoted globs."))  # fmt: skip

_NOT_STUDIED = (
    "methods", "options", "layer", "formats", "layout", "keep_maps", "reduce", "colormap", "alpha", "clip_percentile",
    "jobs", "engine", "scheduler", "shard", *(names[-1] for names, _ in CLIPPING),
)  # fmt: skip

# Of what these commands share with `compute`, the help says nothing of workers, which they have not.
_ALONE = (
    _option("Run", "--max-memory", "max_memory", type=ByteSize(), metavar="SIZE",
            show_default="three quarters of what is free", help="What one batch may take, such as 2GB."),
    _option("Run", "--threads", "threads", type=click.IntRange(min=1), metavar="N", show_default="all",
            help="Processor threads to use."),
)  # fmt: skip

_NOT_COMPARED = (
    "model", "inputs", "named_inputs", "files_from", "null_separated", "out", "formats", "layout", "keep_maps", "overwrite", "resume", "dry_run",
    "strict", "max_failures", "as_jsonl", "alpha", "colormap", "clip_percentile", "jobs", "engine", "scheduler", "shard",
)  # fmt: skip


def _decorate(function: Callable[..., Any], declared: Sequence[Declared]) -> Callable[..., Any]:
    for _, declare in reversed(declared):
        function = declare(function)
    return function


def compute_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a callback with every argument and option, in the order of the help."""
    return _decorate(function, _DECLARED)


def evaluate_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a callback with the options of `compute` and those about measuring."""
    return _decorate(function, (*_DECLARED, _METRICS, _MASKS, _AGAINST, _RANGE))


def compare_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a callback with two models and what of `compute` means something in memory."""
    kept = [declared for declared in _DECLARED if declared[0] not in _NOT_COMPARED]
    own = (_METRICS, _MASKS, _RANGE, _BEFORE_METHOD, _BEFORE_OPTIONS, _FOLDER, _WORST, _MARKDOWN)
    return _decorate(function, (_FROM, _TO, _INPUTS, *kept, *own))


def own_option(*names: str, section: str = "Study", **attributes: Any) -> Declared:
    """Return an option that a command has for itself, under its name, the last of `names`."""
    return names[-1], click.option(*names, cls=SectionOption, section=section, **attributes)


def out_option(default: str, what: str = "A file for one input, a folder for many.") -> Declared:
    """Return `-o` of a command that writes files of its own; `default` says which, without it."""
    return own_option("-o", "--out", "out", type=click.Path(allow_dash=True), metavar="PATH", section="Output",
                      show_default=default, help=what)  # fmt: skip


def study_arguments(
    own: Sequence[Declared], without: Sequence[str]
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator: `own` options, and what of `compute` means something without a map.

    An own option of a name that `compute` has too stands in its place.
    """
    kept = [declared for declared in _DECLARED if declared[0] not in (*_NOT_STUDIED, *without)]
    mine = {**dict(_ALONE), **dict(own)}
    placed = [(name, mine.pop(name, declare)) for name, declare in kept]

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        return _decorate(function, (*placed, *mine.items()))

    return decorate
