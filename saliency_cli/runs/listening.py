"""What a run tells while it works; a terminal, a notebook or a test listens."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    # Type checkers only: the command line must not pay for msgspec before it needs it.
    from saliency_cli.records import ItemRecord
    from saliency_cli.runs.report import Report


class Listener(Protocol):
    """Hears of each step once. Samples are told from the thread that records them, one at a time."""

    def loading(self, model_path: str) -> None:
        """Tell that the model is about to be opened; hearing it twice is harmless."""

    def notice(self, text: str) -> None:
        """Tell what was chosen for the user: the preparing and why, which frame of a film."""

    def warning(self, text: str) -> None:
        """Tell why a result may not mean what it seems to."""

    def planned(self, total: int | None) -> None:
        """Tell how many samples there are to do, None where that isn't known yet."""

    def item(self, record: "ItemRecord") -> None:
        """Tell of one sample, done or failed, after its files are in place."""

    def finished(self, report: "Report") -> None:
        """Tell that the run is over."""


class Silent:
    """Hears everything and says nothing: the listener of calls from Python."""

    def loading(self, model_path: str) -> None:
        """Say nothing of a model being opened."""

    def notice(self, text: str) -> None:
        """Say nothing of what was chosen: the record holds it."""

    def warning(self, text: str) -> None:
        """Say nothing of what to mind: the record's flags hold it."""

    def planned(self, total: int | None) -> None:
        """Say nothing of how much there is to do."""

    def item(self, record: "ItemRecord") -> None:
        """Say nothing of a sample."""

    def finished(self, report: "Report") -> None:
        """Say nothing of the end."""
