"""`jacobian`: every output's derivative by every input, whole.

J[i, j] = ∂yᵢ/∂xⱼ at the sample, for every value yᵢ of an output (or the classes asked for) and every value xⱼ of each
floating input, in the space of the outputs: logits where a softmax or sigmoid is found, else the output itself.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Literal

from saliency_cli.autodiff.packing import Query, Reply
from saliency_cli.errors import ModelError, UsageError
from saliency_cli.records import ItemRecord, RunRecord
from saliency_cli.runs.engine import Engine
from saliency_cli.runs.explaining import prediction_of
from saliency_cli.runs.feeding import Fed
from saliency_cli.runs.preparing import Prepared
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.sources import Source, listed
from saliency_cli.runs.study import File, Findings
from saliency_cli.runs.study_files import folder_of
from saliency_cli.studies.jacobian_asking import Way, ask_block
from saliency_cli.studies.jacobian_files import archive, picture
from saliency_cli.studies.jacobian_found import Block, End, Jacobian, results
from saliency_cli.targets import Classes, Target, class_index

_FEW = 4


def _unwatched(identity: str, way: Way) -> None:
    """Hear nothing."""


@dataclass(frozen=True, eq=False)
class Jacobians:
    """The options of `saliency jacobian`.

    `classes`: rows for these alone, by name or index, of every output asked for; of an output with places each is the
    mean over them. `mode`: a row at a time (`reverse`), a column at a time (`forward`), or whichever is cheaper. The
    outputs are the request's. `watch` hears how far a large one has got, with the input's id.
    """

    classes: tuple[str, ...] = ()
    mode: Literal["auto", "forward", "reverse"] = "auto"
    watch: Callable[[str, Way], None] = _unwatched

    name: ClassVar[str] = "jacobian"

    def __post_init__(self) -> None:
        if self.classes and self.mode == "forward":
            raise UsageError(
                "--mode forward gives a column for every value of the input, and --classes asks for some rows",
                hint="leave one of them away",
            )

    @property
    def suffixes(self) -> Mapping[str, str]:
        """The arrays, and the heat maps."""
        return {"grid": ".png", "matrix": ".npz"}

    @property
    def sequential(self) -> bool:
        """Whether there are too few rows to fill a batch."""
        return 0 < len(self.classes) < _FEW

    def options(self) -> dict[str, Any]:
        """Return every option."""
        return {"classes": list(self.classes), "mode": self.mode}

    def sources(self, request: ComputeRequest) -> list[Source] | None:
        """Return the inputs that the request names."""
        return listed(request)

    def begin(self, prepared: Prepared) -> "Differentiation":
        """Bind the options to an open model.

        Raises:
            UsageError: an output has no such class or space. ModelError: no output depends on an input.
        """
        engine = prepared.engine
        names = engine.outputs or (engine.output,)
        ends: list[End] = []
        missing: dict[str, str] = {}
        for output in names:
            found, why = self._end(prepared, output)
            ends += [found] if found is not None else []
            missing |= {key: text if len(names) == 1 else f"output '{output}': {text}" for key, text in why.items()}
        reached = {name for end in ends for name in end.inputs}
        inputs = tuple(spec.name for spec in engine.specs if spec.name in reached)
        changed = replace(
            prepared,
            engine=replace(engine, connected=inputs, disconnected=missing),
            feeder=replace(prepared.feeder, differentiated=inputs),
        )
        return Differentiation(changed, self, tuple(ends))

    def _end(self, prepared: Prepared, output: str) -> tuple[End | None, dict[str, str]]:
        """Return an output that depends on an input, and by output/input why the others have no derivative."""
        engine, names = prepared.engine, prepared.question.classes.names
        assert engine.end is not None
        try:
            facts = engine.end(output)
        except ModelError as error:
            if error.reason != "disconnected":
                raise
            return None, {output: error.message}
        except UsageError as error:
            hint = "--output-name with those that have one, or leave --space away"
            raise UsageError(f"output '{output}': {error.message}", hint=hint, reason=error.reason) from None
        classes = Classes(facts.classes, names if len(names) == facts.classes else ())
        asked = prepared.request.space
        end = End(
            output=output,
            space=asked or ("logit" if facts.logits_found else "output"),
            shape=facts.output_shape,
            classes=facts.classes,
            inputs=facts.connected,
            chosen=tuple(dict.fromkeys(class_index(name.strip(), classes) for name in self.classes)) or None,
            names=classes.names,
        )
        return end, {f"{output}/{name}": why for name, why in facts.disconnected.items()}


@dataclass(frozen=True, eq=False)
class Differentiation:
    """The Jacobians of one model."""

    prepared: Prepared
    study: Jacobians
    ends: tuple[End, ...]

    @property
    def _engine(self) -> Engine:
        return self.prepared.engine

    def program(self, fed: Fed, target: Target | None) -> Generator[Query, Reply, Jacobian]:
        """Ask for every output's derivatives. Raises `InputError` where one is not finite."""
        del target
        engine, batch = self._engine, self._engine.evaluator.batch
        folder = folder_of(self.prepared.request)
        blocks: list[Block] = []
        about: Reply | None = None
        for end in self.ends:
            other = end.output != engine.output
            block, reply = yield from ask_block(
                fed.sample,
                end,
                self.study.mode,
                batch=batch,
                other=other,
                folder=folder,
                watch=partial(self.study.watch, fed.id),
            )
            blocks.append(block)
            about = about if other else reply
        assert about is not None
        shapes = {name: fed.sample.inputs[name].shape for name in fed.sample.floating}
        return Jacobian(
            prediction=prediction_of(engine, self.prepared.question.classes, about),
            blocks=tuple(blocks),
            inputs=shapes,
            specs={spec.name: spec for spec in engine.specs},
            layouts={name: fed.parts[name].layout for name in shapes},
        )

    def findings(self, fed: Fed, found: Jacobian) -> Findings:
        """Return the numbers of every pair of output and input, the arrays and the picture."""
        flags = ["stochastic"] if self._engine.record.stochastic else []
        flags += ["disconnected"] if self._engine.disconnected else []
        about = {"study": self.study.name, "input": fed.id, "outputs": [end.output for end in self.ends]}
        files = {"grid": picture(fed, found, about), "matrix": archive(fed, found)}
        return Findings(results(found, self._engine.disconnected), files, found.prediction, tuple(flags))

    def conclude(self, run: RunRecord, items: Iterator[ItemRecord]) -> Mapping[str, File]:
        """Record the outputs and what of the model isn't connected."""
        del items
        run.results["outputs"] = [end.output for end in self.ends]
        run.results["disconnected"] = dict(self._engine.disconnected)
        return {}
