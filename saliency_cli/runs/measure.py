"""Every input measured in memory, nothing written: what `check` judges and `compare` shows."""

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from saliency_cli.arrays import pooled
from saliency_cli.differentiable import Array
from saliency_cli.errors import UsageError
from saliency_cli.records import ItemRecord, RunRecord
from saliency_cli.rendering.view import Style
from saliency_cli.runs.asides import Asides
from saliency_cli.runs.checking import require_some
from saliency_cli.runs.destination import Destination
from saliency_cli.runs.engine import open_engine
from saliency_cli.runs.explaining import Explained
from saliency_cli.runs.feeding import Fed
from saliency_cli.runs.ledger import Ledger
from saliency_cli.runs.listening import Listener
from saliency_cli.runs.measured import POOLED, THUMBNAIL, MeasuredItem, MeasuredRun, References, content_key
from saliency_cli.runs.measuring import Aside, principal
from saliency_cli.runs.needs import name_of
from saliency_cli.runs.preparing import OpenEngine, Prepared, Wanted, prepare, tell_choices
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.rival import open_rival
from saliency_cli.runs.sources import listed
from saliency_cli.runs.working import Work
from saliency_cli.runs.writing import Publisher
from saliency_cli.subject import Metric, Reference

_NOT_FINITE = ("non-finite-gradient", "non-finite-output")


def measure(
    request: ComputeRequest,
    listen: Listener,
    open_engine: OpenEngine = open_engine,
    *,
    metrics: Mapping[str, Metric] | None = None,
    references: References | None = None,
) -> MeasuredRun:
    """Explain and measure every input of a request, one map each, and return what was found.

    `metrics` by label, where they are built already, else `request.metrics`. `references`: other maps of
    the inputs, where they are kept. Memory: a pooled map, a thumbnail and the record of every input.

    Raises:
        UsageError, ModelError: the run can't begin. One bad input is an item with an error.
    """
    began = time.perf_counter()
    request = replace(request, out=None, formats=(), resume=False, overwrite=False, dry_run=False)
    wanted = Wanted.of(request, metrics, referenced=references is not None)
    if len(wanted.methods) != 1 or wanted.target.every or wanted.target.top > 1:
        raise UsageError(
            "one map of each input is measured, and several are asked for", hint="one method, one target"
        )
    sources = listed(request)
    if sources is None:
        raise UsageError("the inputs must be known beforehand", hint="name the files instead of --files-from")
    require_some(sources)
    listen.loading(request.model)
    prepared = prepare(request, wanted, sources, open_engine)
    rival = open_rival(request, listen, open_engine)
    tell_choices(listen, prepared)
    listen.planned(len(sources))
    found: dict[str, MeasuredItem] = {}

    def keep(fed: Fed, aside: Aside, explained: Explained, record: ItemRecord) -> None:
        found[record.id] = _kept(prepared, fed, aside, explained, record)

    records: list[ItemRecord] = []
    asides = Asides(prepared, rival, references)
    ledger = Ledger(None, listen, request.max_failures, records.append)
    Work(prepared, _unwritten(prepared), ledger, asides, keep).run(sources)
    run = _settled(prepared, ledger, time.perf_counter() - began)
    # One that fails is recorded before those that are still computed.
    places = {source.id: place for place, source in enumerate(sources)}
    records.sort(key=lambda record: _place(record.id, places))
    items = tuple(found.get(record.id) or _failed(record, wanted.metrics) for record in records)
    if rival is None:
        return MeasuredRun(run, items)
    return MeasuredRun(run, items, rival.prepared.record(), rival.prepared.question.classes.label)


def _unwritten(prepared: Prepared) -> Publisher:
    """Return a publisher that makes records and writes nothing."""
    request = prepared.request
    return Publisher.plan(
        Destination("here", Path(), ()),
        prepared.engine.specs,
        prepared.question.methods,
        Style(request.reduce or "max"),
        reduce_given=request.reduce is not None,
        metadata={},
    )


def _settled(prepared: Prepared, ledger: Ledger, seconds: float) -> RunRecord:
    run = prepared.record()
    run.counts, run.flags, run.status = ledger.counts, dict(sorted(ledger.flags.items())), "done"
    run.metrics = ledger.collected.statistics()
    run.seconds = round(seconds, 3)
    return run


def _place(identity: str, places: Mapping[str, int]) -> tuple[int, int]:
    if identity in places:
        return places[identity], 0
    plain, _, row = identity.rpartition("#")
    return places[plain], int(row)


def _kept(prepared: Prepared, fed: Fed, aside: Aside, explained: Explained, record: ItemRecord) -> MeasuredItem:
    mapped = explained.maps[0]
    name = principal(fed, mapped.explanation.values)
    method = prepared.question.methods[mapped.method]
    plane = prepared.measuring.fold(mapped.explanation.values, name, fed.parts[name].layout, method)
    index = prepared.truths.index(fed.id)
    predicted = None if record.prediction is None else record.prediction.label
    return MeasuredItem(
        record,
        content_key(record.sources),
        label=predicted if index is None else prepared.question.classes.label(index),
        values={label: value for label, (value, _) in mapped.measured.items()},
        plane=pooled(plane, POOLED),
        picture=_thumbnail(fed.parts[name].original),
        reference=_pooled(aside.references[0]) if aside.references else None,
    )


def _pooled(reference: Reference) -> Reference:
    return replace(reference, plane=pooled(reference.plane, POOLED), attribution={})


def _failed(record: ItemRecord, metrics: Mapping[str, Metric]) -> MeasuredItem:
    """Return an input that failed; one whose map was not finite has that one value, 0."""
    values = {}
    if record.error is not None and record.error.reason in _NOT_FINITE:
        values = {label: 0.0 if name_of(label) == "finite" else math.nan for label in metrics}
    return MeasuredItem(record, content_key(record.sources), values=values)


def _thumbnail(original: Array | None) -> Array | None:
    if original is None:
        return None
    shown = original[..., 0] if original.ndim == 3 and original.shape[-1] == 1 else original
    image = Image.fromarray(np.ascontiguousarray(shown)).convert("RGB")
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    return np.asarray(image)
