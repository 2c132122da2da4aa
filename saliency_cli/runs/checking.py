"""What can be wrong with a request, as far as possible found before the model is opened."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from saliency_cli.differentiable import Method
from saliency_cli.errors import InputError, UsageError, nearest
from saliency_cli.preprocessing import BASELINES
from saliency_cli.rendering.colormaps import colormap
from saliency_cli.rendering.view import Style
from saliency_cli.runs.destination import Destination, require_untouched, require_writable
from saliency_cli.runs.engine import Engine
from saliency_cli.runs.journal import read_run, require_free
from saliency_cli.runs.naming import distinct_labels
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.sharing import share_of
from saliency_cli.runs.sources import STDIN, Source, written
from saliency_cli.subject import Metric
from saliency_cli.targets import TargetText, read_class_names


def drawing_style(request: ComputeRequest) -> Style:
    """Return how maps are drawn. Raises `UsageError` for what can't be drawn with."""
    if request.colormap is not None:
        colormap(request.colormap, signed=False)
    if not 0 <= request.alpha <= 1:
        raise UsageError(f"--alpha is {request.alpha}; it lies between 0 and 1")
    if not 0 < request.clip_percentile <= 100:
        raise UsageError(f"--clip-percentile is {request.clip_percentile}; it lies above 0 and up to 100")
    return Style(request.reduce or "max", request.colormap, request.alpha, request.clip_percentile)


def class_names(request: ComputeRequest) -> tuple[str, ...]:
    """Read the class names, each made to mean one class. Raises `UsageError` where that fails."""
    if request.class_names is None:
        return ()
    path = Path(request.class_names)
    if not path.is_file():
        raise UsageError(f"--class-names: there is no file '{path}'", hint="one name a line, or a JSON list")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"--class-names: '{path}' can't be read as UTF-8 text: {error}", hint="one name a line, or a JSON list"
        ) from None
    return distinct_labels(read_class_names(text))


def require_meaning(engine: Engine, request: ComputeRequest) -> None:
    """Raise `UsageError` where `top` would pick the largest of several regression values."""
    if engine.regression and engine.classes > 1 and request.target.strip().startswith("top"):
        raise UsageError(
            f"the output '{engine.output}' holds {engine.classes} values of a regression, and none of them is on top",
            hint=f"--target INDEX (0 to {engine.classes - 1}) or --target all",
            reason="no-top",
        )


def require_baselines(plugins: Mapping[str, Method] | Mapping[str, Metric]) -> None:
    """Raise `UsageError` for a baseline, of a method or metric, that is neither a known kind nor a file."""
    known = (*BASELINES, "noise", "zero")
    for plugin in plugins.values():
        kind = getattr(plugin, "baseline", None)
        if isinstance(kind, str) and kind not in known and not Path(kind).is_file():
            raise UsageError(
                f"no baseline is called '{kind}', and no such file is there",
                hint=nearest(kind, known) or f"there are: {', '.join(known)}, or a file",
                reason="unknown-baseline",
            )


def _stdin_uses(request: ComputeRequest) -> int:
    named = sum(path == STDIN for _, path in request.named_inputs)
    return (request.files_from == STDIN) + (STDIN in request.inputs) + named


def reads_stdin(request: ComputeRequest) -> bool:
    """Return whether an input comes on stdin."""
    return STDIN in request.inputs or any(path == STDIN for _, path in request.named_inputs)


def require_one_stdin(request: ComputeRequest) -> None:
    """Raise `UsageError` if stdin is asked for twice."""
    if _stdin_uses(request) > 1:
        raise UsageError("stdin can be read once", hint="one - only, or name the files")


