"""What a run returns: its record, how many inputs failed, where the files are."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from saliency_cli.errors import InputError

if TYPE_CHECKING:
    from saliency_cli.records import RunRecord


@dataclass(frozen=True)
class Report:
    """The end of a run.

    `out` is the file or folder asked for, None for pictures in the current folder. With `strict`, a
    sample whose record carries a flag counts as failed.
    """

    run: "RunRecord"
    failures: int
    out: str | None
    strict: bool = False

    @property
    def exit_code(self) -> int:
        """Return 0, or the exit code of failed inputs."""
        if self.failures or (self.strict and self.run.flags):
            return InputError.exit_code
        return 0
