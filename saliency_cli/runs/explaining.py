"""What is asked of the engine for one sample: its prediction, its targets, and every method on each."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

from saliency_cli.autodiff.packing import Query, Reply
from saliency_cli.clipping import Clip, together
from saliency_cli.differentiable import GRADIENT, Answer, Arrays, Ask, Attributing, Explanation, Method, Sample
from saliency_cli.errors import InputError
from saliency_cli.records import PredictionRecord, TargetRecord
from saliency_cli.runs import diagnosis
from saliency_cli.runs.engine import Engine
from saliency_cli.subject import Measured
from saliency_cli.targets import Classes, Target, TargetText, resolve


@dataclass(frozen=True, eq=False)
class Attributed:
    """One map: the method's name, the frozen target with its value, the explanation, its flags, its metrics."""

    method: str
    target: TargetRecord
    explanation: Explanation
    flags: tuple[str, ...]
    measured: Mapping[str, Measured] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Explained:
    """All that was computed of one sample."""

    prediction: PredictionRecord
    maps: tuple[Attributed, ...]
    scores: Any = None


class Measure(Protocol):
    """Measures one map while its sample is at hand; `position` counts the sample's maps."""

    def __call__(
        self, method: Method, target: Target, known: Reply, attribution: Arrays, *, position: int
    ) -> Generator[Query, Reply, dict[str, Measured]]:
        """Yield what the metrics ask, return their values."""
        ...


@dataclass(frozen=True, eq=False)
class Question:
    """What a run asks of every sample."""

    engine: Engine
    methods: Mapping[str, Method]
    target: TargetText
    classes: Classes
    strict: bool = False
    clip: Clip | None = None


def explain(
    sample: Sample, question: Question, target: Target | None, measure: Measure | None = None
) -> Generator[Query, Reply, Explained]:
    """Yield the queries of one sample and return what was found.

    The first query is the unperturbed sample: it gives the prediction, chooses the top class in the same
    pass, and its value and gradient are handed to every method that asks for them. Where the one method begins
    with the sample by a trace of its own (a layer's), that is the first query, and no other is needed. `target`
    is given where it depends on the sample's truth: a loss, or its true class. `measure` is asked about every
    map.
    """
    engine, classes = question.engine, question.classes
    asked = (
        [target] if target else [] if question.target.needs_prediction else resolve(question.target, classes, None)
    )
    begun = _begun(sample, question) if measure is None else None
    first = yield query(begun.ask if begun else sample.itself(), asked[0] if asked else None)
    diagnosis.require_finite_values(float(first.answer.values[0]))
    targets = asked or resolve(question.target, classes, first.logits)
    maps: list[Attributed] = []
    for position, chosen in enumerate(targets):
        # The first reply is about the first target: named beforehand, or the top class it found itself.
        known = first if position == 0 else None
        for name, method in question.methods.items():
            if begun and known is first:
                explanation = yield from _driven(begun.program, first.answer, chosen, None)
            else:
                known, explanation = yield from _attribute(method, sample, chosen, known)
            if question.clip is not None:
                explanation = _clipped(name, explanation, question.clip)
            found = _checked(name, chosen, known, explanation, question)
            if measure is not None:
                values = yield from measure(method, chosen, known, explanation.values, position=len(maps))
                found = replace(found, measured=values)
            maps.append(found)
    return Explained(prediction_of(engine, classes, first), tuple(maps), first.scores)


def query(ask: Ask, target: Target | None) -> Query:
    """Return an ask about its own target, else the sample's; None is the top class, chosen in the graph."""
    if ask.about is not None:
        return Query(ask, weights=ask.about)
    if target is None:
        return Query(ask)
    return Query(ask, truth=target.truth) if target.truth is not None else Query(ask, weights=target.weights)


def _attribute(
    method: Method, sample: Sample, target: Target, known: Reply | None
) -> Generator[Query, Reply, tuple[Reply, Explanation]]:
    """Drive one method about one target; return the reply at the unperturbed sample beside its explanation."""
    if known is None:
        known = yield query(sample.itself(), target)
        diagnosis.require_finite_values(float(known.answer.values[0]))
    return known, (yield from _driven(method.attribute(sample), None, target, known))


