"""A table of numbers (`.csv`, `.tsv`), one sample a row.

The first line names the columns, unless it holds nothing but numbers: then there is no header, and
the columns are called "column 0", "column 1" and so on. Columns are separated by a tab, else a
semicolon, else a comma, whichever the first line has outside quotes. Text is UTF-8, with or without a
byte order mark. Every cell must be a finite number written with a decimal point.
"""

import csv
import io
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from saliency_cli.differentiable import Array
from saliency_cli.errors import InputError
from saliency_cli.readers import Document

__all__ = ["Csv"]

_LARGEST = float(np.finfo(np.float32).max)
Row = tuple[int, list[str]]


@dataclass(frozen=True)
class Csv:
    """Reads a table of numbers with or without a header."""

    suffixes: ClassVar[tuple[str, ...]] = (".csv", ".tsv")

    def read(self, data: bytes) -> Document:
        """Decode the table into `arrays[""]`, float32 `(rows, columns)`.

        Raises:
            InputError: reason `empty-file`, `not-text`, `no-rows`, `ragged-row`, `bad-header`,
                `damaged` or `not-a-number`; the message names the line and column.
        """
        rows = _rows(_text(data))
        if not rows:
            raise InputError(
                f"a table was expected, the file holds nothing ({len(data)} bytes)",
                hint="write one line of column names and one line a sample",
                reason="empty-file",
            )
        line, first = rows[0]
        if all(_is_number(cell) for cell in first):
            columns = tuple(f"column {i}" for i in range(len(first)))
        else:
            columns = _named(first)
            rows = rows[1:]
        if not rows:
            raise InputError(
                f"rows of numbers were expected after the header on line {line}, none came",
                hint="add one line of numbers a sample",
                reason="no-rows",
            )
        return Document("table", {"": _numbers(rows, columns)}, format="CSV", columns=columns)


def _text(data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"a table in UTF-8 was expected, byte {error.start} is {data[error.start]:#04x}",
            hint="save the table as CSV in UTF-8",
            reason="not-text",
        ) from error
    if "\0" in text:
        raise InputError(
            f"a table in UTF-8 was expected, byte {data.index(0)} is a NUL",
            hint="save the table as CSV in UTF-8",
            reason="not-text",
        )
    return text


def _rows(text: str) -> list[Row]:
    """Return (line number, cells) of every row; blank lines at either end are dropped."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    rows = []
    start = 1
    try:
        for cells in reader:
            rows.append((start, cells))
            start = reader.line_num + 1
    except csv.Error as error:
        raise InputError(
            f"line {reader.line_num} is not CSV: {error}",
            hint="check the quotes on that line",
            reason="damaged",
        ) from error
    blank = [not "".join(cells).strip() and len(cells) < 2 for _, cells in rows]
    filled = [i for i, empty in enumerate(blank) if not empty]
    return rows[filled[0] : filled[-1] + 1] if filled else []


def _delimiter(text: str) -> str:
    """Return the separator of the first line: commas may stand inside cells of the other two kinds."""
    line = text.lstrip("\r\n").split("\n", 1)[0]
    unquoted = "".join(line.split('"')[::2])
    return next((mark for mark in ("\t", ";") if mark in unquoted), ",")


def _named(header: list[str]) -> tuple[str, ...]:
    names = tuple(cell.strip() or f"column {i}" for i, cell in enumerate(header))
    for i, name in enumerate(names):
        if name in names[:i]:
            raise InputError(
                f"the header names two columns '{name}'",
                hint="give every column its own name",
                reason="bad-header",
            )
    return names


def _numbers(rows: list[Row], columns: tuple[str, ...]) -> Array:
    values = np.empty((len(rows), len(columns)), np.float32)
    for i, (line, cells) in enumerate(rows):
        if len(cells) != len(columns):
            raise InputError(
                f"line {line} has {len(cells)} cells, {len(columns)} were expected",
                hint="give every row as many cells as the first line",
                reason="ragged-row",
            )
        for j, cell in enumerate(cells):
            if not _is_number(cell):
                raise _not_a_number(line, columns[j], cell)
            values[i, j] = float(cell)
    return values


def _is_number(cell: str) -> bool:
    """Whether a cell is a finite float32; `float` would also take `1_000` and `nan`."""
    try:
        return abs(float(cell)) <= _LARGEST and "_" not in cell
    except ValueError:
        return False


def _not_a_number(line: int, column: str, cell: str) -> InputError:
    hint = "every cell must be a finite number: fill it in, or leave the row or column out"
    if not cell.strip():
        came = "is empty"
    elif cell.count(",") == 1 and _is_number(cell.replace(",", ".")):
        came, hint = f"is '{cell}'", "write decimals with a point, not a comma"
    elif _is_infinite(cell):
        came = f"is '{cell}', beyond what float32 holds"
    else:
        came = f"is '{cell}'"
    return InputError(
        f"line {line}, column '{column}': a number was expected, the cell {came}",
        hint=hint,
        reason="not-a-number",
    )


def _is_infinite(cell: str) -> bool:
    try:
        return "_" not in cell and not math.isnan(float(cell))
    except ValueError:
        return False
