"""What a command beside `compute` asks of every sample: the protocol of `jacobian`, `perturb` and their like.

A `Study` is the command's options; `begin` binds it to an open model and gives an `Inquiry`: the program of one
sample, a generator of queries as a method's is one of asks, and what is written of what it found.
`runs/studying.py` carries it through the inputs.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, ClassVar, NamedTuple, Protocol

from saliency_cli.autodiff.packing import Query, Reply
from saliency_cli.differentiable import Sample
from saliency_cli.records import ItemRecord, PredictionRecord, RunRecord, TargetRecord
from saliency_cli.runs import diagnosis
from saliency_cli.runs.explaining import Question, prediction_of, query, target_record
from saliency_cli.runs.feeding import Fed
from saliency_cli.runs.preparing import Prepared
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.sources import Source
from saliency_cli.targets import Target, resolve


@dataclass(frozen=True, eq=False)
class File:
    """One file of a sample: its suffix with the dot, and its bytes.

    What is too large for memory is a function that writes it into an open file, or a finished file to be moved into
    its place (best made in `study_files.folder_of(request)`: on one disk it is not written twice).
    """

    suffix: str
    data: bytes | Path | Callable[[IO[bytes]], None]


@dataclass(frozen=True, eq=False)
class Findings:
    """What is told of one sample: `results` for its record (plain values, msgspec structs), `files` by kind."""

    results: Mapping[str, Any]
    files: Mapping[str, File] = field(default_factory=dict)
    prediction: PredictionRecord | None = None
    flags: tuple[str, ...] = ()


class Study(Protocol):
    """The options of one command.

    `sequential` says that a sample's points come one after another, so that a single sample is a batch of 1.
    """

    name: ClassVar[str]

    @property
    def suffixes(self) -> Mapping[str, str]:
        """Each kind of file it may write of a sample → its suffix."""
        ...

    @property
    def sequential(self) -> bool:
        """Whether each ask of a sample is one point."""
        ...

    def options(self) -> dict[str, Any]:
        """Return every option that a result depends on, for the record; a run is resumed with the same ones only."""
        ...

    def sources(self, request: ComputeRequest) -> list[Source] | None:
        """Return what is to be worked on; None where that isn't known beforehand (`runs.sources.listed`)."""
        ...

    def begin(self, prepared: Prepared) -> "Inquiry":
        """Bind the options to an open model. Raises `UsageError` or `ModelError` where they don't fit it."""
        ...


class Whole(Study, Protocol):
    """A study whose result is of all samples together. A run of it that is resumed asks about every sample again."""

    @property
    def totals(self) -> Mapping[str, str]:
        """Each kind of file it may write of the whole run → its suffix; of two of one suffix `-o FILE` is one."""
        ...


def totals_of(study: Study) -> Mapping[str, str]:
    """Return the kinds of file that a study names for its whole run, none where it isn't about that."""
    found: Mapping[str, str] = getattr(study, "totals", {})
    return found


def planned_of(study: Study, source: Source, *, alone: bool) -> Mapping[str, str]:
    """Return each kind of file that a study may write of one input → its suffix; `alone`: it is the only one.

    All `suffixes`, where the study has no method `planned` that tells by the input's file.
    """
    tell: Callable[..., Mapping[str, str]] | None = getattr(study, "planned", None)
    return study.suffixes if tell is None else tell(source, alone=alone)


class Inquiry(Protocol):
    """A study of one model. `prepared` is what `begin` was given, or a changed copy of it."""

    @property
    def prepared(self) -> Prepared:
        """The run's model, feeder and question."""
        ...

    def program(self, fed: Fed, target: Target | None) -> Generator[Query, Reply, Any]:
        """Yield what is asked about one sample and return what was found.

        `target` is given where it depends on the sample's label. Raises `InputError` where there is no answer.
        """
        ...

    def findings(self, fed: Fed, found: Any) -> Findings:
        """Return what is recorded and written of one sample. Called on a writing thread."""
        ...

    def conclude(self, run: RunRecord, items: Iterator[ItemRecord]) -> Mapping[str, File]:
        """Add to `run.results` what all samples together tell; return files of the whole run by kind."""
        ...


class FirstLook(NamedTuple):
    """The unperturbed sample: what the model says of it, its targets, and the reply about the first of them."""

    prediction: PredictionRecord
    targets: list[Target]
    reply: Reply
    record: TargetRecord


def first_look(sample: Sample, question: Question, target: Target | None) -> Generator[Query, Reply, FirstLook]:
    """Ask for the value and gradient at the sample itself, which also resolves `top`. Raises `InputError`."""
    engine, classes = question.engine, question.classes
    fixed = (
        [target] if target else [] if question.target.needs_prediction else resolve(question.target, classes, None)
    )
    reply = yield query(sample.itself(), fixed[0] if fixed else None)
    diagnosis.require_finite_values(float(reply.answer.values[0]))
    targets = fixed or resolve(question.target, classes, reply.logits)
    record = target_record(engine, classes, targets[0], reply)
    return FirstLook(prediction_of(engine, classes, reply), targets, reply, record)
