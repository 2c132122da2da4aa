"""What is said on stderr: `error:`, `warning:`, `hint:` lines, coloured where that is wanted."""

import os
import sys
from typing import Literal, TextIO

import click

from saliency_cli.cli.stopping import silence

Kind = Literal["error", "warning", "hint", "note"]

_COLOURS: dict[Kind, str] = {"error": "red", "warning": "yellow", "hint": "cyan", "note": "cyan"}


def tell(kind: Kind, text: str) -> None:
    """Print `kind: text` on stderr."""
    say(f"{click.style(f'{kind}:', fg=_COLOURS[kind], bold=True)} {printable(text)}")


def say(text: str, *, end: str = "\n", control: bool = False) -> None:
    """Print `text` on stderr as it is; `control` keeps its escape sequences even without colour."""
    try:
        click.echo(text + end, err=True, nl=False, color=control or wants_colour(sys.stderr))
    except OSError:
        # Whoever read stderr is gone: nobody is left to tell, and the exit code still says it.
        silence(2)


def printable(text: str) -> str:
    """Return `text` with control characters replaced: a file name must not steer the terminal."""
    return "".join(sign if sign.isprintable() or sign in "\n\t" else "�" for sign in text)


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether a person is looking at `stream`."""
    return stream is not None and not stream.closed and stream.isatty()


def wants_colour(stream: TextIO | None) -> bool:
    """Return whether to colour `stream`: NO_COLOR, then FORCE_COLOR, then what the stream is."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "0") not in ("", "0"):
        return True
    return is_terminal(stream) and os.environ.get("TERM") != "dumb"
