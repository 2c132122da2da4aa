"""What was measured of each input: the meeting point of `evaluate`, `compare` and `check`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from saliency_cli.differentiable import Array
from saliency_cli.records import ItemRecord, RunRecord, SourceRecord
from saliency_cli.subject import Reference

POOLED = 64
THUMBNAIL = 96


def content_key(sources: Mapping[str, SourceRecord]) -> str:
    """Return what a sample is made of: the hashes of its files by model input, and its row in them."""
    parts = (
        f"{name}={found.sha256}" + ("" if found.row is None else f"#{found.row}") for name, found in sources.items()
    )
    return "+".join(sorted(parts))


@dataclass(frozen=True, eq=False)
class MeasuredItem:
    """One input, measured (or failed: then `record.error` is set and the rest is empty).

    `key` is its content (the hashes of its files by model input, and its row), so that a renamed file
    pairs. `label` is the true class where the user gave one, else the predicted one. `values`: metric as
    asked → value, with NaN and infinities where the record has null. `plane` is the folded |map| pooled
    by area to at most 64 places a side, float64. `picture` is a thumbnail of the input, uint8 RGB, at most
    96 pixels a side, None where it is no picture.
    """

    record: ItemRecord
    key: str
    label: str | None = None
    values: Mapping[str, float] = field(default_factory=dict)
    plane: Array | None = None
    picture: Array | None = None
    reference: Reference | None = None


@dataclass(frozen=True, eq=False)
class MeasuredRun:
    """Every input measured by one model, in the order of the inputs, and the run's provenance.

    `reference` is the second model's, where one was asked; `reference_classes` names its classes.
    """

    run: RunRecord
    items: tuple[MeasuredItem, ...]
    reference: RunRecord | None = None
    reference_classes: Callable[[int], str] = str


class References(Protocol):
    """Where the other map of a sample comes from: a baseline folder, or a second model or method."""

    def find(self, key: str) -> Reference | None:
        """Return the reference of a content key; its plane is pooled as `MeasuredItem.plane` is."""
        ...
