"""One sample from Python: the same stages as `compute`, without files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

import numpy as np

from saliency_cli.autodiff.packing import Job, Packer
from saliency_cli.differentiable import Array, Reduce
from saliency_cli.errors import InputError, UsageError, nearest
from saliency_cli.geometry import Resize
from saliency_cli.readers import Document
from saliency_cli.records import MapRecord, PredictionRecord
from saliency_cli.rendering.view import Style, View
from saliency_cli.runs.destination import Destination
from saliency_cli.runs.engine import Engine, compile_engine
from saliency_cli.runs.explaining import Question, explain
from saliency_cli.runs.feeding import Fed, Feeder
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.settings import METHODS
from saliency_cli.runs.sources import Source
from saliency_cli.runs.truth import Truths, require_labels
from saliency_cli.runs.writing import Publisher
from saliency_cli.targets import Classes, check_target, parse_target

if TYPE_CHECKING:
    from saliency_cli.autodiff.model import Model

Found = tuple[Mapping[str, Array], PredictionRecord, MapRecord, Mapping[str, View]]


@dataclass(frozen=True, eq=False)
class Attributor:
    """A compiled model that answers one sample at a time."""

    engine: Engine

    def attribute(
        self,
        x: Any,
        *,
        method: str,
        options: Mapping[str, Any],
        target: str,
        label: str | None,
        class_names: tuple[str, ...],
        preprocess: str,
        resize: str,
        reduce: str | None,
        seed: int,
    ) -> Found:
        """Return the attribution by input, the prediction, the record and the views of one sample."""
        engine = self.engine
        _require("resize", resize, get_args(Resize))
        _require("reduce", reduce, (None, *get_args(Reduce)))
        request = ComputeRequest("", target=target, label=label, loss=engine.loss)
        require_labels(request)
        methods = {method: METHODS.build(method, options)}
        classes = Classes(engine.classes, class_names or engine.class_names)
        parsed = parse_target(target)
        if engine.loss is None:
            check_target(parsed, classes)
            if parsed.every or parsed.top > 1:
                raise UsageError(
                    f"attribute answers one target, and '{target}' is several", hint="call it once for each"
                )
        feeder = Feeder.plan(
            engine.specs,
            engine.clues,
            preprocess if isinstance(x, str) else "none",
            cast("Any", resize),
            seed=seed,
            differentiated=engine.connected,
        )
        fed = feeder.feed(Source(x, (("", x),)))[0] if isinstance(x, str) else feeder.take(_documents(x, engine))
        if not isinstance(fed, Fed):
            raise fed.error
        truths = Truths.plan(request, parsed, engine.loss, classes, engine.shape)
        question = Question(engine, methods, parsed, classes)
        program = explain(fed.sample, question, truths.target(fed.id))
        packer = Packer(engine.evaluator, classes=engine.classes, truth_shape=truths.truth_shape)
        (outcome,) = packer.run([Job(fed, fed.sample, program)])
        if outcome.error is not None:
            raise outcome.error
        style = Style(cast("Any", reduce) or "max")
        here = Destination("here", Path(), ())
        publisher = Publisher.plan(here, engine.specs, methods, style, reduce_given=reduce is not None, metadata={})
        record, views = publisher.describe(fed, outcome.result.maps[0])
        return outcome.result.maps[0].explanation.values, outcome.result.prediction, record, views


def open_attributor(model: "Model", device: str, *, single: bool, **asked: Any) -> Attributor:
    """Compile a model for one output and space, or loss. `single`: every call is one evaluation."""
    size = asked.get("batch_size")
    if size is not None and size < 1:
        raise UsageError(f"batch_size can't be {size}", hint="1, 8 or 16")
    request = ComputeRequest("", **asked)
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
