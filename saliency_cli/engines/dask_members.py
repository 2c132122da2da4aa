"""One Dask worker as its client sees it: the items it has, by the calls that carry them, and its room for more."""

from dataclasses import dataclass, field

from saliency_cli.engines.crewing import Flying

_SECONDS = 2.0
"""What a call should take: Dask's part of it is some hundredths of a second, and all of it is lost with a worker."""

_CALLS = 2
"""One under way and one waiting, so that no worker waits for us."""

_GROWTH = 4


@dataclass(eq=False)
class Member:
    """A worker. `calls` holds its items by call, the oldest first; `opening` the call that opens it.

    `alone` says that the one item it has is one that was there when another worker died, `late` that it came when the
    run had begun.
    """

    address: str
    opening: int | None = None
    batch: int = 0
    process: tuple[str, int] | None = None
    calls: dict[int, dict[int, Flying]] = field(default_factory=dict)
    alone: bool = False
    late: bool = False
    _size: int = 0

    @property
    def open(self) -> bool:
        """Whether it has told that it is open."""
        return self.process is not None

    def opened(self, batch: int, process: tuple[str, int]) -> None:
        """Take in that it is open."""
        self.opening, self.process = None, process
        self.batch = self._size = max(1, batch)

    @property
    def room(self) -> int:
        """How many items its next call should have: whole batches, of about two seconds. 0 where it has enough."""
        return 0 if not self.open or self.alone or len(self.calls) >= _CALLS else self._size

    def over(self, call: int, seconds: float) -> None:
        """Take in that a call is over, and how long it took."""
        items = len(self.calls.pop(call))
        if self.alone or items < self.batch:
            self.alone = False
            return
        lately = _SECONDS * items / max(seconds, 1e-3)
        batches = round(min(lately, _GROWTH * self._size) / self.batch)
        self._size = self.batch * max(1, batches)
