"""The maps of a sharded run between the writing threads, which make them small, and the journal that stacks them."""

from dataclasses import dataclass, field
from typing import Any

from saliency_cli.records import ItemRecord
from saliency_cli.runs.destination import Destination
from saliency_cli.runs.explaining import Explained
from saliency_cli.runs.feeding import Fed
from saliency_cli.runs.keeping import Keeping
from saliency_cli.runs.sharded_parts import Halves
from saliency_cli.runs.stacks import halve
from saliency_cli.runs.writing import Publisher


@dataclass(eq=False)
class Shelf:
    """Maps that may be kept, from the time they are computed until their row is written."""

    keeping: Keeping
    _held: dict[int, Halves] = field(default_factory=dict)

    def put(self, record: ItemRecord, explained: Explained) -> None:
        """Hold a sample's maps as float16, if they may be kept."""
        if self.keeping.may_keep(record):
            self._held[id(record)] = {
                (position, name): halve(values)
                for position, found in enumerate(explained.maps)
                for name, values in found.explanation.values.items()
            }

    def take(self, record: ItemRecord) -> Halves:
        """Return a sample's maps, or nothing where they are not kept after all."""
        halves = self._held.pop(id(record), {})
        return halves if self.keeping.take(record) else {}

    def pack(self, record: ItemRecord) -> Halves:
        """Take a record's maps off the shelf, to be sent to another process."""
        return self._held.pop(id(record), {})

    def unpack(self, record: ItemRecord, halves: Halves) -> None:
        """Put maps that came from another process on the shelf, for the record that came with them."""
        if halves:
            self._held[id(record)] = halves


@dataclass(frozen=True, eq=False)
class ShardedPublisher:
    """Makes a sample's record, and puts its maps on the shelf: there are no files of its own."""

    publisher: Publisher
    shelf: Shelf

    @property
    def destination(self) -> Destination:
        """Where the run goes."""
        return self.publisher.destination

    def publish(self, fed: Fed, found: Any, seconds: float, /) -> tuple[ItemRecord, bytes]:
        """Return a sample's record, and no picture."""
        record, _ = self.publisher.publish(fed, found, seconds)
        self.shelf.put(record, found)
        return record, b""