def _driven(
    attributing: Attributing, answer: Answer | None, target: Target, known: Reply | None
) -> Generator[Query, Reply, Explanation]:
    """Drive a program to its end. `answer`: to an ask it has made; `known`: the sample by the plain trace."""
    try:
        ask = next(attributing) if answer is None else attributing.send(answer)
        while True:
            plain = ask.unperturbed and ask.trace == GRADIENT and ask.about is None
            reply = known if plain and known is not None else (yield query(ask, target))
            ask = attributing.send(reply.answer)
    except StopIteration as stop:
        explanation: Explanation = stop.value
        return explanation


class _Begun(NamedTuple):
    """A method's program that has made its first ask."""

    program: Attributing
    ask: Ask


def _begun(sample: Sample, question: Question) -> _Begun | None:
    """Begin the one method of a run, if it begins with the sample itself by a trace of its own."""
    method = next(iter(question.methods.values()))
    if len(question.methods) > 1 or not hasattr(method, "layer"):
        return None
    program = method.attribute(sample)
    try:
        ask = next(program)
    except StopIteration:
        return None
    if ask.unperturbed and ask.n == 1 and ask.trace != GRADIENT and ask.about is None:
        return _Begun(program, ask)
    program.close()
    return None


def _clipped(name: str, explanation: Explanation, clip: Clip) -> Explanation:
    """Return an explanation with its map clipped, and how long it was before and after. Raises `InputError`."""
    diagnosis.require_finite_map(name, explanation.values)
    clipped = clip.apply(explanation.values)
    norms = {"norm_before": together(clipped.before), "norm_after": together(clipped.after)}
    if len(clipped.before) > 1:
        norms |= {f"norm_before.{name}": length for name, length in clipped.before.items()}
        norms |= {f"norm_after.{name}": length for name, length in clipped.after.items()}
    return replace(explanation, values=clipped.arrays, details={**explanation.details, **norms})


def _checked(name: str, target: Target, known: Reply, explanation: Explanation, question: Question) -> Attributed:
    engine, classes = question.engine, question.classes
    diagnosis.require_finite_map(name, explanation.values)
    probability = _probability(engine, target, known)
    flags = diagnosis.flags_of(explanation, engine.space, probability)
    if engine.record.stochastic:
        flags.append("stochastic")
    if engine.disconnected:
        flags.append("disconnected")
    if flags and question.strict:
        reasons = "; ".join(diagnosis.MEANINGS[flag] for flag in flags)
        raise InputError(f"--strict: {reasons}", reason=flags[0])
    record = target_record(engine, classes, target, known)
    return Attributed(name, record, explanation, tuple(flags))


def _probability(engine: Engine, target: Target, known: Reply) -> float | None:
    """Return the probability of a target's class, or of the top one; None where the output has none."""
    if engine.head not in ("softmax", "sigmoid", "binary"):
        return None
    index = target.index if target.index is not None else int(known.answer.tops[0])
    return float(known.scores[index])


def target_record(engine: Engine, classes: Classes, target: Target, known: Reply) -> TargetRecord:
    """Return what the JSON says of a target, by the reply at the unperturbed sample."""
    return TargetRecord(
        text=target.text,
        output=engine.output,
        space=engine.space,
        label=target.label,
        index=target.index,
        value=float(known.answer.values[0]),
        probability=None if target.index is None else _probability(engine, target, known),
        weights={classes.label(i): float(w) for i, w in enumerate(target.weights) if w}
        if target.truth is None
        else {},
        loss=engine.loss,
    )


def prediction_of(engine: Engine, classes: Classes, reply: Reply) -> PredictionRecord:
    """Return what a model says of the sample that a reply is about."""
    top = int(reply.answer.tops[0])
    if not engine.has_classes or engine.regression or top < 0:
        return PredictionRecord(output=engine.output, kind="value", score=float(reply.scores[0]))
    return PredictionRecord(
        output=engine.output,
        kind="class",
        index=top,
        label=classes.label(top),
        score=float(reply.scores[top]),
    )


def one_target(text: str, label: str, truth: Any) -> Target:
    """Return the target of a loss: its truth instead of class weights."""
    import numpy as np

    return Target(text, label, np.zeros(0, np.float32), None, truth)
