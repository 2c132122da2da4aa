"""Text from outside made harmless: no control characters, no lone surrogates, as wide as there is room."""

import unicodedata

from saliency_cli.shortening import cells, shorten


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


def pad(text: str, width: int) -> str:
    """Return `text` in exactly `width` cells."""
    short = shorten(text, width)
    return short + " " * (width - cells(short))
