"""`--keep-maps`: of which samples a run of many inputs keeps the maps, decided as they come.

Of `worst:K` and `sample:K` only the K best ranks so far are remembered, so memory doesn't depend on the number of
inputs; a map that is outdone later is taken back at the end. The choice depends on the samples alone, not on their
order: equal ranks are told apart by id.
"""

import heapq
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b

from saliency_cli.errors import UsageError
from saliency_cli.records import ItemRecord, MapRecord
from saliency_cli.subject import Metric

KEEP_HINT = "--keep-maps all, failing, worst:20, sample:100 or none"
Rank = Callable[[ItemRecord], float | None]


@dataclass(frozen=True)
class Keep:
    """A `--keep-maps` understood: the word, and how many where it counts."""

    kind: str
    count: int = 0

    @property
    def text(self) -> str:
        """What the user would type."""
        return f"{self.kind}:{self.count}" if self.count else self.kind


def parse_keep(text: str) -> Keep:
    """Return what `all`, `failing`, `worst:K`, `sample:K` or `none` asks for. Raises `UsageError` for other texts."""
    kind, colon, count = text.strip().partition(":")
    if kind in ("all", "failing", "none") and not colon:
        return Keep(kind)
    if kind in ("worst", "sample"):
        if count.isdecimal() and int(count) > 0:
            return Keep(kind, int(count))
        wrong = f"'{count}' is no number from 1 on" if count else "how many is missing"
        raise UsageError(f"--keep-maps {text}: {wrong}", hint=f"--keep-maps {kind}:100")
    raise UsageError(f"--keep-maps can't be '{text}'", hint=KEEP_HINT)


class Keeping:
    """Decides of each sample whether its maps are kept.

    `rank` gives what `worst` and `sample` go by, the largest first, None for a sample that has no rank.
    """

    def __init__(self, keep: Keep, rank: Rank) -> None:
        self.keep, self._rank = keep, rank
        self._best: list[tuple[float, str]] = []
        self.outdone = False

    def may_keep(self, record: ItemRecord) -> bool:
        """Whether a sample's maps may be kept, as far as is known. Any thread may ask."""
        if not self.keep.count:
            return self._by_itself(record)
        entry = self._entry(record)
        return entry is not None and (len(self._best) < self.keep.count or entry > self._best[0])

    def take(self, record: ItemRecord) -> bool:
        """Decide about a sample, and remember it. `outdone` tells from then on whether one kept before is outdone."""
        if not self.keep.count:
            return self._by_itself(record)
        entry = self._entry(record)
        if entry is None:
            return False
        if len(self._best) < self.keep.count:
            heapq.heappush(self._best, entry)
            return True
        outdone = heapq.heappushpop(self._best, entry)
        self.outdone = self.outdone or outdone is not entry
        return outdone is not entry

    def chosen(self, record: ItemRecord) -> bool:
        """Whether a sample is among those chosen of all that were seen."""
        if not self.keep.count:
            return self._by_itself(record)
        entry = self._entry(record)
        return entry is not None and bool(self._best) and entry >= self._best[0]

    def anew(self) -> "Keeping":
        """Return the same, having seen nothing."""
        return Keeping(self.keep, self._rank)

    def _by_itself(self, record: ItemRecord) -> bool:
        failing = self.keep.kind == "failing" and bool(record.flags)
        return record.status == "ok" and (self.keep.kind == "all" or failing)

    def _entry(self, record: ItemRecord) -> tuple[float, str] | None:
        rank = self._rank(record) if record.status == "ok" else None
        return None if rank is None or math.isnan(rank) else (rank, record.id)


def ranking(keep: Keep, metrics: Mapping[str, Metric], seed: int) -> Rank:
    """Return what `worst` or `sample` goes by.

    `sample`: a hash of (seed, id). `worst`: the first metric of the run, its worse end: the lowest value where
    higher is better, else the highest; without a metric the map's L2 norm. Of a sample's maps the worst counts.
    """
    if keep.kind == "sample":
        return lambda record: float(_drawn(seed, record.id))
    if not metrics:
        return lambda record: max((_norm(found) for found in record.maps), default=None)
    label, metric = next(iter(metrics.items()))
    sign = -1.0 if metric.better == "higher" else 1.0

    def worst(record: ItemRecord) -> float | None:
        values = [value for found in record.maps if (value := _value(found, label)) is not None]
        return max((sign * value for value in values), default=None)

    return worst


def _drawn(seed: int, identity: str) -> int:
    # 52 bits: a float holds them all.
    return int.from_bytes(blake2b(f"{seed}|{identity}".encode(), digest_size=8).digest(), "big") >> 12


def _norm(found: MapRecord) -> float:
    return math.hypot(*(entry.l2 for entry in found.inputs.values()))


def _value(found: MapRecord, label: str) -> float | None:
    """Return a metric's value; infinity where nothing was found up to a bound."""
    value = found.metrics.get(label)
    return math.inf if value is None and found.notes.get(label, "").startswith(">") else value
