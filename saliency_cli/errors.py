"""What can go wrong, and the exit code each kind ends with."""

from typing import ClassVar


class SaliencyError(Exception):
    """A failure told to the user: what was expected, what came, what to type next.

    `message` says what was expected and what came; `hint` what to do about it; `reason` is a short
    stable word for scripts (it becomes `error.reason` in the JSON).
    """

    exit_code: ClassVar[int] = 70

    def __init__(self, message: str, *, hint: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.reason = reason or type(self).__name__.removesuffix("Error").lower()


class UsageError(SaliencyError):
    """The command line, or an argument from Python, is wrong."""

    exit_code = 2


class InputError(SaliencyError):
    """One input can't be read, doesn't fit the model, or has no meaningful attribution."""

    exit_code = 3


class ModelError(SaliencyError):
    """The model can't be opened, was refused, or can't be differentiated."""

    exit_code = 4


class OutputError(SaliencyError):
    """The output can't be written: exists, locked, not writable, disk full."""

    exit_code = 5


def nearest(name: str, known: list[str] | tuple[str, ...]) -> str:
    """Return `"did you mean 'x'?"` for the known name closest to `name`, or an empty string."""
    from difflib import get_close_matches

    lowered = {candidate.lower(): candidate for candidate in known}
    found = get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.6)
    return f"did you mean '{lowered[found[0]]}'?" if found else ""
