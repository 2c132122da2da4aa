"""`parameters`: the gradient of a target or a loss by the model's weights, over all inputs and of each.

ḡ = 1/n Σᵢ ∂s(xᵢ)/∂w (or the sum), in inference mode: batch normalisations use their moving statistics, and dropout
is off. What a training step would take, but for those.
"""

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from math import sqrt
from typing import IO, TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np

from saliency_cli.autodiff.packing import Query, Reply
from saliency_cli.clipping import Clipped, together
from saliency_cli.differentiable import VALUES, Array, Ask
from saliency_cli.errors import InputError, UsageError
from saliency_cli.records import ItemRecord, PredictionRecord, RunRecord
from saliency_cli.runs import diagnosis
from saliency_cli.runs.explaining import prediction_of
from saliency_cli.runs.feeding import Fed
from saliency_cli.runs.preparing import Prepared
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.sources import Source, listed
from saliency_cli.runs.study import File, Findings
from saliency_cli.runs.study_files import folder_of
from saliency_cli.studies.archive import write_npz
from saliency_cli.studies.parameters_found import LayerRecord, Totals, layer_records
from saliency_cli.studies.parameters_rows import Rows
from saliency_cli.targets import Target, resolve

if TYPE_CHECKING:
    from saliency_cli.autodiff.parameters import WeightGradients

VANISHING, EXPLODING = 1e-3, 1e3


@dataclass(frozen=True, eq=False)
class Parameters:
    """The options of `saliency parameters`.

    `reduction`: the mean over the inputs, as losses take it over a batch, or the sum. `per_sample`: keep each input's
    own gradient. `all_weights`: those too that training leaves as they are. `vanishing` and `exploding`: multiples of
    the median layer's relative gradient beyond which a layer is called so (`parameters_found.py`).
    """

    reduction: Literal["mean", "sum"] = "mean"
    per_sample: bool = False
    all_weights: bool = False
    vanishing: float = VANISHING
    exploding: float = EXPLODING

    name: ClassVar[str] = "parameters"

    def __post_init__(self) -> None:
        if not 0 <= self.vanishing < self.exploding:
            raise UsageError(
                f"--vanishing is {self.vanishing:g} and --exploding {self.exploding:g}: the first must be below the "
                "second, and not below 0",
                hint=f"--vanishing {VANISHING:g} --exploding {EXPLODING:g} are the defaults",
                reason="bad-option",
            )

    @property
    def suffixes(self) -> Mapping[str, str]:
        """An input has no files of its own."""
        return {}

    @property
    def totals(self) -> Mapping[str, str]:
        """The gradients, each input's if they are kept, and the chart of the layers."""
        return {**({"per-sample": ".npz"} if self.per_sample else {}), "gradients": ".npz", "layers": ".png"}

    @property
    def sequential(self) -> bool:
        """One point an input."""
        return True

    def options(self) -> dict[str, Any]:
        """Return every option."""
        return {
            "reduction": self.reduction,
            "per_sample": self.per_sample,
            "all_weights": self.all_weights,
            "vanishing": self.vanishing,
            "exploding": self.exploding,
        }

    def sources(self, request: ComputeRequest) -> list[Source] | None:
        """Return the inputs that the request names."""
        return listed(request)

    def begin(self, prepared: Prepared) -> "Gradients":
        """Bind the options to an open model.

        Raises:
            UsageError: several targets are asked for. ModelError: the target depends on none of the weights.
        """
        engine, target = prepared.engine, prepared.question.target
        if target.every or target.top > 1:
            raise UsageError(
                f"a gradient by the weights is of one target, and '{target.text}' is several",
                hint="--target top, label or a class; or --loss",
                reason="bad-target",
            )
        assert engine.by_weights is not None
        totals = Totals()
        evaluator = engine.by_weights(
            [weight for weight in engine.weights if weight.trainable or self.all_weights],
            truth_shape=prepared.truths.truth_shape,
            each=self.per_sample,
        ).handing(totals.add)
        folder = folder_of(prepared.request) if prepared.request.out is not None else None
        changed = replace(prepared, engine=replace(engine, evaluator=evaluator))
        return Gradients(changed, self, evaluator, totals, Rows(evaluator.weights, folder))


