"""Text from outside made harmless: no control characters, no lone surrogates, as wide as there is room."""

import unicodedata


def clean(text: str, keep: str = "") -> str:
    """Return `text` with what cannot be printed replaced by �, the signs of `keep` excepted; spaces become plain.

    A file name may hold bytes that are no UTF-8 (lone surrogates), escape sequences or signs that reverse
    the direction of what follows: none of them may reach a terminal or a file that must be valid.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_harmless(sign, keep) for sign in text)


def _harmless(sign: str, keep: str) -> str:
    if sign.isprintable() or sign in keep:
        return sign
    # The name of a screenshot on a Mac has a narrow no-break space in it.
    return " " if unicodedata.category(sign) == "Zs" else "�"


def one_line(text: str) -> str:
    """Return `text` cleaned, its line breaks and tabs as single spaces."""
    return clean(" ".join(text.splitlines()).replace("\t", " "))


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


def pad(text: str, width: int) -> str:
    """Return `text` in exactly `width` cells."""
    short = shorten(text, width)
    return short + " " * (width - cells(short))
