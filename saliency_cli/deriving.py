"""The other derivatives from Python: `jacobian`, `hessian`, `parameters`, `perturb`, `maximize`.

```python
import saliency_cli as sal

model = sal.load("model.keras")
sal.jacobian(model, x).found.blocks[0]
sal.perturb(model, "cat.png", attack="pgd", epsilon=4).results["flips_when_read_back"]
```

Each is what the command of that name finds of one sample, nothing written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saliency_cli.api import SaliencyModel
from saliency_cli.errors import UsageError, nearest
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.study_files import write_file

if TYPE_CHECKING:
    from saliency_cli.runs.study import File, Study
    from saliency_cli.studies.parameters_call import ParameterGradients

_SAMPLE = ("preprocess", "resize", "seed", "batch_size", "class_names")
_ABOUT = ("target", "space", "output_name", "loss", "label", *_SAMPLE)


@dataclass(frozen=True, eq=False)
class Derived:
    """What was found of one sample.

    `found` holds the arrays (its class is documented where each command's is), `results` the numbers that the
    command records, `flags` reasons not to trust them, `files` what it would write, by kind.
    """

    found: Any
    results: Mapping[str, Any]
    flags: tuple[str, ...]
    files: Mapping[str, "File"]

    def save(self, folder: "str | PathLike[str]") -> list[Path]:
        """Write the files into a folder, each under its kind; return their paths. Raises `OutputError`."""
        paths = []
        for kind, file in self.files.items():
            path = Path(folder) / f"{kind}{file.suffix}"
            write_file(path, file.data)
            paths.append(path)
        return paths


def jacobian(
    model: SaliencyModel,
    x: "Any",
    *,
    outputs: Sequence[str] = (),
    classes: Sequence[str | int] = (),
    mode: str = "auto",
    **about: Any,
) -> Derived:
    """Return J[i, j] = ∂yᵢ/∂xⱼ of the outputs' values by each floating input's, whole.

    `found.arrays()` holds `(output, input)` → the array, of the output's shape and then the input's.

    Args:
        model: made by `load` or `wrap`.
        x: an array, a mapping of input to array, or the path of a file, as `SaliencyModel.attribute` takes it.
        outputs: names of the model's outputs, or one; all of them without it.
        classes: rows for these alone, by name or index.
        mode: `forward`, `reverse`, or `auto`, the cheaper.
        about: `space`, `class_names`, `preprocess`, `resize`, `seed`, `batch_size`.

    Raises:
        UsageError: an argument makes no sense. InputError: the sample can't be used. ModelError: nothing connects.
    """
    from saliency_cli.studies.arguments import checked
    from saliency_cli.studies.jacobian import Jacobians

    _require_known("jacobian", about, ("outputs", "classes", "mode"), ("space", *_SAMPLE))
    rows = [classes] if isinstance(classes, (str, int)) else classes
    study = Jacobians(**checked("jacobian", Jacobians, {"classes": tuple(map(str, rows)), "mode": mode}))
    names = (outputs,) if isinstance(outputs, str) else tuple(outputs)
    return _derived(model, x, study, {"target": "all", **about}, outputs=names)


def hessian(model: SaliencyModel, x: "Any", *, smooth_relu: float | None = None, **options: Any) -> Derived:
    """Return second derivatives: diagonal, top eigenvalues, curvature along a direction.

    Args:
        model: made by `load` or `wrap`.
        x: as `jacobian` takes it.
        smooth_relu: put `softplus(βx)/β` with this β in place of each ReLU.
        options: `top`, `probes`, `matrix`, `direction`, `steps` of `saliency hessian`; and what `jacobian` calls
            `about`, with `target`, `output_name`, `loss` and `label`.

    Raises:
        UsageError, InputError, ModelError: as `jacobian`.
    """
    from saliency_cli.studies.arguments import checked
    from saliency_cli.studies.hessian import Hessian

    names = ("top", "probes", "matrix", "direction", "steps")
    own, about = _split(options, names)
    _require_known("hessian", about, ("smooth_relu", *names))
    own = checked("hessian", Hessian, {**own, "smooth": smooth_relu})
    return _derived(model, x, Hessian(**own), about)


def parameters(model: SaliencyModel, x: "Any", **options: Any) -> "ParameterGradients":
    """Return the gradient of a target, or of a loss, by the weights, over one or several samples.

    `gradients` holds an array for each weight by name, in the model's own order, `as_list()` the same beside a Keras
    model's `trainable_weights` for `apply_gradients`, `layers` and `results` what the command tells.

    Args:
        model: made by `load` or `wrap`.
        x: as `jacobian` takes it, a stack of samples, or a list of them: the gradient is then their mean or sum.
        options: `reduction`, `per_sample`, `all_weights`, `vanishing`, `exploding` of `saliency parameters`; what
            `jacobian` calls `about` but for the seed, with `target`, `output_name`, `loss`, and `label`, one for all
            samples or a list of one for each; `clip_norm`, `clip_value` or `clip_global_norm`.

    Raises:
        UsageError, InputError, ModelError: as `jacobian`.
    """
    from saliency_cli.studies.arguments import checked
    from saliency_cli.studies.parameters import Parameters
    from saliency_cli.studies.parameters_call import parameter_gradients

    names = ("reduction", "per_sample", "all_weights", "vanishing", "exploding")
    own, about = _split(options, names)
    shared = tuple(name for name in _ABOUT if name != "seed")
    _require_known("parameters", about, names, ("clip_norm", "clip_value", "clip_global_norm", *shared))
    compiled = partial(model.compiled, single=False)
    label = about.pop("label", None)
    settings = Parameters(**checked("parameters", Parameters, own))
    return parameter_gradients(compiled, x, label=label, options=settings, **_settled("parameters", about))


def perturb(model: SaliencyModel, x: "Any", *, attack: str = "pgd", **options: Any) -> Derived:
    """Return an input nearby that the model takes for another class. For testing one's own model.

    Args:
        model: made by `load` or `wrap`.
        x: as `jacobian` takes it.
        attack: a name of `saliency attacks`.
        options: `settings` (the attack's own), `epsilon`, `norm`, `to`, `smallest`, `only`, `valid_range` (a pair,
            or `{input: pair}`), `formats` of `saliency perturb`; and what `jacobian` calls `about` but for the
            space, with `output_name` and `label`, the true class.

    Raises:
        UsageError, InputError, ModelError: as `jacobian`.
    """
    from saliency_cli.studies.arguments import checked
    from saliency_cli.studies.perturb import Perturb

    names = ("settings", "epsilon", "norm", "to", "smallest", "only", "valid_range", "formats")
    own, about = _split(options, names)
    _require_known("perturb", about, ("attack", *names), ("output_name", "label", *_SAMPLE))
    ranges, own = _split(own, ("valid_range",))  # has words of its own for what is no range
    words = {name: str(own[name]) for name in ("to", "norm") if own.get(name) is not None}
    own = checked("perturb", Perturb, {"attack": attack, **own, **words})
    truth = {"target": "label"} if about.get("label") is not None else {}
    return _derived(model, x, Perturb(**own, **ranges), {**about, **truth})


def maximize(
    model: SaliencyModel,
    x: "Any" = None,
    *,
    target: str | int | None = None,
    layer: str | None = None,
    channel: str | int | None = None,
    unit: Sequence[int] | None = None,
    **options: Any,
) -> Derived:
    """Return an input that raises a class, or a channel, a unit or the whole of a layer.

    Args:
        model: made by `load` or `wrap`.
        x: where to begin, as `jacobian` takes it; None for noise.
        target: a class, or a sum of classes.
        layer: a layer's path, with `channel`, `unit` (row, column, channel) or neither.
        channel: a channel of the layer.
        unit: a place and a channel.
        options: `steps`, `optimizer`, `tv`, `l2`, `blur`, `parametrization`, `jitter`, `rate`, `valid_range`,
            `range_of`, `every`, `animation`, `only`, `sizes` of `saliency maximize`; and `about` as in `jacobian`,
            with `output_name`.

    Raises:
        UsageError, InputError, ModelError: as `jacobian`.
    """
    from saliency_cli.maximizing.ascending import Climb
    from saliency_cli.studies.arguments import checked
    from saliency_cli.studies.maximize import Maximize
    from saliency_cli.studies.maximize_canvases import Manner
    from saliency_cli.studies.maximize_objectives import objectives_of

    climbing = ("steps", "optimizer", "tv", "l2", "blur")
    varying = ("parametrization", "jitter", "rate", "valid_range", "range_of")
    keeping = ("every", "animation", "only", "sizes")
    climb, options = _split({"tv": 0.1, **options}, climbing)
    manner, options = _split(options, varying)
    own, about = _split(options, keeping)
    _require_known(
        "maximize",
        about,
        ("layer", "channel", "unit", *climbing, *varying, *keeping),
        ("target", "space", "output_name", *_SAMPLE),
    )
    ranges, manner = _split(manner, ("valid_range",))
    targets = () if target is None else (str(target),)
    place = None if unit is None else ",".join(map(str, (unit,) if isinstance(unit, int) else unit))
    objectives = objectives_of(targets, layer, None if channel is None else str(channel), place)
    if len(objectives) > 1:
        raise UsageError(
            f"maximize makes one input, and {len(objectives)} things were asked to be raised",
            hint="call it once for each",
            reason="several-objectives",
        )
    study = Maximize(
        objectives,
        Climb(**checked("maximize", Climb, climb)),
        Manner(**checked("maximize", Manner, manner), **ranges),
        **checked("maximize", Maximize, own),
        given=x is not None,
    )
    return _derived(model, x, study, {"target": targets[0] if targets else "0", **about})


def _split(options: Mapping[str, Any], names: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options of these names, and the others."""
    own = {name: value for name, value in options.items() if name in names}
    return own, {name: value for name, value in options.items() if name not in names}


def _require_known(
    study: str, about: Mapping[str, Any], own: tuple[str, ...], shared: tuple[str, ...] = _ABOUT
) -> None:
    """Raise `UsageError` for an option that is neither a study's own, which are taken out, nor one that is shared."""
    for name in about:
        if name not in shared:
            known = (*own, *shared)
            raise UsageError(
                f"{study} has no option '{name}'",
                hint=nearest(name, known) or f"its options: {', '.join(known)}",
                reason="bad-option",
            )


def _settled(study: str, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of a request, checked. Raises `UsageError`."""
    from saliency_cli.studies.arguments import checked

    words = {name: str(about[name]) for name in ("target", "label") if about.get(name) is not None}
    names, given = _split({**about, **words}, ("class_names",))
    size = given.get("batch_size")
    fields = checked(study, ComputeRequest, {name: value for name, value in given.items() if name != "batch_size"})
    if size is not None and (isinstance(size, bool) or not isinstance(size, Integral) or size < 1):
        raise UsageError(f"{study}: batch_size can't be {size!r}", hint="1, 8 or 16", reason="bad-option")
    return {**fields, **names, "batch_size": None if size is None else int(size)}


def _derived(model: SaliencyModel, x: Any, study: "Study", about: Mapping[str, Any], **further: Any) -> Derived:
    from saliency_cli.runs.inquiring import inquire

    fields = _settled(study.name, about)
    names = tuple(fields.pop("class_names", ()))
    request = ComputeRequest("", **fields, **further)
    engine = model.compiled(request, single=study.sequential)
    found, findings = inquire(engine, fspath(x) if isinstance(x, PathLike) else x, request, study, class_names=names)
    return Derived(found, findings.results, findings.flags, findings.files)


__all__ = ["Derived", "hessian", "jacobian", "maximize", "parameters", "perturb"]
