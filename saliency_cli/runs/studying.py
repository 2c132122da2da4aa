"""A study carried through every input of a request: the inputs, batches, journal and manners of `compute`."""

import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saliency_cli.autodiff.packing import Query, Reply
from saliency_cli.errors import InputError
from saliency_cli.records import CountsRecord, ItemRecord, RunRecord
from saliency_cli.runs.asides import Asides
from saliency_cli.runs.carrying import carry
from saliency_cli.runs.checking import like_before, require_one_stdin, require_place, require_some, stacked
from saliency_cli.runs.destination import Destination
from saliency_cli.runs.diagnosis import MEANINGS
from saliency_cli.runs.engine import open_engine
from saliency_cli.runs.feeding import Fed
from saliency_cli.runs.journal import read_items
from saliency_cli.runs.ledger import Ledger
from saliency_cli.runs.listening import Listener
from saliency_cli.runs.planning import error_record
from saliency_cli.runs.preparing import OpenEngine, Wanted, prepare
from saliency_cli.runs.report import Report
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.sources import Source
from saliency_cli.runs.study import File, Inquiry, Study, planned_of, totals_of
from saliency_cli.runs.study_files import named, place, shown, write_file
from saliency_cli.runs.unstacking import unstacked
from saliency_cli.runs.working import Work


def run_study(
    request: ComputeRequest, study: Study, listen: Listener, open_engine: OpenEngine = open_engine
) -> Report:
    """Carry a study through every input of a request.

    Raises:
        UsageError, ModelError, OutputError: the run can't begin or go on.
        InputError: none of the inputs exists. One bad input is an item with an error, never raised.
    """
    began = time.perf_counter()
    wanted = Wanted.of(request)
    sources = study.sources(request)
    require_one_stdin(request)
    known = None if sources is None else [source.id for source in sources]
    totals = totals_of(study)
    destination = place(request, study.name, study.suffixes, known, totals)
    # One file of the whole run leaves none to its inputs, of which there may be many.
    of_inputs = Destination("here", Path(), ()) if set(destination.formats) & set(totals) else destination
    require_place(request, destination, sources)
    require_some(sources)
    if request.dry_run:
        return _planned(request, study, destination, sources, listen, began)
    request = like_before(request, destination)
    listen.loading(request.model)

    def opened(request: ComputeRequest, **_: Any) -> Any:
        alone = sources is not None and len(sources) == 1 and not stacked(sources[0])
        return open_engine(request, single=study.sequential and alone)

    inquiry = study.begin(prepare(request, wanted, sources, opened))
    prepared = inquiry.prepared
    run = prepared.record()
    run.study, run.options, run.methods = study.name, study.options(), []
    run.settings = {**run.settings, "method": {}, study.name: run.options}
    publisher = _Publisher(study, inquiry, of_inputs)
    items: list[ItemRecord] = []

    def program(fed: Fed, _: Any) -> Generator[Query, Reply, Any]:
        # In here, so that an input without a label fails alone.
        return (yield from inquiry.program(fed, prepared.truths.target(fed.id)))

    def work_with(ledger: Ledger) -> Work:
        if ledger.journal is None:
            ledger.recorded = items.append
        elif totals:
            ledger.journal.begin_anew()
        return Work(prepared, publisher, ledger, Asides(prepared, None), program=program)

    def conclude(run: RunRecord, ledger: Ledger) -> None:
        done = read_items(destination.root) if ledger.journal is not None else iter(items)
        files = inquiry.conclude(run, (item for item in done if item.status == "ok"))
        for kind, file in (shown(destination, files) if totals else files).items():
            name = f"{kind}{file.suffix}"
            run.files[kind] = name if destination.kind == "folder" else f"{study.name}.{name}"
            if destination.kind == "file" and totals:
                run.files[kind] = destination.root.as_posix()
            write_file(destination.path(run.files[kind]), file.data)

    return carry(prepared, run, destination, sources, listen, work_with, began=began, conclude=conclude)


@dataclass(frozen=True, eq=False)
class _Publisher:
    """Writes one sample's files and makes its record."""

    study: Study
    inquiry: Inquiry
    destination: Destination

    def publish(self, fed: Fed, found: Any, seconds: float, /) -> tuple[ItemRecord, bytes]:
        findings = self.inquiry.findings(fed, found)
        if findings.flags and self.inquiry.prepared.request.strict:
            reasons = "; ".join(MEANINGS[flag] for flag in findings.flags)
            raise InputError(f"--strict: {reasons}", reason=findings.flags[0])
        record = ItemRecord(
            id=fed.id,
            status="ok",
            sources=dict(fed.sources),
            prediction=findings.prediction,
            results=dict(findings.results),
            flags=[*(["preparing-guessed"] if fed.guessed else []), *findings.flags],
            seconds=seconds,
        )
        beside: dict[str, File | str] = {**self.study.suffixes, **findings.files}
        for kind, file in shown(self.destination, findings.files).items():
            record.files[kind] = named(self.destination, self.study.name, fed.id, kind, file.suffix, beside)
            write_file(self.destination.path(record.files[kind]), file.data)
        return record, b""


def _planned(
    request: ComputeRequest,
    study: Study,
    destination: Destination,
    sources: list[Source] | None,
    listen: Listener,
    began: float,
) -> Report:
    """Tell the listener of every input and the files it may get; nothing is written."""
    counts = CountsRecord()
    if sources is not None and destination.kind != "file":
        sources = unstacked(request, sources)
    listen.planned(None if sources is None else len(sources))
    alone = sources is not None and len(sources) == 1
    for source in sources or ():
        counts.error += source.error is not None
        counts.ok += source.error is None
        possible = {} if source.error else planned_of(study, source, alone=alone)
        beside = {**study.suffixes, **possible}
        files = shown(destination, {kind: File(suffix, b"") for kind, suffix in possible.items()})
        listen.item(
            ItemRecord(
                id=source.id,
                status="error" if source.error else "ok",
                files={
                    kind: named(destination, study.name, source.id, kind, file.suffix, beside)
                    for kind, file in files.items()
                },
                error=error_record(source.error) if source.error else None,
            )
        )
    run = RunRecord(status="planned", study=study.name, target=request.target, seed=request.seed, counts=counts)
    run.options = study.options()
    run.seconds = round(time.perf_counter() - began, 3)
    report = Report(run, counts.error, request.out)
    listen.finished(report)
    return report
