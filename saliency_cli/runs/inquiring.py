"""One sample put to a study from Python: the same stages as its command, without a journal."""

from dataclasses import replace
from typing import Any, NamedTuple

from saliency_cli.autodiff.packing import Job, Packer
from saliency_cli.errors import UsageError
from saliency_cli.runs.attributing import fed_from
from saliency_cli.runs.engine import Engine
from saliency_cli.runs.feeding import Fed, Feeder
from saliency_cli.runs.preparing import Wanted, prepare
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.study import Findings, Study
from saliency_cli.runs.truth import require_labels
from saliency_cli.targets import parse_target


def _made(request: ComputeRequest, study: Study, feeder: Feeder) -> Fed:
    """Return the first input that a study makes itself."""
    sources = study.sources(request)
    if not sources:
        raise UsageError(f"{study.name} is of an input, and none was given", hint="x=an array, or the path of a file")
    (fed,) = feeder.feed(sources[0])
    if not isinstance(fed, Fed):
        raise fed.error
    return fed


class Inquired(NamedTuple):
    """What a study's program returned of a sample, and what its command would tell and write of it."""

    found: Any
    findings: Findings


def inquire(
    engine: Engine, x: Any, request: ComputeRequest, study: Study, *, class_names: tuple[str, ...] = ()
) -> Inquired:
    """Put one sample to a study.

    `x`: an array, a mapping of input to array, the path of a file, or None for a study that makes its input itself.
    `findings.files` are made, not written anywhere.

    Raises:
        UsageError: the request or the study makes no sense for the model. InputError: the sample can't be used.
    """
    require_labels(request)
    wanted = Wanted({}, parse_target(request.target), class_names, {}, None)
    inquiry = study.begin(prepare(request, wanted, None, lambda *_, **__: engine))
    prepared = inquiry.prepared
    asked = prepared.engine
    fed = fed_from(x, prepared.feeder, asked) if x is not None else _made(request, study, prepared.feeder)
    program = inquiry.program(fed, prepared.truths.target(fed.id))
    packer = Packer(asked.evaluator, classes=asked.classes, truth_shape=prepared.truths.truth_shape)
    (outcome,) = packer.run([Job(fed, fed.sample, program)])
    if outcome.error is not None:
        raise outcome.error
    findings = inquiry.findings(fed, outcome.result)
    flags = (*(("preparing-guessed",) if fed.guessed else ()), *findings.flags)
    return Inquired(outcome.result, replace(findings, flags=flags))
