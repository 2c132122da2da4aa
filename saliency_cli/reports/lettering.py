"""Text drawn on a picture: the font, and text cut to a width in pixels."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@cache
def font(size: int, *, bold: bool = False) -> Font:
    """Return the font matplotlib ships, which has Greek, Cyrillic and arrows, or else Pillow's own."""
    # Looked up, not imported: matplotlib takes a third of a second.
    found = find_spec("matplotlib")
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    for folder in found.submodule_search_locations or [] if found else []:
        path = Path(folder) / "mpl-data" / "fonts" / "ttf" / name
        if path.is_file():
            # Not Raqm, which is not everywhere and gives up on some texts.
            return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)
    return ImageFont.load_default(size)


def cut(text: str, face: Font, width: int) -> str:
    """Return `text` at most `width` pixels wide, what is too much left out of its middle."""
    if face.getlength(text) <= width:
        return text
    fits, too_long = 0, len(text)
    while too_long - fits > 1:
        kept = (fits + too_long) // 2
        fits, too_long = (kept, too_long) if face.getlength(_without_middle(text, kept)) <= width else (fits, kept)
    return _without_middle(text, fits)


def _without_middle(text: str, kept: int) -> str:
    head = kept // 2
    return f"{text[:head]}…{text[len(text) - (kept - head) :]}" if kept else "…"


def wrap(text: str, face: Font, width: int) -> list[str]:
    """Return `text` in lines at most `width` pixels wide; a word wider than that is cut."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and face.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(cut(word, face, width))
    return lines
