"""One sample from Python: the same stages as `compute`, without files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from saliency_cli.autodiff.packing import Job, Packer
from saliency_cli.differentiable import Array, Reduce
from saliency_cli.errors import InputError, UsageError, nearest
from saliency_cli.geometry import Resize
from saliency_cli.readers import Document
from saliency_cli.records import MapRecord, PredictionRecord
from saliency_cli.rendering.view import Style, View
from saliency_cli.runs.asides import limits
from saliency_cli.runs.destination import Destination
from saliency_cli.runs.engine import Engine, compile_engine
from saliency_cli.runs.explaining import explain
from saliency_cli.runs.feeding import Fed, Feeder
from saliency_cli.runs.measuring import Aside, principal
from saliency_cli.runs.needs import build_metrics, require_needs
from saliency_cli.runs.preparing import Prepared, Wanted, prepare
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.settings import METHODS
from saliency_cli.runs.sources import Source
from saliency_cli.runs.truth import require_labels
from saliency_cli.runs.writing import Publisher
from saliency_cli.subject import Reference
from saliency_cli.targets import parse_target

if TYPE_CHECKING:
    from saliency_cli.autodiff.model import Model


@dataclass(frozen=True, eq=False)
class Found:
    """One sample's map: by input, in numbers, and as it is drawn."""

    values: Mapping[str, Array]
    prediction: PredictionRecord
    record: MapRecord
    views: Mapping[str, View]
    layers: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Attributor:
    """A compiled model that answers one sample at a time."""

    engine: Engine

    def attribute(
        self,
        x: Any,
        request: ComputeRequest,
        *,
        options: Mapping[str, Any],
        class_names: tuple[str, ...],
        mask: Array | None = None,
        other: "Found | None" = None,
    ) -> Found:
        """Return what a request with one method and one target finds of one sample.

        `mask` marks the object; `other` is another map of the same sample, to compare with.
        """
        _require("resize", request.resize, get_args(Resize))
        _require("reduce", request.reduce, (None, *get_args(Reduce)))
        require_labels(request)
        (method,) = request.methods
        target = parse_target(request.target)
        if target.every or target.top > 1:
            raise UsageError(
                f"attribute answers one target, and '{request.target}' is several", hint="call it once for each"
            )
        metrics = build_metrics(request.metrics)
        require_needs(metrics, request, masked=mask is not None, referenced=other is not None)
        wanted = Wanted({method: METHODS.build(method, options)}, target, class_names, metrics, None)
        prepared = prepare(request, wanted, None, lambda *_, **__: self.engine)
        fed = fed_from(x, prepared.feeder, self.engine)
        aside = Aside(
            label=prepared.truths.index(fed.id),
            mask=mask,
            references=() if other is None else (_reference(prepared, fed, method, other),),
            limits=limits(prepared, fed) if "limits" in prepared.measuring.needs else {},
        )
        measure = partial(prepared.measuring.measure, fed, aside) if metrics else None
        program = explain(fed.sample, prepared.question, prepared.truths.target(fed.id), measure)
        packer = Packer(self.engine.evaluator, classes=self.engine.classes, truth_shape=prepared.truths.truth_shape)
        (outcome,) = packer.run([Job(fed, fed.sample, program)])
        if outcome.error is not None:
            raise outcome.error
        here = Destination("here", Path(), ())
        style = Style(request.reduce or "max")
        methods = prepared.question.methods
        publisher = Publisher.plan(
            here, self.engine.specs, methods, style, reduce_given=request.reduce is not None, metadata={}
        )
        record, views = publisher.describe(fed, outcome.result.maps[0])
        explanation = outcome.result.maps[0].explanation
        return Found(explanation.values, outcome.result.prediction, record, views, explanation.layers)


def _reference(prepared: Prepared, fed: Fed, method: str, other: Found) -> Reference:
    name = principal(fed)
    if name not in other.values:
        raise UsageError(
            f"the reference has no map of the input '{name}'",
            hint="an attribution of the same sample",
            reason="reference",
        )
    layout, value = fed.parts[name].layout, other.record.target.value
    return Reference(
        plane=prepared.measuring.fold(other.values, name, layout, prepared.question.methods[method]),
        attribution=other.values,
        top=-1 if other.prediction.index is None else other.prediction.index,
        value=float("nan") if value is None else value,
    )


def fed_from(x: Any, feeder: Feeder, engine: Engine) -> Fed:
    """Return the sample that an array, a mapping of input to array, or a file's path is. Raises `InputError`."""
    if isinstance(x, str):
        fed, *others = feeder.feed(Source(x, (("", x),)))
        if others:
            raise InputError(
                f"'{x}' holds {1 + len(others)} samples, and one was expected",
                hint="np.load it and give one row, or the command for all",
                reason="several-samples",
            )
    else:
        fed = feeder.take(_documents(x, engine))
    if not isinstance(fed, Fed):
        raise fed.error
    return fed


def open_attributor(model: "Model", device: str, *, single: bool, **asked: Any) -> Attributor:
    """Compile a model for one output and space, or loss. `single`: every call is one evaluation."""
    size = asked.get("batch_size")
    if size is not None and size < 1:
        raise UsageError(f"batch_size can't be {size}", hint="1, 8 or 16")
    request = ComputeRequest("", **asked)
    _require("fold", request.fold, ("auto", "yes", "no"))
    if request.loss and request.space:
        raise UsageError("a space is for a target, and a loss is asked for", hint="leave one of them away")
    return Attributor(compile_engine(model, device, request, single=single))


def _require(what: str, value: Any, known: tuple[Any, ...]) -> None:
    if value not in known:
        words = tuple(word for word in known if word)
        raise UsageError(
            f"{what} can't be '{value}'", hint=nearest(str(value), words) or f"there are: {', '.join(words)}"
        )


def _documents(x: Any, engine: Engine) -> dict[str, Document]:
    """Return arrays as documents by input name, a batch axis of length 1 taken off."""
    names = [spec.name for spec in engine.specs]
    given = x if isinstance(x, Mapping) else {names[0]: x}
    if set(given) != set(names):
        raise InputError(
            f"the model's inputs are {', '.join(names)}, and {', '.join(given)} came",
            hint="a mapping of input name to array",
            reason="missing-input",
        )
    documents = {}
    for spec in engine.specs:
        array = np.asarray(given[spec.name])
        if array.ndim == len(spec.shape) + 1 and len(array) == 1:
            array = array[0]
        documents[spec.name] = Document("array", {"": array})
    return documents
