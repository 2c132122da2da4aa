"""What every sample brings beside its arrays, found before it is its turn: label, mask, range, other maps."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from saliency_cli.differentiable import Array
from saliency_cli.errors import InputError
from saliency_cli.runs.feeding import Fed
from saliency_cli.runs.measured import References, content_key
from saliency_cli.runs.measuring import Aside, principal
from saliency_cli.runs.preparing import Prepared
from saliency_cli.runs.rival import Found, Rival
from saliency_cli.runs.sources import Source
from saliency_cli.subject import Reference


class Waiting(NamedTuple):
    """A sample that waits for its turn: when it was read, from where, and the bytes of its files."""

    fed: Fed
    began: float
    source: Source
    held: Mapping[str, bytes]


class Ready(NamedTuple):
    """A sample with what it brings, or why that couldn't be found."""

    fed: Fed
    began: float
    aside: Aside | InputError


@dataclass(frozen=True, eq=False)
class Asides:
    """Finds what the metrics of a run need of each sample; without metrics, nothing.

    `rival` explains the same inputs first; `references` are maps that are kept already.
    """

    prepared: Prepared
    rival: Rival | None = None
    references: References | None = None

    def gathered(self, waiting: Iterable[Waiting | None]) -> Iterator[Ready | None]:
        """Yield every sample with what it brings, in order; a second model is asked about a group at a time."""
        if self.rival is None:
            for each in waiting:
                yield each if each is None else Ready(each.fed, each.began, self._aside(each.fed, {}))
            return
        for group, paused in _groups(waiting, 2 * self.rival.prepared.engine.evaluator.batch):
            found = self.rival.references([(each.fed, each.source, each.held) for each in group])
            for each in group:
                yield Ready(each.fed, each.began, self._aside(each.fed, found))
            if paused:
                yield None

    def _aside(self, fed: Fed, found: Found) -> Aside | InputError:
        needs = self.prepared.measuring.needs
        if not needs:
            return Aside()
        try:
            return Aside(
                label=self.prepared.truths.index(fed.id),
                mask=self._mask(fed) if "mask" in needs else None,
                references=self._references(fed, found) if "reference" in needs else (),
                limits=limits(self.prepared, fed) if "limits" in needs else {},
            )
        except InputError as error:
            return error

    def _mask(self, fed: Fed) -> Array:
        assert self.prepared.masks is not None
        name = principal(fed)
        part, spec = fed.parts[name], self.prepared.measuring.specs[name]
        folded = part.layout in ("picture", "signal") and spec.channels is not None and part.values.ndim > 1
        size = tuple(n for axis, n in enumerate(part.values.shape) if not (folded and axis == spec.channels))
        return self.prepared.masks.find(fed.id, part.geometry, size)

    def _references(self, fed: Fed, found: Found) -> tuple[Reference, ...]:
        if self.references is not None:
            reference = self.references.find(content_key(fed.sources))
            return () if reference is None else (reference,)
        references = found[fed.id]
        if isinstance(references, InputError):
            raise InputError(
                f"{self.prepared.request.reference} has no map of it: {references.message}",
                hint=references.hint,
                reason=references.reason,
            )
        return references


def _groups(waiting: Iterable[Waiting | None], size: int) -> Iterator[tuple[list[Waiting], bool]]:
    """Yield up to `size` samples at a time, fewer where no more are there for the moment, and whether that is so."""
    group: list[Waiting] = []
    for each in waiting:
        if each is not None:
            group.append(each)
        if each is None or len(group) == size:
            yield group, each is None
            group = []
    if group:
        yield group, False


def limits(prepared: Prepared, fed: Fed) -> dict[str, tuple[Array, Array]]:
    """Return the valid range of each differentiated input, in the model's units.

    Raises `InputError` for an array whose range nobody told.
    """
    found = {}
    for name in fed.sample.floating:
        part, spec = fed.parts[name], prepared.measuring.specs[name]
        if part.layout == "picture" and part.original is not None:
            ends = (0.0, 255.0)
        elif prepared.request.valid_range is not None:
            ends = prepared.request.valid_range
        else:
            raise InputError(
                f"how far a value of the input '{name}' may go is not known",
                hint="--valid-range LOW,HIGH in the file's own units",
                reason="no-range",
            )
        channels = spec.channels if len(spec.shape) == 3 else None
        moved = [part.preparing.apply(np.full(part.raw.shape, end, np.float32), channels) for end in ends]
        found[name] = (np.minimum(*moved), np.maximum(*moved))
    return found
