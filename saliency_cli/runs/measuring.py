"""What is measured of one sample's map: the subject built, every metric driven, the engine's answers shared."""

from collections.abc import Collection, Generator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from saliency_cli.arrays import pooled, reduce_channels
from saliency_cli.autodiff.packing import Query, Reply
from saliency_cli.differentiable import (
    GRADIENT,
    Answer,
    Array,
    Arrays,
    Ask,
    Attributing,
    Method,
    Reduce,
    Sample,
    Trace,
)
from saliency_cli.errors import InputError
from saliency_cli.records import InputSpec
from saliency_cli.runs.feeding import Fed
from saliency_cli.runs.measured import POOLED
from saliency_cli.subject import Measured, Metric, Need, Reference, Subject
from saliency_cli.targets import Target


@dataclass(frozen=True, eq=False)
class Aside:
    """What a sample brings beside its arrays: its true class, its mask, the other maps of it, its valid range."""

    label: int | None = None
    mask: Array | None = None
    references: tuple[Reference, ...] = ()
    limits: Mapping[str, tuple[Array, Array]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Measuring:
    """The metrics of a run, by the names asked for, and how a map is folded for them."""

    metrics: Mapping[str, Metric]
    specs: Mapping[str, InputSpec]
    reduce: Reduce | None
    depth: int = 0
    logit_space: str = "logit"

    @property
    def needs(self) -> frozenset[Need]:
        """All that any of the metrics needs."""
        return frozenset[Need]().union(*(metric.needs for metric in self.metrics.values()))

    def fold(self, attribution: Arrays, name: str, layout: str, method: Method) -> Array:
        """Return |map| of one input with its channels folded, float64."""
        values, channels = attribution[name], self.specs[name].channels
        if channels is None or values.ndim < 2 or layout not in ("picture", "signal"):
            return np.abs(np.asarray(values, np.float64))
        how = self.reduce or method.reduce
        return np.abs(reduce_channels(values, channels, "max" if how == "none" else how))

    def measure(
        self,
        fed: Fed,
        aside: Aside,
        method: Method,
        target: Target,
        known: Reply,
        attribution: Arrays,
        *,
        position: int,
    ) -> Generator[Query, Reply, dict[str, Measured]]:
        """Yield what the metrics ask about one map, and return their values by name.

        `known` is the reply at the unperturbed sample: whoever asks for it again gets it.
        """
        name = principal(fed, attribution)
        untold = [other for other in fed.sample.floating if other not in attribution]
        layout = fed.parts[name].layout
        channels = self.specs[name].channels if layout in ("picture", "signal") else None

        def rerun(sample: Sample, trace: Trace, weights: Array | None = None) -> Attributing:
            return _rerouted(method.attribute(sample), trace, weights)

        subject = Subject(
            sample=fed.sample,
            attribution=attribution,
            name=name,
            plane=self.fold(attribution, name, layout, method),
            weights=target.weights,
            value=float(known.answer.values[0]),
            logits=known.logits,
            scores=known.scores,
            top=int(known.answer.tops[0]),
            attribute=rerun,
            channels=channels if attribution[name].ndim > 1 else None,
            label=aside.label,
            limits=aside.limits,
            mask=aside.mask,
            depth=self.depth,
            logit_space=self.logit_space,
            fold=lambda found: self.fold(found, name, layout, method),
        )
        reference = aside.references[position] if position < len(aside.references) else None
        compared = _compared(subject, reference) if reference is not None else subject
        values = {}
        for label, metric in self.metrics.items():
            if "reference" in metric.needs and reference is None:
                values[label] = Measured(float("nan"), "there is no other map of this input")
                continue
            if "map" in metric.needs and untold:
                values[label] = Measured(float("nan"), f"the method tells nothing of the input '{untold[0]}'")
                continue
            about = compared if "reference" in metric.needs else subject
            values[label] = yield from _driven(metric, about, target, known)
        return values


def principal(fed: Fed, mapped: Collection[str] | None = None) -> str:
    """Return the input whose map is measured: the first picture, else the first that is differentiated.

    `mapped`: the inputs a method tells of, where that may not be all of them.
    """
    names = [name for name in fed.sample.floating if mapped is None or name in mapped]
    return next((name for name in names if fed.parts[name].layout == "picture"), names[0])


def _compared(subject: Subject, reference: Reference) -> Subject:
    """Return the subject with its reference, both planes of one shape."""
    if reference.plane.shape == subject.plane.shape:
        return replace(subject, reference=reference)
    small = pooled(subject.plane, POOLED)
    if small.shape == reference.plane.shape:
        return replace(subject, plane=small, reference=reference)
    other = pooled(reference.plane, POOLED)
    if other.ndim == small.ndim:
        common = tuple(min(a, b) for a, b in zip(small.shape, other.shape, strict=True))
        small, other = _to(small, common), _to(other, common)
        return replace(subject, plane=small, reference=replace(reference, plane=other))
    raise InputError(
        f"the map is {subject.plane.shape}, and the one it is compared with {reference.plane.shape}",
        hint="compare models that take the same kind of input",
        reason="shapes",
    )


def _to(plane: Array, shape: tuple[int, ...]) -> Array:
    """Pool a map to a shape, axis by axis."""
    for axis, length in enumerate(shape):
        rows = np.moveaxis(plane, axis, 0)
        flat = np.stack([pooled(line, length) for line in rows.reshape(len(rows), -1).T], axis=-1)
        plane = np.moveaxis(flat.reshape(length, *rows.shape[1:]), 0, axis)
    return plane


def _driven(metric: Metric, subject: Subject, target: Target, known: Reply) -> Generator[Query, Reply, Measured]:
    measuring = metric.measure(subject)
    try:
        ask = next(measuring)
        while True:
            ask = measuring.send((yield from _answered(ask, target, known)))
    except StopIteration as stop:
        measured: Measured = stop.value
        return measured


def _answered(ask: Ask, target: Target, known: Reply) -> Generator[Query, Reply, Answer]:
    if ask.unperturbed and ask.trace == GRADIENT and ask.about is None:
        return known.answer
    if ask.about is not None:
        return (yield Query(ask, weights=ask.about)).answer
    if target.truth is not None and not ask.trace.space:
        return (yield Query(ask, truth=target.truth)).answer
    return (yield Query(ask, weights=target.weights)).answer


def _rerouted(program: Attributing, trace: Trace, weights: Array | None) -> Attributing:
    """Run a method's program by another trace: of a perturbed sample, a randomised model, another target."""
    try:
        ask = next(program)
        while True:
            routed = replace(ask.trace, randomised=trace.randomised or ask.trace.randomised)
            about = weights if ask.about is None else ask.about
            ask = program.send((yield replace(ask, trace=routed, about=about, unperturbed=False)))
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
