"""An attribution in numbers: what an item's record says of it, and a run's metrics over its items."""

import math
from array import array
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from saliency_cli.arrays import reduce_channels
from saliency_cli.differentiable import Array
from saliency_cli.records import InputMapRecord, ItemRecord, PlaceRecord, StatisticRecord

_PLACES = 5


def summarise(values: Array, channels: int | None, names: tuple[str, ...], unit: str) -> InputMapRecord:
    """Return the numbers of one attribution. Places are of the largest |v|, channels folded by max |v|."""
    wide = np.asarray(values, np.float64)
    magnitude = np.abs(wide)
    return InputMapRecord(
        shape=list(values.shape),
        l1=float(magnitude.sum()),
        l2=float(np.sqrt(np.square(wide).sum())),
        max=float(magnitude.max(initial=0.0)),
        zeros=(wide.size - int(np.count_nonzero(wide))) / wide.size if wide.size else 0.0,
        sum=float(wide.sum()),
        top=_places(wide, channels if wide.ndim > 1 else None, names),
        unit=unit,
    )


def _places(values: Array, channels: int | None, names: tuple[str, ...]) -> list[PlaceRecord]:
    folded = reduce_channels(values, channels, "max") if channels is not None and values.ndim == 3 else np.abs(values)
    flat = folded.reshape(-1)
    count = min(_PLACES, flat.size)
    largest = np.argpartition(-flat, count - 1)[:count] if count else np.empty(0, np.int64)
    largest = largest[np.lexsort((largest, -flat[largest]))]
    signed = folded is not values and values.ndim == folded.ndim
    places = []
    for index in largest:
        where = np.unravel_index(int(index), folded.shape)
        value = float(values[where]) if signed else float(folded[where])
        named = names[int(index)] if len(names) == flat.size else None
        places.append(PlaceRecord(index=[int(i) for i in where], value=value, name=named))
    return places


class Collected:
    """Each method's metrics over the samples that are done: norms, share of zeros, target, gap.

    Eight bytes a number is all that is kept of a sample.
    """

    def __init__(self) -> None:
        self._values: dict[str, dict[str, array[float]]] = {}

    def add(self, item: ItemRecord) -> None:
        """Take in one sample; one that failed has no numbers."""
        if item.status == "ok":
            for method, metric, value in (*_metrics(item), *_results(item)):
                self._values.setdefault(method, {}).setdefault(metric, array("d")).append(value)

    def statistics(self) -> dict[str, dict[str, StatisticRecord]]:
        """Return the statistics by method and metric."""
        return {
            method: {name: _statistic(values) for name, values in found.items()}
            for method, found in self._values.items()
        }


def _metrics(item: ItemRecord) -> Iterator[tuple[str, str, float]]:
    for found in item.maps:
        several = len(found.inputs) > 1
        for name, entry in found.inputs.items():
            suffix = f".{name}" if several else ""
            for metric in ("l1", "l2", "max", "zeros"):
                yield found.method, f"{metric}{suffix}", getattr(entry, metric)
        if found.target.value is not None:
            yield found.method, "target", found.target.value
        for metric, value in found.details.items():
            if value is not None:
                yield found.method, metric, value
        for metric, value in found.metrics.items():
            if value is not None:
                yield found.method, metric, value
            elif found.notes.get(metric, "").startswith(">"):
                yield found.method, metric, math.inf


def _results(item: ItemRecord) -> Iterator[tuple[str, str, float]]:
    for name, value in item.results.items():
        if isinstance(value, (int, float)) and math.isfinite(value):
            yield "results", name, float(value)


def _statistic(collected: "array[float]") -> StatisticRecord:
    # Sorted, so that the last digit of a mean does not depend on who was finished first.
    values = np.sort(np.asarray(collected))
    # Where nothing was found up to a bound there is no number to interpolate with.
    how: Literal["linear", "lower"] = "linear" if np.isfinite(values).all() else "lower"
    p05, median, p95 = (float(x) for x in np.percentile(values, (5, 50, 95), method=how))
    return StatisticRecord(
        mean=float(values.mean()),
        median=median,
        p05=p05,
        p95=p95,
        min=float(values.min()),
        max=float(values.max()),
        n=len(values),
    )


def plain_metrics(metrics: dict[str, dict[str, StatisticRecord]]) -> dict[str, Any]:
    """Return the metrics as nested numbers only, the form `dvc metrics diff` reads."""
    import msgspec

    return {method: msgspec.to_builtins(found) for method, found in metrics.items()}
