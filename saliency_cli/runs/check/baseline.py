"""What a model is compared with, wherever it comes from: a folder of an earlier run, or a second model now."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from saliency_cli.differentiable import Array
from saliency_cli.records import RunRecord
from saliency_cli.runs.measured import MeasuredItem, MeasuredRun
from saliency_cli.subject import Reference
from saliency_cli.verdicts import BaselineRecord


@dataclass(frozen=True, eq=False)
class Before:
    """One input as it was measured before. `id` is its path from the policy's folder, `key` its content."""

    id: str
    key: str
    values: Mapping[str, float]
    plane: Array
    label: str | None = None
    top: int = -1
    value: float = float("nan")
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Baseline:
    """Every input as it was before, by content; where it can be found again as a metric's `References`.

    `measured`: metric as asked → its options. `fingerprint` is what was asked for, `resolved` what the model
    made of it. `record` is what a check's record says of it, before the pairing.
    """

    kind: Literal["folder", "model"]
    path: str
    items: Mapping[str, Before]
    measured: Mapping[str, Mapping[str, Any]]
    record: BaselineRecord
    fingerprint: Mapping[str, Any] = field(default_factory=dict)
    resolved: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)

    def find(self, key: str) -> Reference | None:
        """Return the map of an input of this content, None where there is none."""
        before = self.items.get(content(key))
        return None if before is None else Reference(before.plane, top=before.top, value=before.value)


def before(item: MeasuredItem, folder: Path) -> Before | None:
    """Return a measured input as something to compare with; None where it failed."""
    record = item.record
    if record.status == "error" or item.plane is None:
        return None
    target = record.maps[0].target.value if record.maps else None
    top = record.prediction.index if record.prediction is not None else None
    return Before(
        id=portable(record.id, folder),
        key=content(item.key),
        values=dict(item.values),
        plane=item.plane,
        label=item.label,
        top=-1 if top is None else top,
        value=float("nan") if target is None else target,
        notes=dict(record.maps[0].notes) if record.maps else {},
    )


def content(key: str) -> str:
    """Return an input's key without the name of a model's only input: saved anew, it may be called otherwise."""
    hashes = re.findall(r"=([0-9a-f]{64}(?:#\d+)?)", key)
    return hashes[0] if len(hashes) == 1 else key


def of_model(run: MeasuredRun, folder: Path) -> Baseline:
    """Return a second model's run as a baseline."""
    found = [entry for item in run.items if (entry := before(item, folder)) is not None]
    model = run.run.model
    record = BaselineRecord(
        kind="model",
        path=model.path if model else "",
        created=run.run.created,
        weights_sha256=model.weights_sha256 if model else "",
    )
    measured = measured_options(run.run)
    return Baseline("model", record.path, {entry.key: entry for entry in found}, measured, record)


def portable(identity: str, folder: Path) -> str:
    """Return an input's id from the policy's folder, whatever folder the command was typed in.

    An id is relative to the current folder, or absolute without its first slash (see `sources.identify`).
    An input outside the policy's folder keeps its id.
    """
    path, sign, row = identity.partition("#")
    for start in (Path.cwd(), Path(os.sep)):
        absolute = start / path
        if absolute.exists():
            relative = os.path.relpath(absolute, folder.resolve())
            return identity if relative.startswith(os.pardir) else Path(relative).as_posix() + sign + row
    return identity


def measured_options(run: RunRecord) -> dict[str, dict[str, Any]]:
    """Return the options of every metric of a run by label, as JSON brings them back."""
    plain = {label: metric.options for label, metric in run.measured.items()}
    found: dict[str, dict[str, Any]] = msgspec.json.decode(msgspec.json.encode(plain))
    return found
