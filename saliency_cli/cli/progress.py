"""What is going on, on stderr: a line while the model loads, a bar once the work has lasted a while.

The bar is rich's, imported only when it is shown. It is taken away before anything is printed and put back
after: stdout's lines may go to the same terminal, and rich knows of its own stream only.
"""

import os
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Any

from saliency_cli.cli.telling import is_terminal, printable, say
from saliency_cli.shortening import shorten

PATIENCE = 2.0


class Progress:
    """The progress of one run; silent where stderr is no terminal."""

    def __init__(self, *, quiet: bool) -> None:
        self.active = is_terminal(sys.stderr) and not quiet and os.environ.get("TERM") != "dumb"
        self._status_shown = False
        self._status_lines = 0
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._bar: Any = None
        self._task: Any = None
        self._total: int | None = None
        self._done = 0
        self._began = 0.0

    def loading(self, path: str) -> None:
        """Show that the model is being opened, until something else is shown."""
        if self.active:
            width = shutil.get_terminal_size().columns
            say(f"\r\x1b[K{shorten(f'Loading {Path(path).name} …', width - 1)}", end="", control=True)
            self._status_shown = True

    def say(self, lines: list[str]) -> None:
        """Show lines, the last one text, in place of the line or bar before, until something else is shown."""
        if not self.active:
            return
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        self.clear()
        size = shutil.get_terminal_size()
        above = lines[:-1] if len(lines) < size.lines else []
        say("\n".join([*above, shorten(printable(lines[-1]), size.columns - 1)]), end="", control=True)
        self._status_lines, self._status_shown = len(above), True

    def clear(self) -> None:
        """Take the line or bar away; call before printing anything."""
        if self._status_shown:
            up = f"\x1b[{self._status_lines}A\r\x1b[J" if self._status_lines else "\r\x1b[K"
            say(up, end="", control=True)
            self._status_shown, self._status_lines = False, 0
        with self._lock:
            if self._bar is not None:
                self._bar.stop()

    def start(self, total: int | None) -> None:
        """Begin to wait: the bar comes if the work is not over by then, whether or not a sample is done."""
        self.clear()
        self._total, self._began = total, time.monotonic()
        if self.active and self._timer is None:
            self._timer = threading.Timer(PATIENCE, self.show)
            self._timer.daemon = True
            self._timer.start()

    def show(self) -> None:
        """Show the bar now."""
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as Bar

        with self._lock:
            if self._timer is None or self._bar is not None:
                return
            self._bar = Bar(
                SpinnerColumn(),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._task = self._bar.add_task("", total=self._total, completed=self._done, rate="")
            self._bar.tasks[0].start_time = self._began
            self._bar.start()

    def advance(self, done: int) -> None:
        """Tell how many samples are over, and put the bar back."""
        with self._lock:
            self._done = done
            if self._bar is not None:
                speed = self._bar.tasks[0].speed
                self._bar.update(self._task, completed=done, rate=f"{speed:.3g}/s" if speed else "")
                self._bar.start()

    def close(self) -> None:
        """Leave the terminal clean."""
        self.clear()
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if self._bar is not None:
                self._bar.stop()
                self._bar = None
