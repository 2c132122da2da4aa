"""The metrics of a run, built from `name:option=value,…`, and whether what they need is there."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from saliency_cli.errors import UsageError
from saliency_cli.records import MetricRecord
from saliency_cli.registry import Registry
from saliency_cli.runs.engine import Engine
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.settings import definition
from saliency_cli.subject import Metric

METRICS: Registry[Metric] = Registry("saliency_cli.metrics", "metric")


def build_metrics(wanted: Sequence[str | tuple[str, Mapping[str, Any]]]) -> dict[str, Metric]:
    """Return the metrics by label: the name, with the options that are not the default (`pgd-flip-rate:eps=0.1`).

    Each is `name:option=value,…`, or a name with its settings. Raises `UsageError` for unknown metrics and
    options, all mistakes told together.
    """
    built: dict[str, Metric] = {}
    mistakes, hint = [], "saliency metrics lists them"
    for each in wanted:
        try:
            label, metric = build_metric(*(_parsed(each) if isinstance(each, str) else each))
        except UsageError as error:
            name = each.partition(":")[0] if isinstance(each, str) else each[0]
            mistakes.append(error.message if name in error.message else f"{name}: {error.message}")
            hint = error.hint or hint
            continue
        built[label] = metric
    if mistakes:
        raise UsageError("; ".join(mistakes), hint=hint, reason="bad-metric")
    return built


def _parsed(text: str) -> tuple[str, dict[str, str]]:
    name, _, rest = text.partition(":")
    settings = {}
    for pair in (pair for pair in rest.split(",") if pair):
        key, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"'{text}': '{key}' is not option=value", hint=f"{name}:option=value,option=value")
        settings[key.strip()] = value.strip()
    return name.strip(), settings


def build_metric(name: str, settings: Mapping[str, Any]) -> tuple[str, Metric]:
    """Return one metric under its label. Raises `UsageError` for an unknown name or option."""
    name = name.replace("_", "-")
    metric = METRICS.build(name, settings)
    changed = [
        f"{option.name.replace('_', '-')}={getattr(metric, option.name)}"
        for option in METRICS.options(name)
        if getattr(metric, option.name) != option.default
    ]
    return ":".join([name, ",".join(changed)] if changed else [name]), metric


def name_of(label: str) -> str:
    """Return the metric's name of a label."""
    return label.partition(":")[0]


def describe_metrics(metrics: Mapping[str, Metric]) -> dict[str, MetricRecord]:
    """Return each metric with every option and its exact definition, by label."""
    return {
        label: MetricRecord(
            name=name_of(label),
            options={
                option.name: msgspec.to_builtins(getattr(metric, option.name))
                for option in METRICS.options(name_of(label))
            },
            definition=definition(METRICS, name_of(label)),
            unit=metric.unit,
            better=metric.better,
            cost=metric.cost,
        )
        for label, metric in metrics.items()
    }


def require_needs(
    metrics: Mapping[str, Metric], request: ComputeRequest, *, masked: bool = False, referenced: bool = False
) -> None:
    """Raise `UsageError` where a metric needs masks or another map, and nobody brings any."""
    for label, metric in metrics.items():
        if "mask" in metric.needs and not (request.masks or masked):
            raise _lacking(
                label,
                "masks of the objects",
                "--masks DIR, a picture for each input with its name: not zero is the object",
                "no-masks",
            )
        if {"reference", "reference-attribution"} & metric.needs and not (request.reference or referenced):
            raise _lacking(
                label,
                "a second map of each input",
                "saliency compare A B INPUT…, or evaluate with --against MODEL",
                "no-reference",
            )


def require_answerable(metrics: Mapping[str, Metric], engine: Engine) -> None:
    """Raise `UsageError` where a metric needs what the model has not: classes, probabilities, weights."""
    probable = engine.head in ("softmax", "sigmoid", "binary")
    for label, metric in metrics.items():
        if "classes" in metric.needs and not engine.has_classes:
            one = f"the output '{engine.output}' is one value"
            raise _lacking(label, "an output of several classes", one, "no-classes")
        if "probabilities" in metric.needs and not probable:
            end = f"the output '{engine.output}' ends in {engine.head}: save the model with its softmax"
            raise _lacking(label, "probabilities", end, "no-probabilities")
        if "depth" in metric.needs and not engine.depth():
            raise _lacking(label, "weights that can be drawn anew", "none were found in this model", "no-weights")


def _lacking(label: str, what: str, hint: str, reason: str) -> UsageError:
    return UsageError(f"the metric {label} needs {what}", hint=hint, reason=reason)
