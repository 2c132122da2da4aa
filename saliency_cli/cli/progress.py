"""The last line of the terminal: what is going on, erased before anything else is printed.

Drawn by hand: one line without a thread never garbles the lines on stdout, which a live display on
stderr does as soon as both are the same terminal.
"""

import os
import shutil
import sys
import time

from saliency_cli.cli.lines import duration, shorten
from saliency_cli.cli.telling import is_terminal, say

PATIENCE = 2.0
_EVERY = 0.1
_BAR = 20


class Progress:
    """One status line on stderr, silent where stderr is no terminal."""

    def __init__(self, *, quiet: bool) -> None:
        self.active = is_terminal(sys.stderr) and not quiet and os.environ.get("TERM") != "dumb"
        self.total: int | None = None
        self._started = time.monotonic()
        self._drawn_at = 0.0
        self._shown = False

    def status(self, text: str) -> None:
        """Show `text` until something else is shown."""
        if self.active:
            width = shutil.get_terminal_size().columns
            say(f"\r\x1b[K{shorten(text, width - 1)}", end="", control=True)
            self._shown = True

    def erase(self) -> None:
        """Clear the line; call before printing anything."""
        if self._shown:
            say("\r\x1b[K", end="", control=True)
            self._shown = False

    def start(self, total: int | None) -> None:
        """Begin to measure the rate."""
        self.total, self._started = total, time.monotonic()
        self.erase()

    def advance(self, done: int) -> None:
        """Draw the bar again, once the work has lasted long enough to be worth one."""
        now = time.monotonic()
        elapsed = now - self._started
        if elapsed < PATIENCE or self.total == 1 or done == self.total:
            return
        if self._shown and now - self._drawn_at < _EVERY:
            return
        self._drawn_at = now
        self.status(bar(done, self.total, elapsed))


def bar(done: int, total: int | None, elapsed: float) -> str:
    """Return `━━━━━─────  25 %  500/2,000  12.5/s  2:00 left`."""
    rate = done / elapsed
    if not total:
        return f"{done:,} done  {rate:.3g}/s"
    full = min(_BAR, _BAR * done // total)
    left = f"  {duration(max(0, total - done) / rate)} left" if rate else ""
    share = f"{'━' * full}{'─' * (_BAR - full)}  {100 * done // total} %"
    return f"{share}  {done:,}/{total:,}  {rate:.3g}/s{left}"