def require_place(request: ComputeRequest, destination: Destination, sources: list[Source] | None) -> None:
    """Raise where the output can't go where it is asked to, before the model is opened for it."""
    if request.resume and destination.kind != "folder":
        raise UsageError("--resume goes on with a run folder", hint="-o DIR --resume")
    if request.shard is not None and destination.kind != "folder":
        raise UsageError("--shard writes into a run folder, the same for every shard", hint="-o DIR/")
    require_untouched(destination, [request.model, *(path for source in sources or () for _, path in source.parts)])
    require_writable(destination)
    if destination.kind == "folder":
        share = share_of(request, sources)
        require_free(destination.root, resume=request.resume, overwrite=request.overwrite, share=share)


def require_some(sources: list[Source] | None) -> None:
    """Raise `InputError` if none of the inputs exists: a slip of the pen is told before the model is opened."""
    errors = [source.error for source in sources or () if source.error is not None]
    if sources is None or len(errors) < len(sources):
        return
    if not errors:
        raise UsageError("no input was named", hint="a file, a folder, --input or --files-from")
    first = errors[0]
    more = f"; none of the other {len(errors) - 1} inputs can be used either" if len(errors) > 1 else ""
    raise InputError(first.message + more, hint=first.hint, reason=first.reason)


def require_inputs(request: ComputeRequest, engine: Engine) -> None:
    """Raise `UsageError` if `--input` names an input the model has not, or leaves one out."""
    names = tuple(spec.name for spec in engine.specs)
    given = tuple(dict.fromkeys(name for name, _ in request.named_inputs if name))
    for name in given:
        if name not in names:
            hint = nearest(name, names) or f"its inputs: {', '.join(names)}"
            raise UsageError(f"the model has no input '{name}'", hint=hint, reason="unknown-input")
    missing = [name for name in names if name not in given]
    if given and missing:
        hint = f"--input {missing[0]}=FILE"
        raise UsageError(f"the model's input '{missing[0]}' got no file", hint=hint, reason="missing-input")


def qualified(request: ComputeRequest, target: TargetText, destination: Destination) -> frozenset[str]:
    """Return which parts a file's name needs, as far as the request tells."""
    several = {
        "method": len(request.methods) > 1 or destination.kind == "folder",
        "target": target.every or target.top > 1,
    }
    return frozenset(key for key, more in several.items() if more)


# Methods that ask for one point at a time: a batch of one sample would be padding.
ONE_BY_ONE = {
    "gradient", "gradient-times-input", "guided-ig", "random", "edges", "grad-cam", "grad-cam++", "xgrad-cam",
    "hirescam", "layercam", "elementwise-grad-cam", "eigen-cam", "eigen-grad-cam", "fullgrad", "layer-activation",
    "layer-gradient-times-activation", "neuron-gradient",
}  # fmt: skip
_STACKABLE = (".npy", ".npz", ".csv")


def single(request: ComputeRequest, sources: list[Source] | None) -> bool:
    """Whether a run is one sample and one evaluation, for which a batch of 1 is the right shape."""
    if sources is None or len(sources) != 1:
        return False
    cheap = set(request.methods) <= ONE_BY_ONE
    return not stacked(sources[0]) and cheap and request.target.strip() != "all" and ":" not in request.target[:4]


def expected(request: ComputeRequest, sources: list[Source] | None) -> int | None:
    """Return how many points a run will ask for, where its inputs and methods tell."""
    if sources is None or not set(request.methods) <= ONE_BY_ONE or any(stacked(source) for source in sources):
        return None
    one = request.target.strip() != "all" and ":" not in request.target[:4]
    return len(sources) * len(request.methods) if one else None


def stacked(source: Source) -> bool:
    """Whether a source may hold several samples."""
    return any(Path(written(path)).suffix.lower() in _STACKABLE for _, path in source.parts)


def like_before(request: ComputeRequest, destination: Destination) -> ComputeRequest:
    """Return the request with the batch size of the run it goes on with or is a shard of, unless it names one itself.

    A run begun with one input has another shape of its own than one of many, and another shape gives other bits.
    """
    before = read_run(destination.root) if request.resume or request.shard else None
    if before is None or request.batch_size not in (None, "auto") or not before.batch_size:
        return request
    return replace(request, batch_size=before.batch_size)
