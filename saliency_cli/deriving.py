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

_ABOUT = (
    "target", "space", "output_name", "loss", "label", "preprocess", "resize", "seed", "batch_size", "class_names",
)  # fmt: skip


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
        outputs: names of the model's outputs, all of them without it.
        classes: rows for these alone.
        mode: `forward`, `reverse`, or `auto`, the cheaper.
        about: `space`, `class_names`, `preprocess`, `resize`, `seed`, `batch_size`.

    Raises:
        UsageError: an argument makes no sense. InputError: the sample can't be used. ModelError: nothing connects.
    """
    from saliency_cli.studies.jacobian import Jacobians

    _require_known("jacobian", about, ("outputs", "classes", "mode"))
    study = Jacobians(tuple(map(str, classes)), mode)  # type: ignore[arg-type]
    return _derived(model, x, study, {"target": "all", **about}, outputs=tuple(outputs))


def hessian(model: SaliencyModel, x: "Any", *, smooth_relu: float | None = None, **options: Any) -> Derived:
    """Return second derivatives: diagonal, top eigenvalues, curvature along a direction.

    Args:
        model: made by `load` or `wrap`.
        x: as `jacobian` takes it.
        smooth_relu: put `softplus(βx)/β` with this β in place of each ReLU.
        options: `top`, `probes`, `matrix`, `direction`, `steps` of `saliency hessian`; and what `jacobian` calls
            `about`, with `target`, `loss` and `label`.

    Raises:
        UsageError, InputError, ModelError: as `jacobian`.
    """
    from saliency_cli.studies.hessian import Hessian

    names = ("top", "probes", "matrix", "direction", "steps")
    own, about = _split(options, names)
    _require_known("hessian", about, ("smooth_relu", *names))
    return _derived(model, x, Hessian(**own, smooth=smooth_relu), about)


def parameters(model: SaliencyModel, x: "Any", **options: Any) -> "ParameterGradients":
    """Return the gradient of a target, or of a loss, by the weights, over one or several samples.

    `gradients` holds an array for each weight by name, in the model's own order, `as_list()` the same beside a Keras
    model's `trainable_weights` for `apply_gradients`, `layers` and `results` what the command tells.

    Args:
        model: made by `load` or `wrap`.
        x: as `jacobian` takes it, a stack of samples, or a list of them: the gradient is then their mean or sum.
        options: `reduction`, `per_sample`, `all_weights`, `vanishing`, `exploding` of `saliency parameters`; what
            `jacobian` calls `about`, with `target`, `loss`, and `label`, one for all samples or a list of one for
            each; `clip_norm`, `clip_value` or `clip_global_norm`.

    Raises:
        UsageError, InputError, ModelError: as `jacobian`.
    """
    from saliency_cli.studies.parameters import Parameters
    from saliency_cli.studies.parameters_call import parameter_gradients

    names = ("reduction", "per_sample", "all_weights", "vanishing", "exploding")
    own, about = _split(options, names)
    _require_known("parameters", about, names, ("clip_norm", "clip_value", "clip_global_norm", *_ABOUT))
    compiled = partial(model.compiled, single=False)
    return parameter_gradients(compiled, x, options=Parameters(**own), **about)


def perturb(model: SaliencyModel, x: "Any", *, attack: str = "pgd", **options: Any) -> Derived:
    """Return an input nearby that the model takes for another class. For testing one's own model.

    Args:
        model: made by `load` or `wrap`.
        x: as `jacobian` takes it.
        attack: a name of `saliency attacks`.
        options: `settings` (the attack's own), `epsilon`, `norm`, `to`, `smallest`, `only`, `valid_range` (a pair,
            or `{input: pair}`), `formats` of `saliency perturb`; and what `jacobian` calls `about`, with `label`.

    Raises:
        UsageError, InputError, ModelError: as `jacobian`.
    """
    from saliency_cli.studies.perturb import Perturb

    names = ("settings", "epsilon", "norm", "to", "smallest", "only", "valid_range", "formats")
    own, about = _split(options, names)
    _require_known("perturb", about, ("attack", *names))
    return _derived(model, x, Perturb(attack, **own), about)


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
            `range_of`, `every`, `animation`, `only`, `sizes` of `saliency maximize`; and `about` as in `jacobian`.

    Raises:
        UsageError, InputError, ModelError: as `jacobian`.
    """
    from saliency_cli.maximizing.ascending import Climb
    from saliency_cli.studies.maximize import Maximize
    from saliency_cli.studies.maximize_canvases import Manner
    from saliency_cli.studies.maximize_objectives import objectives_of

    climbing = ("steps", "optimizer", "tv", "l2", "blur")
    varying = ("parametrization", "jitter", "rate", "valid_range", "range_of")
    keeping = ("every", "animation", "only", "sizes")
    climb, options = _split({"tv": 0.1, **options}, climbing)
    manner, options = _split(options, varying)
    own, about = _split(options, keeping)
    _require_known("maximize", about, ("layer", "channel", "unit", *climbing, *varying, *keeping))
    targets = () if target is None else (str(target),)
    place = None if unit is None else ",".join(map(str, unit))
    objectives = objectives_of(targets, layer, None if channel is None else str(channel), place)
    study = Maximize(objectives, Climb(**climb), Manner(**manner), **own)
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


def _derived(model: SaliencyModel, x: Any, study: "Study", about: Mapping[str, Any], **further: Any) -> Derived:
    from saliency_cli.runs.inquiring import inquire

    fields = {name: value for name, value in about.items() if name != "class_names"}
    for name in ("target", "label"):
        if fields.get(name) is not None:
            fields[name] = str(fields[name])
    given = fspath(x) if isinstance(x, PathLike) else x
    if not isinstance(given, str):
        fields.setdefault("preprocess", "auto" if given is None else "none")
    request = ComputeRequest("", **fields, **further)
    engine = model.compiled(request, single=study.sequential)
    found, findings = inquire(engine, given, request, study, class_names=tuple(about.get("class_names", ())))
    return Derived(found, findings.results, findings.flags, findings.files)


__all__ = ["Derived", "hessian", "jacobian", "maximize", "parameters", "perturb"]
