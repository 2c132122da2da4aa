"""A baseline as a folder in git: `baseline.json`, an input a line, and `maps.png`."""

from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from saliency_cli import __version__
from saliency_cli.errors import UsageError
from saliency_cli.runs.check.baseline import Baseline, Before, before, measured_options
from saliency_cli.runs.check.baseline_records import BaselineFile, ItemEntry, MapsEntry, Number
from saliency_cli.runs.check.sprite import Tiles, decode, encode
from saliency_cli.runs.destination import cannot_write, replacing
from saliency_cli.runs.measured import MeasuredRun
from saliency_cli.runs.sources import natural
from saliency_cli.verdicts import BaselineRecord

NUMBERS, MAPS = "baseline.json", "maps.png"
_DIGITS = 9  # what a float32 needs


def read_baseline(folder: Path, update: str) -> Baseline:
    """Read a baseline. `update` is the command that makes one.

    Raises `UsageError` where there is none, or the two files can't be read or don't belong together.
    """
    found, picture = _read(folder, update)
    tiles = Tiles(found.maps.columns, found.maps.height, found.maps.width)
    shapes = [tuple(entry.shape) for entry in found.items]
    planes = decode(picture, tiles, shapes, [entry.max for entry in found.items])
    items = {
        entry.key: Before(
            id=entry.id,
            key=entry.key,
            values={label: float(value) for label, value in entry.metrics.items()},
            plane=plane,
            label=entry.label,
            top=entry.top,
            value=float(entry.value),
            notes=entry.notes,
        )
        for entry, plane in zip(found.items, planes, strict=True)
    }
    record = BaselineRecord(
        kind="folder",
        path=folder.as_posix(),
        created=found.created,
        weights_sha256=found.model.get("weights_sha256", ""),
    )
    return Baseline(
        "folder",
        folder.as_posix(),
        items,
        found.measured,
        record,
        found.fingerprint,
        found.resolved,
        {"saliency": found.saliency, **found.environment},
    )


def _read(folder: Path, update: str) -> tuple[BaselineFile, bytes]:
    """Return the two files of a baseline, once they are known to belong together."""
    numbers = folder / NUMBERS
    if not numbers.is_file():
        raise UsageError(
            f"there is no baseline in '{folder}'",
            hint=f"{update} makes one of the model as it is",
            reason="no-baseline",
        )
    try:
        found = msgspec.json.decode(numbers.read_bytes(), type=BaselineFile)
        picture = (folder / MAPS).read_bytes()
    except (msgspec.DecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(
            f"the baseline in '{folder}' can't be read: {error}",
            hint=f"take both files from git again, or {update}",
            reason="bad-baseline",
        ) from None
    if found.schema != "baseline-1" or sha256(picture).hexdigest() != found.maps.sha256:
        what = f"'{MAPS}' is not the one '{NUMBERS}' was written with"
        if found.schema != "baseline-1":
            what = f"its schema is '{found.schema}', and baseline-1 was expected"
        raise UsageError(
            f"the baseline in '{folder}' can't be used: {what}",
            hint=f"take both files from the same commit, or {update}",
            reason="bad-baseline",
        )
    return found, picture


def write_baseline(
    folder: Path, run: MeasuredRun, policy_folder: Path, fingerprint: dict[str, Any], resolved: dict[str, Any]
) -> None:
    """Write a baseline whole, or leave the one that is there. Raises `OutputError`."""
    entries = [entry for item in run.items if (entry := before(item, policy_folder)) is not None]
    # One content under two names is one entry; the order is that of the names, not of the globs.
    entries = sorted({entry.key: entry for entry in reversed(entries)}.values(), key=lambda entry: natural(entry.id))
    picture, tiles = encode([entry.plane for entry in entries])
    model = run.run.model
    document = BaselineFile(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        saliency=__version__,
        environment={key: run.run.environment.get(key) for key in ("tensorflow", "keras", "numpy")},
        model={"format": model.format, "weights_sha256": model.weights_sha256} if model else {},
        fingerprint=fingerprint,
        resolved=resolved,
        measured=measured_options(run.run),
        maps=MapsEntry(
            sha256=sha256(picture).hexdigest(), columns=tiles.columns, height=tiles.height, width=tiles.width
        ),
        items=[_entry(entry) for entry in entries],
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    # Both are on the disk before either takes its name; should one not, the hash tells at the next reading.
    with replacing(folder / MAPS) as maps, replacing(folder / NUMBERS) as numbers:
        maps.write(picture)
        maps.flush()
        numbers.write(_text(document))
        numbers.flush()


def _entry(entry: Before) -> ItemEntry:
    return ItemEntry(
        id=entry.id,
        key=entry.key,
        label=entry.label,
        top=entry.top,
        value=_number(entry.value),
        metrics={label: _number(value) for label, value in sorted(entry.values.items())},
        notes={label: entry.notes[label] for label in sorted(entry.notes) if label in entry.values},
        shape=list(entry.plane.shape),
        max=float(f"{entry.plane.max(initial=0.0):.{_DIGITS}g}"),
    )


def _number(value: float) -> Number:
    rounded = float(f"{value:.{_DIGITS}g}")
    return rounded if abs(rounded) < float("inf") else str(rounded)


def _text(document: BaselineFile) -> bytes:
    """Return pretty JSON with every input on one line: a changed input is one changed line."""
    bare = msgspec.structs.replace(document, items=[])
    head = msgspec.json.format(msgspec.json.encode(bare), indent=2)
    lines = b",\n".join(b"    " + msgspec.json.encode(entry) for entry in document.items)
    return head.replace(b'"items": []', b'"items": [\n' + lines + b"\n  ]") + b"\n"
