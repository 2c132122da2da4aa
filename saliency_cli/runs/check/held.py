"""The inputs a check judges: measured ones, and those whose model gave no number at all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from saliency_cli.runs.check.baseline import Before, content
from saliency_cli.runs.check.policy import FLAGS
from saliency_cli.runs.measured import MeasuredItem

# These say something of the model, not of the file: every rule about such an input is broken.
_OF_THE_MODEL = ("non-finite-output", "non-finite-gradient")


@dataclass(frozen=True, eq=False)
class Held:
    """One input: its values by metric (NaN: none), notes on them, and what it was before, where it was.

    `broken` says why the model gave nothing finite for it; nearly every value is then NaN.
    """

    id: str
    key: str
    values: Mapping[str, float]
    label: str | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    top: int = -1
    before: Before | None = None
    broken: str = ""

    def value(self, metric: str) -> float:
        """Return a metric's value, NaN where it has none."""
        return self.values[metric]

    def note(self, metric: str) -> str:
        """Return what is to be said of the value."""
        return self.broken or self.notes.get(metric, "")

    def paired(self, before: Before | None) -> "Held":
        """Return the input with what it was before."""
        return replace(self, before=before)


def held(items: Sequence[MeasuredItem]) -> tuple[tuple[Held, ...], dict[str, str]]:
    """Return the inputs to be judged, and those that could not be measured with the reason."""
    judged, failed = [], {}
    for item in items:
        error = item.record.error
        if error is not None and error.reason not in _OF_THE_MODEL:
            failed[item.record.id] = error.message
            continue
        top = item.record.prediction.index if item.record.prediction is not None else None
        flags = dict.fromkeys([*item.record.flags, *(flag for found in item.record.maps for flag in found.flags)])
        notes = {**(item.record.maps[0].notes if item.record.maps else {}), FLAGS: ", ".join(flags)}
        judged.append(
            Held(
                id=item.record.id,
                key=content(item.key),
                values={**item.values, FLAGS: float(len(flags) + (error is not None))},
                label=item.label,
                notes=notes,
                top=-1 if top is None else top,
                broken=error.message if error is not None else "",
            )
        )
    return tuple(judged), failed
