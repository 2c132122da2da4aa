"""A picture: PNG, JPEG, WebP, BMP, GIF or TIFF.

Turned upright by its EXIF orientation; a palette becomes colours; 16-bit grey is scaled so that 65535
becomes 255 and keeps its precision. Transparency is kept as a fourth channel where any pixel is
transparent. Of an animation or a file of several pages the first is read, with a note. Whole numbers
of 32 bits and floats are read as 0…255, 0…65535 (whole numbers) or 0…1 (floats), whichever they fit,
with a note, and refused beyond.
"""

import io
import struct
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from saliency_cli.differentiable import Array
from saliency_cli.errors import InputError
from saliency_cli.readers import Document
from saliency_cli.readers.npy import describe_start

__all__ = ["Image"]

LARGEST_PIXELS = 89_478_485
# Pillow has some forty openers, one of which starts Ghostscript: only these are ever tried.
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
_KNOWN = "PNG, JPEG, WebP, BMP, GIF or TIFF"
_ORIENTATION = 0x0112
_STARTS = {
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
}
_OTHER_FORMATS = {
    b"%PDF": "PDF",
    b"%!PS": "PostScript",
    b"<svg": "SVG",
    b"8BPS": "Photoshop",
    b"\0\0\0\x0cjP": "JPEG 2000",
    b"\xffO\xffQ": "JPEG 2000",
    b"\xff\x0a": "JPEG XL",
    b"qoif": "QOI",
}


@dataclass(frozen=True)
class Image:
    """Reads a picture into `(H, W, C)` float32 in 0…255."""

    suffixes: ClassVar[tuple[str, ...]] = (
        ".png",
        ".jpg",
        ".jpeg",
        ".webp",
        ".bmp",
        ".gif",
        ".tif",
        ".tiff",
    )

    def read(self, data: bytes) -> Document:
        """Decode a picture; `arrays[""]` is `(H, W, 1|3|4)` float32 and `display` uint8 RGB over white.

        Raises:
            InputError: reason `empty-file`, `not-a-picture`, `unknown-format`, `truncated`, `damaged`,
                `too-large` or `unknown-range`.
        """
        if not data:
            raise InputError(
                "a picture was expected, the file is empty (0 bytes)",
                hint="copy or save the picture again",
                reason="empty-file",
            )
        try:
            with Pillow.open(io.BytesIO(data), formats=_FORMATS) as image:
                _check_size(image)
                notes = _precision_notes(image)
                image.load()
                pixels, more = _pixels(image)
                upright, turned = _upright(pixels, image)
                notes += more + turned + _frame_notes(image)
                name = "JPEG" if image.format == "MPO" else str(image.format)
        except InputError:
            raise
        except UnidentifiedImageError as error:
            raise _unidentified(data) from error
        except (Pillow.DecompressionBombError, Pillow.DecompressionBombWarning, MemoryError) as error:
            raise _too_large(str(error)) from error
        except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error and more
            raise _broken(data, error) from error
        return Document("picture", {"": upright}, _display(upright), name, notes=notes)


def _check_size(image: Pillow.Image) -> None:
    # Pillow only warns from this size on, and the header is read before any pixel is.
    if image.width * image.height > LARGEST_PIXELS:
        raise _too_large(f"{image.width}×{image.height} is {image.width * image.height:,} pixels")


def _pixels(image: Pillow.Image) -> tuple[Array, tuple[str, ...]]:
    """Return the pixels as stored, `(H, W, 1|3|4)` float32 in 0…255, and what had to be decided."""
    mode = image.mode
    if mode.startswith("I;16"):
        return _wide_grey(image), ()
    if mode in ("I", "F"):
        return _ranged(np.asarray(image))
    notes = (f"{mode} turned into RGB without its colour profile",) if mode in ("CMYK", "LAB") else ()
    if mode in ("La", "LA") or (mode in ("L", "1") and "transparency" in image.info):
        pixels = np.asarray(image.convert("LA" if mode in ("La", "LA") else "RGBA"), np.float32)
        if pixels[..., -1].min() == 255:
            return pixels[..., :1], notes
        return pixels[..., [0, 0, 0, -1]], notes
    if mode in ("L", "1"):
        return np.asarray(image.convert("L"), np.float32)[..., None], notes
    if mode in ("RGBA", "RGBa", "PA") or "transparency" in image.info:
        pixels = np.asarray(image.convert("RGBA"), np.float32)
        return (pixels[..., :3] if pixels[..., 3].min() == 255 else pixels), notes
    return np.asarray(image.convert("RGB"), np.float32), notes


