"""`compare`: two models, or two methods, on the same inputs: how far their maps agree, and where least."""

import math
from dataclasses import dataclass

from saliency_cli.errors import UsageError
from saliency_cli.records import ComparedRecord, CompareRecord, ModelRecord
from saliency_cli.reports.comparison import prediction, worst_rows
from saliency_cli.reports.contact_sheet import Tile
from saliency_cli.runs.engine import open_engine
from saliency_cli.runs.listening import Listener
from saliency_cli.runs.measure import measure
from saliency_cli.runs.measured import MeasuredItem, MeasuredRun
from saliency_cli.runs.needs import METRICS, name_of
from saliency_cli.runs.preparing import OpenEngine
from saliency_cli.runs.request import ComputeRequest

DEFAULT_METRICS = ("pearson", "topk-intersection", "ssim", "similarity", "prediction-change")


@dataclass(frozen=True, eq=False)
class Compared:
    """The record of a comparison and, in its order, the inputs with their maps for a picture of them."""

    record: CompareRecord
    items: tuple[MeasuredItem, ...]

    def tiles(self, most: int) -> list[Tile]:
        """Return the inputs that changed most, as rows of a picture."""
        told = zip(worst_rows(self.record, most), self.items, strict=False)
        return [
            Tile(
                name,
                (f"{self.record.ranked_by} {value}", f"predicted {prediction(each)}" if prediction(each) else ""),
                item.picture,
                item.plane,
                None if item.reference is None else item.reference.plane,
            )
            for (name, value, each), item in told
        ]

    @property
    def exit_code(self) -> int:
        """Return 0, or 3 where some inputs failed."""
        return 3 if self.record.failed else 0


def compare(request: ComputeRequest, listen: Listener, open_engine: OpenEngine = open_engine) -> Compared:
    """Explain the inputs by `request.reference` (before) and `request.model` (after), and compare the maps.

    Each model is asked about the same target; `top` is each model's own top class, so that a change of
    the prediction shows. Inputs are ranked by the first metric that compares two maps.

    Raises:
        UsageError, ModelError: the comparison can't begin. One bad input is told in the record.
    """
    found = measure(request, listen, open_engine)
    ranked_by = next((label for label in found.run.measured if _ranks(label)), "")
    if not ranked_by:
        raise UsageError("none of the metrics compares two maps", hint="--metric pearson, ssim, topk-intersection, …")
    done = [item for item in found.items if item.record.status == "ok"]
    lower_first = METRICS.build(name_of(ranked_by), {}).better != "lower"
    done.sort(key=lambda item: _rank(item, ranked_by, lower_first=lower_first))
    return Compared(_record(request, found, done, ranked_by), tuple(done))


def _ranks(label: str) -> bool:
    name = name_of(label)
    return (
        bool({"reference", "reference-attribution"} & METRICS.build(name, {}).needs) and name != "prediction-change"
    )


def _rank(item: MeasuredItem, label: str, *, lower_first: bool) -> tuple[bool, float]:
    """Return a key that puts the inputs that changed most first, those without a value last."""
    value = item.values.get(label, math.nan)
    return (math.isnan(value), 0.0 if math.isnan(value) else value if lower_first else -value)


def _record(request: ComputeRequest, found: MeasuredRun, done: list[MeasuredItem], ranked_by: str) -> CompareRecord:
    assert found.reference is not None
    inputs = [_compared(item, found) for item in done]
    method = next(iter(found.run.metrics), request.methods[0])
    statistics = found.run.metrics.get(method, {})
    return CompareRecord(
        before=found.reference.model or ModelRecord(path=request.reference or "", format=""),
        after=found.run.model or ModelRecord(path=request.model, format=""),
        method=request.methods[0],
        before_method=request.reference_method or request.methods[0],
        target=request.target,
        ranked_by=ranked_by,
        metrics={label: statistics[label] for label in found.run.measured if label in statistics},
        measured=found.run.measured,
        inputs=inputs,
        failed={
            item.record.id: item.record.error.message if item.record.error else "failed"
            for item in found.items
            if item.record.status == "error"
        },
        predictions_changed=sum(each.before is not None and each.before != each.after for each in inputs),
        notes=_notes(found),
        run=found.run,
    )


def _notes(found: MeasuredRun) -> list[str]:
    """Say where the two models' classes can't be the same ones."""
    first, second = found.reference, found.run
    outputs = [next(iter(run.model.outputs.values()), "") if run and run.model else "" for run in (first, second)]
    if outputs[0] == outputs[1]:
        return []
    told = (
        f"the outputs are {outputs[0] or '?'} and {outputs[1] or '?'}: a class of one model is no class of the "
        "other, so changed predictions and differences of values mean nothing"
    )
    return [told]


def _compared(item: MeasuredItem, found: MeasuredRun) -> ComparedRecord:
    entry, reference = item.record.maps[0], item.reference
    predicted = item.record.prediction
    return ComparedRecord(
        id=item.record.id,
        before=None if reference is None or reference.top < 0 else found.reference_classes(reference.top),
        after=None if predicted is None else predicted.label,
        metrics=entry.metrics,
        notes=entry.notes,
    )
