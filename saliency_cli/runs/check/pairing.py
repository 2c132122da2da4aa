"""Which inputs are those of the baseline: told by their content, so that a renamed file stays itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from saliency_cli.runs.check.baseline import Baseline, portable
from saliency_cli.runs.check.held import Held
from saliency_cli.verdicts import BaselineRecord


@dataclass(frozen=True, eq=False)
class Paired:
    """The inputs, each with what it was before where it was, and what the check's record says of that."""

    held: tuple[Held, ...]
    record: BaselineRecord


def pair(held: Sequence[Held], baseline: Baseline | None, folder: Path, failed: Sequence[str] = ()) -> Paired:
    """Pair inputs by content; of one name with other content, the input has changed.

    `failed` names inputs that could not be measured: they are not missing.
    """
    if baseline is None:
        return Paired(tuple(held), BaselineRecord())
    known = {entry.id for entry in baseline.items.values()}
    names = {held_.id: portable(held_.id, folder) for held_ in held}
    there = {held_.key for held_ in held}
    gone = {entry.id for entry in baseline.items.values() if entry.key not in there}
    unpaired = [held_.id for held_ in held if held_.key not in baseline.items]
    changed = [identity for identity in unpaired if names[identity] in known]
    accounted = {names[identity] for identity in changed} | {portable(identity, folder) for identity in failed}
    record = msgspec.structs.replace(
        baseline.record,
        matched=len(held) - len(unpaired),
        new=[identity for identity in unpaired if names[identity] not in known],
        missing=[entry.id for entry in baseline.items.values() if entry.id in gone - accounted],
        changed=changed,
    )
    paired = tuple(held_.paired(baseline.items.get(held_.key)) for held_ in held)
    return Paired(paired, record)


def warnings_of(record: BaselineRecord) -> list[str]:
    """Return what a user should know of inputs that could not be compared."""
    told = []
    for ids, text in (
        (record.changed, "changed since the baseline was made, and left out of what is compared with it"),
        (record.new, "not in the baseline, and left out of what is compared with it"),
        (record.missing, "in the baseline, and not among the inputs"),
    ):
        if ids:
            more = f" and {len(ids) - 3} more" if len(ids) > 3 else ""
            told.append(f"{', '.join(ids[:3])}{more}: {text}")
    return told
