"""What a check's record says beside the verdicts."""

from collections.abc import Sequence

import numpy as np

from saliency_cli.records import ItemRecord, StatisticRecord
from saliency_cli.runs.check.baseline import Baseline
from saliency_cli.runs.check.held import Held
from saliency_cli.runs.check.policy import Policy
from saliency_cli.runs.check.profiles import uncalibrated
from saliency_cli.runs.check.statistics import aggregated


def is_guessed(record: ItemRecord) -> bool:
    """Whether how one of a sample's inputs was prepared is a guess."""
    return any(source.preparing is not None and source.preparing.guessed for source in record.sources.values())


def notes(policy: Policy, judged: Sequence[Held], baseline: Baseline | None) -> list[str]:
    """Return what a reader of the verdicts should know."""
    notes = [note] if (note := uncalibrated(policy)) else []
    turned = [entry for entry in judged if entry.before and entry.top != entry.before.top and not entry.broken]
    if turned and baseline is not None and policy.compute.target == "top":
        first = ", ".join(entry.id for entry in turned[:3])
        notes.append(
            f"{len(turned)} of {len(judged)} inputs have another top class than before ({first}): their maps "
            "are about different classes"
        )
    return notes


def statistics(judged: Sequence[Held], metrics: Sequence[str]) -> dict[str, StatisticRecord]:
    """Return every metric over the inputs that have a value."""
    found = {}
    for label in metrics:
        values = np.array([value for entry in judged if (value := entry.value(label)) == value])
        if values.size:
            found[label] = StatisticRecord(
                mean=float(aggregated(values, "mean")),
                median=float(aggregated(values, "median")),
                p05=float(aggregated(values, "p05")),
                p95=float(aggregated(values, "p95")),
                min=float(values.min()),
                max=float(values.max()),
                n=int(values.size),
            )
    return found
