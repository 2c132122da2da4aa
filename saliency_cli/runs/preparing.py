"""From a request to all that one sample needs: the engine, how inputs are fed, what is asked of each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from saliency_cli.clipping import clip_of
from saliency_cli.differentiable import Method
from saliency_cli.records import MetricRecord, RunRecord
from saliency_cli.runs.checking import (
    class_names,
    expected,
    require_baselines,
    require_inputs,
    require_meaning,
    single,
)
from saliency_cli.runs.engine import Engine
from saliency_cli.runs.explaining import Question
from saliency_cli.runs.feeding import Feeder
from saliency_cli.runs.layers import option_of, resolve
from saliency_cli.runs.listening import Listener
from saliency_cli.runs.masks import Masks
from saliency_cli.runs.measuring import Measuring
from saliency_cli.runs.naming import distinct_labels
from saliency_cli.runs.needs import build_metrics, describe_metrics, require_answerable, require_needs
from saliency_cli.runs.provenance import run_record
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.settings import build_methods, describe_methods
from saliency_cli.runs.sources import Source
from saliency_cli.runs.truth import Truths, require_labels
from saliency_cli.subject import Metric
from saliency_cli.targets import Classes, TargetText, check_target, parse_target

OpenEngine = Callable[..., Engine]


@dataclass(frozen=True, eq=False)
class Wanted:
    """A request understood as far as it can be without its model."""

    methods: Mapping[str, Method]
    target: TargetText
    names: tuple[str, ...]
    metrics: Mapping[str, Metric]
    masks: Masks | None

    @classmethod
    def of(
        cls, request: ComputeRequest, metrics: Mapping[str, Metric] | None = None, *, referenced: bool = False
    ) -> "Wanted":
        """Parse a request's texts. `metrics` where they are built already; `referenced`: other maps are there.

        Raises `UsageError` for all that is wrong with them, before a model is opened.
        """
        methods = build_methods(request.methods, (*option_of(request.layer), *request.options))
        require_baselines(methods)
        clip_of(request.clip_norm, request.clip_value, request.clip_global_norm)
        target = parse_target(request.target)
        require_labels(request)
        metrics = build_metrics(request.metrics) if metrics is None else metrics
        require_baselines(metrics)
        require_needs(metrics, request, referenced=referenced)
        names = class_names(request)
        masks = Masks.plan(request.masks) if request.masks else None
        return cls(methods, target, names, metrics, masks)


@dataclass(frozen=True, eq=False)
class Prepared:
    """A request with its model open: everything the samples of its run share.

    `reasons`: why a method looks at the layer it does, where that was found and not named.
    """

    request: ComputeRequest
    engine: Engine
    feeder: Feeder
    question: Question
    truths: Truths
    measuring: Measuring
    masks: Masks | None
    reasons: Mapping[str, str] = field(default_factory=dict)

    def record(self, formats: tuple[str, ...] = ()) -> RunRecord:
        """Return the run's provenance, before anything of it is done."""
        described: dict[str, MetricRecord] = describe_metrics(self.measuring.metrics)
        record = run_record(
            self.request,
            self.engine,
            self.feeder,
            methods_of=describe_methods(self.question.methods, self.reasons),
            formats=formats,
        )
        record.measured = described
        if described:
            record.settings["metrics"] = {label: found.options for label, found in described.items()}
        return record


def prepare(
    request: ComputeRequest, wanted: Wanted, sources: list[Source] | None, open_engine: OpenEngine
) -> Prepared:
    """Open the model of a request and plan its run. Raises `UsageError` and `ModelError` where it can't be."""
    request = replace(request, expected=None if wanted.metrics else expected(request, sources))
    engine = open_engine(request, single=single(request, sources) and not wanted.metrics)
    require_inputs(request, engine)
    classes = Classes(engine.classes, wanted.names or distinct_labels(engine.class_names))
    if engine.loss is None:
        check_target(wanted.target, classes)
        require_meaning(engine, request)
    truths = Truths.plan(request, wanted.target, engine.loss, classes, engine.shape)
    feeder = Feeder.plan(
        engine.specs,
        engine.clues,
        request.preprocess,
        request.resize,
        seed=request.seed,
        differentiated=tuple(engine.connected),
    )
    require_answerable(wanted.metrics, engine)
    measuring = Measuring(
        wanted.metrics,
        {spec.name: spec for spec in engine.specs},
        request.reduce,
        depth=engine.depth() if any("depth" in metric.needs for metric in wanted.metrics.values()) else 0,
        logit_space="logit" if engine.head in ("softmax", "sigmoid", "binary") else "output",
    )
    chosen = resolve(wanted.methods, engine)
    # What a method goes back by is traced before an input is read: a model it has no answer for is told at once.
    for method in chosen.methods.values():
        for trace in getattr(method, "traces", ()):
            engine.trace(trace)
    clip = clip_of(request.clip_norm, request.clip_value, request.clip_global_norm)
    question = Question(engine, chosen.methods, wanted.target, classes, request.strict, clip)
    return Prepared(request, engine, feeder, question, truths, measuring, wanted.masks, chosen.reasons)


def tell_choices(listen: Listener, prepared: Prepared) -> None:
    """Say what was chosen for the user, and why."""
    engine, feeder = prepared.engine, prepared.feeder
    for name, preparing in feeder.preparing.items():
        spec = next(spec for spec in engine.specs if spec.name == name)
        if len(spec.shape) == 3 and spec.floating and not feeder.declared and not preparing.guessed:
            listen.notice(f"preparing: {preparing.name}, because {preparing.reason}")
    for reason in dict.fromkeys(prepared.reasons.values()):
        names = ", ".join(name for name, other in prepared.reasons.items() if other == reason)
        listen.notice(f"{names}: {reason}")
    for note in engine.notes:
        listen.notice(note)
    for reason in engine.disconnected.values():
        listen.warning(reason)
