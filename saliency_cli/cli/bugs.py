"""The traceback of a bug, kept in a file that can be attached to a report."""

import platform
import shlex
import sys
import tempfile
import traceback

from saliency_cli import __version__
from saliency_cli.cli.telling import say


def keep_traceback(error: BaseException) -> str:
    """Write the traceback of `error` to a temporary file and return words that name it."""
    trace = "".join(traceback.format_exception(error))
    text = (
        f"saliency {__version__}, Python {platform.python_version()}, {platform.platform()}\n"
        f"{shlex.join(sys.argv)}\n\n{trace}"
    )
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="saliency-", suffix=".traceback.txt", delete=False, encoding="utf-8", errors="replace"
        ) as file:
            file.write(text)
    except OSError:
        # No place for a file: the terminal is the only place left to keep it.
        say(trace, end="")
        return "the traceback above"
    return file.name
