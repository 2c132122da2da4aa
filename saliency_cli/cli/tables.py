"""Plain aligned tables that fit the terminal."""

import os
import shutil
import sys
from collections.abc import Sequence

from saliency_cli.cli.lines import fit
from saliency_cli.cli.telling import is_terminal, printable
from saliency_cli.shortening import cells, told_apart

_GAP = 2
_NARROWEST = 6
_UNBOUNDED = 10_000


def width_of_stdout() -> int:
    """Return the terminal's columns, or those COLUMNS names; into a pipe goes everything, whole."""
    bounded = is_terminal(sys.stdout) or "COLUMNS" in os.environ
    return shutil.get_terminal_size().columns if bounded else _UNBOUNDED


def table(header: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Return the lines of a table in at most `width` cells; the widest columns are shortened first.

    What stands in the first column names its row, and is told apart from the others.
    """
    widths = [max(cells(text) for text in column) for column in zip(header, *rows, strict=True)]
    while sum(widths) + _GAP * (len(widths) - 1) > width and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    if rows:
        names = told_apart([printable(row[0].replace("\n", " ")) for row in rows], widths[0])
        rows = [(name, *row[1:]) for name, row in zip(names, rows, strict=True)]
    lines = [
        (" " * _GAP).join(fit(text, size) for text, size in zip(row, widths, strict=True)) for row in (header, *rows)
    ]
    return [text.rstrip() for text in lines]
