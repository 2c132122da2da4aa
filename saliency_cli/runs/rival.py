"""The other map of every sample: the same inputs, explained first by a second model or another method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from saliency_cli.autodiff.packing import Job, Packer
from saliency_cli.errors import InputError
from saliency_cli.runs.explaining import Explained, explain
from saliency_cli.runs.feeding import Fed
from saliency_cli.runs.listening import Listener
from saliency_cli.runs.measuring import principal
from saliency_cli.runs.preparing import OpenEngine, Prepared, Wanted, prepare
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.sources import Source
from saliency_cli.subject import Reference

Found = Mapping[str, tuple[Reference, ...] | InputError]


@dataclass(frozen=True, eq=False)
class Rival:
    """A second model with its own way of feeding; a sample is asked about its own top class, or the target named."""

    prepared: Prepared

    def references(self, given: Sequence[tuple[Fed, Source, Mapping[str, bytes]]]) -> Found:
        """Return the second model's maps of some samples by id, or why there are none."""
        found: dict[str, tuple[Reference, ...] | InputError] = {}
        jobs = []
        for fed, source, held in given:
            try:
                other = self._fed(fed, source, held)
                target = self.prepared.truths.target(other.id)
            except InputError as error:
                found[fed.id] = error
                continue
            jobs.append(Job(other, other.sample, explain(other.sample, self.prepared.question, target)))
        packer = Packer(
            self.prepared.engine.evaluator,
            classes=self.prepared.engine.classes,
            truth_shape=self.prepared.truths.truth_shape,
        )
        for outcome in packer.run(jobs):
            if isinstance(outcome.error, InputError):
                found[outcome.key.id] = outcome.error
            elif outcome.error is not None:
                raise outcome.error
            else:
                found[outcome.key.id] = self._references(outcome.key, outcome.result)
        return found

    def _fed(self, fed: Fed, source: Source, held: Mapping[str, bytes]) -> Fed:
        for other in self.prepared.feeder.feed(source, held):
            if other.id == fed.id:
                if isinstance(other, Fed):
                    return other
                raise other.error
        raise InputError(f"the second model takes '{fed.id}' for another number of samples", reason="unpaired")

    def _references(self, fed: Fed, explained: Explained) -> tuple[Reference, ...]:
        name = principal(fed, explained.maps[0].explanation.values)
        layout, fold = fed.parts[name].layout, self.prepared.measuring.fold
        methods = self.prepared.question.methods
        return tuple(
            Reference(
                plane=fold(found.explanation.values, name, layout, methods[found.method]),
                attribution=found.explanation.values,
                top=-1 if explained.prediction.index is None else explained.prediction.index,
                value=float("nan") if found.target.value is None else found.target.value,
                scores=explained.scores,
            )
            for found in explained.maps
        )


def open_rival(request: ComputeRequest, listen: Listener, open_engine: OpenEngine) -> Rival | None:
    """Open the second model of a request, or the first again for another method; None where none is asked for."""
    if request.reference is None:
        return None
    method = request.reference_method
    labelled = request.loss is not None or request.target.strip() == "label"
    other = replace(
        request,
        model=request.reference,
        reference=None,
        metrics=(),
        masks=None,
        # The metrics read the first model's labels; of the second only its map is asked.
        label=request.label if labelled else None,
        labels=request.labels if labelled else None,
        methods=(method,) if method else request.methods,
        options=request.reference_options if method else request.options,
    )
    listen.loading(other.model)
    return Rival(prepare(other, Wanted.of(other), None, open_engine))
