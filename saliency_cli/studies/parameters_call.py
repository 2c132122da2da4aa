"""Gradients by the weights from Python: the same stages as the command, of samples in memory or files."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike, fspath
from typing import Any

import numpy as np

from saliency_cli.autodiff.packing import Job, Packer
from saliency_cli.differentiable import Array
from saliency_cli.errors import InputError, UsageError
from saliency_cli.runs.attributing import fed_from
from saliency_cli.runs.engine import Engine
from saliency_cli.runs.feeding import Fed, Feeder
from saliency_cli.runs.preparing import Wanted, prepare
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.sources import Source
from saliency_cli.runs.truth import require_labels
from saliency_cli.studies.parameters import Parameters
from saliency_cli.studies.parameters_found import LayerRecord
from saliency_cli.targets import parse_target

Label = str | float


@dataclass(frozen=True, eq=False)
class ParameterGradients:
    """The gradient of a target or a loss by a model's weights, over some samples.

    `gradients`: an array for each weight the target depends on, by name, in the model's own order and of the weight's
    own shape. `names`: all weights that were asked for. `values`: the target of each sample, float64. `layers` and
    `results` are what the command tells; `per_sample` holds each sample's own gradient, `(samples, *shape)`, where it
    was asked for. `flags`: reasons not to trust them.
    """

    gradients: Mapping[str, Array]
    names: tuple[str, ...]
    values: Array
    layers: tuple[LayerRecord, ...]
    results: Mapping[str, Any]
    per_sample: Mapping[str, Array] = field(default_factory=dict)
    flags: tuple[str, ...] = ()

    def as_list(self) -> list[Array | None]:
        """Return the gradients beside a Keras model's `trainable_weights`, as `apply_gradients` takes them.

        None for a weight that the target doesn't depend on, as a tape gives it.
        """
        return [self.gradients.get(name) for name in self.names]

    @property
    def norm(self) -> float:
        """‖g‖₂ of all weights together."""
        return float(self.results["norm"])

    def __repr__(self) -> str:
        what = f"{self.results['weights']:,} weights in {len(self.gradients)} arrays, |g| {self.norm:.4g}"
        return f"<ParameterGradients of {len(self.values)} samples: {what}>"


def parameter_gradients(
    compiled: Callable[[ComputeRequest], Engine],
    x: Any,
    *,
    label: Label | Sequence[Label] | None = None,
    class_names: Sequence[str] = (),
    options: Parameters | None = None,
    **asked: Any,
) -> ParameterGradients:
    """Return the gradients over one or several samples. `asked`: fields of a `ComputeRequest`.

    Args:
        compiled: gives a model compiled for a request, the same for requests that differ in no way it depends on.
        x: one sample, as `attribute` takes it; a stack of them; or a list of samples, each an array, a mapping or a
            path. A file may hold a stack.
        label: what the output should have been, for a loss or `target="label"`: one for all samples, or a list.
        class_names: names of the output's classes.
        options: what the command's own options say; `mean`, of the weights that are trained, by default.
        asked: `loss`, `target`, `space`, `output_name`, `preprocess`, `resize`, `batch_size`, `clip_norm`, ….

    Raises:
        UsageError: an argument makes no sense. InputError: a sample can't be used, or its gradient isn't finite.
        ModelError: the target depends on none of the weights.
    """
    labels = list(label) if isinstance(label, (list, tuple, np.ndarray)) else None
    one = labels[0] if labels else label
    if "target" in asked:
        asked["target"] = str(asked["target"])
    request = ComputeRequest("", by_weights=True, label=None if one is None else str(one), **asked)
    require_labels(request)
    wanted = Wanted({}, parse_target(request.target), tuple(class_names), {}, None)
    engine = compiled(request)
    prepared = prepare(request, wanted, None, lambda *_, **__: engine)
    samples = _samples(x, prepared.feeder, engine)
    if labels is not None and len(labels) != len(samples):
        raise UsageError(
            f"{len(labels)} labels came for {len(samples)} samples", hint="a label for each, or one for all"
        )
    found = (options or Parameters()).begin(prepared)
    jobs = []
    for number, fed in enumerate(samples):
        truths = prepared.truths if labels is None else replace(prepared.truths, label=str(labels[number]))
        jobs.append(Job(fed, fed.sample, found.program(fed, truths.target(fed.id))))
    packer = Packer(found.evaluator, classes=engine.classes, truth_shape=prepared.truths.truth_shape)
    for outcome in packer.run(jobs):
        if outcome.error is not None:
            raise outcome.error
    gradients, clipped = found.gradients()
    results = found.report(gradients, clipped)
    return ParameterGradients(
        gradients=found.typed(gradients),
        names=found.evaluator.names,
        values=np.array(found.values),
        layers=tuple(results["layers"]),
        results=results,
        per_sample=found.rows.arrays() if found.options.per_sample else {},
        flags=tuple(
            flag
            for flag, so in {
                "preparing-guessed": any(fed.guessed for fed in samples),
                "stochastic": engine.record.stochastic,
            }.items()
            if so
        ),
    )


def _is_list(x: Any) -> bool:
    """Whether x is several samples, and not nested lists of one sample's numbers."""
    kinds = (np.ndarray, Mapping, str, PathLike)
    return isinstance(x, (list, tuple)) and bool(x) and all(isinstance(each, kinds) for each in x)


def _samples(x: Any, feeder: Feeder, engine: Engine) -> list[Fed]:
    if _is_list(x):
        return [fed for each in x for fed in _samples(each, feeder, engine)]
    if isinstance(x, (str, PathLike)):
        path = fspath(x)
        found = feeder.feed(Source(path, (("", path),)))
        for fed in found:
            if not isinstance(fed, Fed):
                raise fed.error
        return [fed for fed in found if isinstance(fed, Fed)]
    names = [spec.name for spec in engine.specs]
    given = {name: np.asarray(x[name]) for name in x} if isinstance(x, Mapping) else {names[0]: np.asarray(x)}
    ranks = {spec.name: len(spec.shape) for spec in engine.specs}
    stacked = {name: len(array) for name, array in given.items() if array.ndim == ranks.get(name, -1) + 1}
    if len(stacked) < len(given) or len(set(stacked.values())) != 1:
        return [fed_from(given, feeder, engine)]
    (count,) = set(stacked.values())
    if not count:
        raise InputError("there is no sample in an array of length 0", reason="empty-file")
    return [fed_from({name: array[i] for name, array in given.items()}, feeder, engine) for i in range(count)]
