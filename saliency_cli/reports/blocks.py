"""Blocks of lines put together within a limit of bytes, honest about what was left out."""

from collections.abc import Sequence
from dataclasses import dataclass, field

# Room for the sentence that says how much was left out.
_NOTE = 120


@dataclass(frozen=True)
class Block:
    """Lines that belong together: any of the last `rows` may be left out, `head` and `tail` go with the first."""

    head: Sequence[str] = ()
    rows: Sequence[str] = field(default_factory=list)
    tail: Sequence[str] = ()


def joined(blocks: Sequence[Block], limit: int) -> str:
    """Return the blocks, an empty line between two, in at most `limit` bytes of UTF-8.

    What does not fit is left out row by row, later blocks' rows the same, and the last line counts the rows
    left out.
    """
    lines: list[str] = []
    room = limit - _NOTE
    left_out = 0
    for block in blocks:
        frame = ["", *block.head] if lines else [*block.head]
        spare = room - _size([*frame, *block.tail])
        kept: list[str] = []
        for row in block.rows:
            if spare < _size([row]):
                break
            spare -= _size([row])
            kept.append(row)
        left_out += len(block.rows) - len(kept)
        if (block.rows and not kept) or spare < 0:
            left_out += not block.rows
            continue
        whole = [*frame, *kept, *block.tail]
        lines += whole
        room -= _size(whole)
    if left_out:
        lines += ["", f"*{left_out:,} more lines were left out: this may hold {limit:,} bytes.*"]
    return "\n".join(lines) + "\n"


def _size(lines: Sequence[str]) -> int:
    return sum(len(line.encode()) + 1 for line in lines)