def _wide_grey(image: Pillow.Image) -> Array:
    stored = np.asarray(image)[..., None]
    pixels = stored.astype(np.float32) / np.float32(257)
    absent = image.info.get("transparency")
    if absent is None or not (stored == absent).any():
        return pixels
    alpha = np.where(stored == absent, np.float32(0), np.float32(255))
    return np.concatenate([pixels, pixels, pixels, alpha], axis=-1)


def _ranged(stored: Array) -> tuple[Array, tuple[str, ...]]:
    """Bring 32-bit values to 0…255 by the smallest usual range that holds them all."""
    low, high = float(stored.min()), float(stored.max())
    whole = stored.dtype.kind in "iu"
    for limit in (255, 65535) if whole else (1, 255):
        if low >= 0 and high <= limit:
            kind = "whole numbers" if whole else "floats"
            pixels = (stored * (255 / limit)).astype(np.float32)[..., None]
            return pixels, (f"32-bit {kind} from {low:g} to {high:g} read as 0…{limit}",)
    raise InputError(
        f"32-bit values from {low:g} to {high:g}: {'0…255 or 0…65535' if whole else '0…1 or 0…255'} was expected",
        hint="scale the picture, or save it as .npy, which is taken as it is",
        reason="unknown-range",
    )


def _upright(pixels: Array, image: Pillow.Image) -> tuple[Array, tuple[str, ...]]:
    """Return the pixels turned as the EXIF orientation says; Pillow has already turned a TIFF's."""
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except (SyntaxError, ValueError, OSError, struct.error, IndexError, KeyError, TypeError) as error:
        return pixels, (f"EXIF data can't be read, orientation not applied: {error}",)
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels), ()


def _precision_notes(image: Pillow.Image) -> tuple[str, ...]:
    """Tell of 16-bit colour, which Pillow cuts to 8 bits; only the tiles, before loading, show it."""
    wide = any(";16" in str(tile.args) for tile in getattr(image, "tile", ()))
    return ("16-bit colour read with 8-bit precision",) if wide and not image.mode.startswith("I") else ()


def _frame_notes(image: Pillow.Image) -> tuple[str, ...]:
    # A phone's MPO is a JPEG whose further pictures are depth or gain maps, nothing the user made.
    frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    return (f"first of {frames} frames",) if frames > 1 else ()


def _display(pixels: Array) -> Array:
    colours = np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else pixels[..., :3]
    if pixels.shape[-1] == 4:
        opacity = pixels[..., 3:] / 255
        colours = colours * opacity + 255 * (1 - opacity)
    return np.asarray(np.rint(colours), np.uint8)


def _too_large(came: str) -> InputError:
    return InputError(
        f"the picture is too large: {came or 'it does not fit in memory'}; "
        f"at most {LARGEST_PIXELS:,} pixels are read",
        hint="make it smaller; the model sees it at its own input size anyway",
        reason="too-large",
    )


def _unidentified(data: bytes) -> InputError:
    for start, name in _STARTS.items():
        if data.startswith(start):
            return InputError(
                f"the picture is truncated: it starts as {name} and ends before its header does",
                hint="copy or save the picture again",
                reason="truncated",
            )
    known = next((name for start, name in _OTHER_FORMATS.items() if data.startswith(start)), "")
    if data[4:8] == b"ftyp":
        known = "AVIF or HEIC" if data[8:12] in (b"avif", b"heic", b"heix", b"mif1", b"msf1") else "MP4 or MOV"
    if known:
        return InputError(
            f"{_KNOWN} was expected, the file is {known}",
            hint="save it as PNG",
            reason="unknown-format",
        )
    return InputError(
        f"not a picture: {describe_start(data)}; {_KNOWN} was expected",
        hint="check that the file holds what its name says",
        reason="not-a-picture",
    )


def _broken(data: bytes, error: Exception) -> InputError:
    cut_webp = data[:4] == b"RIFF" and int.from_bytes(data[4:8], "little") + 8 > len(data)
    cut = cut_webp or isinstance(error, EOFError) or "truncat" in str(error).lower()
    return InputError(
        f"the picture is {'truncated' if cut else 'damaged'}: {error or type(error).__name__}",
        hint="copy or save the picture again",
        reason="truncated" if cut else "damaged",
    )
