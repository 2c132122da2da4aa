"""Texts in the room there is, and still told apart."""

import unicodedata
from collections.abc import Collection, Iterator, Sequence
from itertools import count


def cells(text: str) -> int:
    """Return how many terminal cells `text` takes: wide signs two, combining ones none."""
    return len(text) if text.isascii() else sum(map(_cell, text))


def _cell(sign: str) -> int:
    if unicodedata.combining(sign):
        return 0
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1


def shorten(text: str, width: int) -> str:
    """Return `text` in at most `width` cells, what is too much left out of its middle."""
    if cells(text) <= width:
        return text
    # Folders are at the beginning, a number and a suffix at the end: the middle tells least.
    head = _taken(text, (width - 1) // 2)
    tail = _taken(text[::-1], width - 1 - cells(head))[::-1]
    return f"{head}…{tail}" if width > 0 else ""


def _taken(text: str, width: int) -> str:
    used = 0
    for position, sign in enumerate(text):
        used += _cell(sign)
        if used > width:
            return text[:position]
    return text


def told_apart(texts: Sequence[str], width: int) -> list[str]:
    """Return each text shortened to at most `width` cells, different ones to different forms.

    Those that would look alike show what comes after the folder they share, or their ends, or where they begin to
    differ; else they are numbered: `name~2`.
    """
    forms = {text: shorten(text, width) for text in texts}
    for form in dict.fromkeys(forms.values()):
        alike = [text for text, other in forms.items() if other == form and cells(text) > width]
        others = {other for text, other in forms.items() if text not in alike}
        if not alike or (len(alike) == 1 and form not in others):
            continue
        ways = (found for found in _ways(alike, width) if len(set(found)) == len(alike) and not others & set(found))
        forms |= zip(alike, next(ways, None) or _numbered(alike, width, others), strict=True)
    return [forms[text] for text in texts]


def _ways(alike: Sequence[str], width: int) -> Iterator[list[str]]:
    """Yield the forms of texts that look alike, shortened in one way after another."""
    first, last = min(alike), max(alike)
    # What the first and the last in order share, all share.
    shared = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    folder = first.rfind("/", 0, shared) + 1
    for start in (folder, 0, shared):
        if start:
            yield [f"…{shorten(text[start:], width - 1)}" for text in alike]
        else:
            yield [f"…{_taken(text[::-1], width - 1)[::-1]}" for text in alike]


def _numbered(alike: Sequence[str], width: int, others: Collection[str]) -> Iterator[str]:
    numbers = count(1)
    for text in alike:
        yield next(form for i in numbers if (form := f"{shorten(text, width - 1 - len(str(i)))}~{i}") not in others)