class Found(NamedTuple):
    """One sample: its target and the norm of its gradient by each weight, in order; `row` where it is kept."""

    prediction: PredictionRecord
    label: str
    value: float
    norms: Array
    row: int | None = None
    clipped: Clipped | None = None


@dataclass(frozen=True, eq=False)
class Gradients:
    """Gradients by the weights of one model. `values`: every sample's target, in the order they were found."""

    prepared: Prepared
    options: Parameters
    evaluator: "WeightGradients"
    totals: Totals
    rows: Rows
    values: list[float] = field(default_factory=list)

    def program(self, fed: Fed, target: Target | None) -> Generator[Query, Reply, Found]:
        """Ask for the sample's gradient, which is also taken into the totals. Raises `InputError`, see below."""
        from saliency_cli.autodiff.parameters import GRADIENT, SQUARES

        question, sample = self.prepared.question, fed.sample
        self._require_trusted(fed)  # before its gradient is part of the totals
        if target is None and not question.target.needs_prediction:
            (target,) = resolve(question.target, question.classes, None)
        ask = Ask(1, lambda _, out: sample.write(out), np.ones(1), trace=VALUES)
        reply = yield _query(ask, target, self.prepared.engine.classes)
        value, squares = float(reply.answer.values[0]), reply.answer.activations[SQUARES]
        diagnosis.require_finite_values(value)
        self._require_finite(squares)
        self.values.append(value)
        row = clipped = None
        if self.options.per_sample:
            flat = reply.answer.activations[GRADIENT]
            if question.clip is not None:
                flat, clipped = self.rows.clipped(flat, question.clip)
            row = self.rows.append(flat)
        top = int(reply.answer.tops[0])
        label = target.label if target is not None else question.classes.label(top)
        prediction = prediction_of(self.prepared.engine, question.classes, reply)
        return Found(prediction, label, value, np.sqrt(squares), row, clipped)

    def _require_trusted(self, fed: Fed) -> None:
        flags = ["preparing-guessed"] if fed.guessed else []
        flags += ["stochastic"] if self.prepared.engine.record.stochastic else []
        if flags and self.prepared.request.strict:
            reasons = "; ".join(diagnosis.MEANINGS[flag] for flag in flags)
            raise InputError(f"--strict: {reasons}", reason=flags[0])

    def _require_finite(self, squares: Array) -> None:
        """Raise `InputError` naming the weights whose gradient isn't finite."""
        bad = [w.name for w, square in zip(self.evaluator.weights, squares, strict=True) if not np.isfinite(square)]
        if bad:
            raise InputError(
                f"the gradient by {', '.join(bad[:3])}{f' and {len(bad) - 3} more' if len(bad) > 3 else ''} is not "
                "finite",
                hint="a square root or a division at 0 in the model, or an overflow (its square is taken too): check "
                "the scale (--preprocess)",
                reason="non-finite-gradient",
            )

    def findings(self, fed: Fed, found: Found) -> Findings:  # noqa: ARG002 - another study looks at its parts
        """Return the record of one sample: its target, and the norm of its gradient whole and by layer."""
        layers: dict[str, float] = {}
        for weight, length in zip(self.evaluator.weights, found.norms, strict=True):
            layers[weight.layer] = sqrt(layers.get(weight.layer, 0.0) ** 2 + float(length) ** 2)
        results: dict[str, Any] = {
            "target": found.label,
            "value": found.value,
            "norm": sqrt(float(np.square(found.norms).sum())),
            "layers": layers,
        }
        if found.row is not None:
            results["row"] = found.row
        if found.clipped is not None:
            results |= {"norm_before": together(found.clipped.before), "norm_after": together(found.clipped.after)}
        flags = ("stochastic",) if self.prepared.engine.record.stochastic else ()
        return Findings(results, {}, found.prediction, flags)

    def gradients(self) -> tuple[dict[str, Array], Clipped | None]:
        """Return the gradient over all samples by weight name, clipped where that is asked for, float64."""
        names = [weight.name for weight in self.evaluator.weights]
        whole = dict(zip(names, self.totals.gradients(self.options.reduction), strict=True))
        clip = self.prepared.question.clip
        clipped = clip.apply(whole) if clip is not None else None
        return (whole if clipped is None else dict(clipped.arrays)), clipped

    def typed(self, gradients: Mapping[str, Array]) -> dict[str, Array]:
        """Return gradients in the precision of their weights: float32, or float64 where they are."""
        wide = {weight.name for weight in self.evaluator.weights if weight.dtype == "float64"}
        return {name: array.astype(np.float64 if name in wide else np.float32) for name, array in gradients.items()}

    def report(self, gradients: Mapping[str, Array], clipped: Clipped | None) -> dict[str, Any]:
        """Return what all samples together tell."""
        layers = layer_records(
            self.evaluator.weights,
            gradients,
            self.totals,
            vanishing=self.options.vanishing,
            exploding=self.options.exploding,
        )
        named = {word: [each.layer for each in layers if each.verdict == word] for word in _WORDS}
        results: dict[str, Any] = {
            "n": self.totals.n,
            "value": float(np.mean(self.values)) * (1 if self.options.reduction == "mean" else self.totals.n),
            "norm": sqrt(sum(each.l2**2 for each in layers)),
            "typical": sqrt(float(self.totals.typical().sum())),
            "noise_scale": self.totals.noise_scale(),
            "weights": sum(each.size for each in layers),
            **named,
            "disconnected": list(self.evaluator.disconnected),
            "way": self.evaluator.way,
            "layers": layers,
        }
        if clipped is not None:
            results |= {"norm_before": together(clipped.before), "norm_after": together(clipped.after)}
            results["clipped"] = {
                name: {"norm_before": clipped.before[name], "norm_after": clipped.after[name]}
                for name in clipped.before
                if clipped.before[name] != clipped.after[name]
            }
        return results

    def conclude(self, run: RunRecord, items: Iterator[ItemRecord]) -> Mapping[str, File]:  # noqa: ARG002 - as above
        """Add the layers and what is noticed about them; return the gradients and the chart."""
        if not self.totals.n:
            run.results["n"] = 0
            return {}
        gradients, clipped = self.gradients()
        run.results |= self.report(gradients, clipped)
        if self.prepared.request.out is None:
            return {}
        caption, layers = self._caption(run), run.results["layers"]
        files = {
            "gradients": File(".npz", partial(_write, self.typed(gradients))),
            "layers": File(".png", lambda stream: _draw(stream, layers, caption, self._metadata())),
        }
        if self.options.per_sample:
            files["per-sample"] = File(".npz", partial(_write, self.rows.arrays()))
        return files

    def _caption(self, run: RunRecord) -> str:
        engine = self.prepared.engine
        what = f"{engine.loss} loss" if engine.loss else f"{run.target} ({engine.space})"
        name = run.model.path.rpartition("/")[2] if run.model else ""
        inputs = "one input" if self.totals.n == 1 else f"{self.totals.n:,} inputs"
        return f"{name} · {self.options.reduction} gradient of {what} over {inputs}, by the weights"

    def _metadata(self) -> dict[str, Any]:
        from saliency_cli import __version__

        sha256 = self.prepared.engine.record.weights_sha256
        return {"software": f"saliency {__version__}", "schema": "parameters-1", "weights_sha256": sha256}


_WORDS = ("dead", "vanishing", "exploding")


def _query(ask: Ask, target: Target | None, classes: int) -> Query:
    """Return a query whose class weights say that the row is about something, for a loss too."""
    if target is None:
        return Query(ask)
    if target.truth is not None:
        return Query(ask, weights=np.ones(classes, np.float32), truth=target.truth)
    return Query(ask, weights=target.weights)


def _write(arrays: Mapping[str, Array], stream: IO[bytes]) -> None:
    write_npz(stream, arrays)


def _draw(stream: IO[bytes], layers: list[LayerRecord], caption: str, metadata: Mapping[str, Any]) -> None:
    from saliency_cli.rendering.encoding import encode_picture
    from saliency_cli.rendering.layer_norms import Mark, layer_norms

    marks = [Mark(each.layer or "model", each.relative, each.verdict) for each in layers]
    note = "The line is the median layer. A layer without a value has no gradient, or weights that are all 0."
    pixels = layer_norms(
        marks, "root mean square norm of one input's gradient, over the norm of the weights", caption, note
    )
    stream.write(encode_picture(pixels, "PNG", metadata))
