"""Pixels as PNG, JPEG or WebP bytes with their provenance inside; the same pixels give the same bytes."""

import json
from collections.abc import Mapping
from io import BytesIO
from typing import Any, Literal

from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

from saliency_cli.differentiable import Array

PictureFormat = Literal["PNG", "JPEG", "WEBP"]
SUFFIXES: Mapping[PictureFormat, str] = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp"}

# Of a 640×480 heat map: 4 ms and 152 kB; level 6 takes 22 ms for 141 kB.
COMPRESS_LEVEL = 2
QUALITY = 92
_LONGEST_SIDE = {"JPEG": 65_500, "WEBP": 16_383}
_EXIF_ROOM = 60_000


def picture_format(original_format: str, size: tuple[int, int]) -> PictureFormat:
    """Return the format a picture like the original is written in: JPEG and WebP stay, others become PNG.

    A picture too large for its format (`size` is height, width) becomes PNG too.
    """
    found: PictureFormat = "PNG"
    if original_format in ("JPEG", "MPO"):
        found = "JPEG"
    elif original_format == "WEBP":
        found = "WEBP"
    return found if max(size) <= _LONGEST_SIDE.get(found, max(size)) else "PNG"


def encode_indices(indices: Array, table: Array, metadata: Mapping[str, Any]) -> bytes:
    """Return a palette PNG of colour indices `(height, width)` and a colour table `(256, 3)`, both uint8."""
    image = Image.fromarray(indices)
    image.putpalette(table.tobytes())
    return _png(image, metadata)


def encode_picture(pixels: Array, kind: PictureFormat, metadata: Mapping[str, Any]) -> bytes:
    """Return a picture file of uint8 pixels `(height, width, 3)`.

    In a PNG `metadata["software"]` is the text `Software`, and the whole metadata is compact JSON in the
    international text `saliency`; in a JPEG or WebP they are the Exif fields Software and UserComment.
    """
    image = Image.fromarray(pixels)
    if kind == "PNG":
        return _png(image, metadata)
    stream = BytesIO()
    image.save(stream, kind, quality=QUALITY, subsampling=0, method=2, exif=_exif(metadata))
    return stream.getvalue()


def _png(image: Image.Image, metadata: Mapping[str, Any]) -> bytes:
    information = PngInfo()
    if "software" in metadata:
        information.add_text("Software", str(metadata["software"]))
    if metadata:
        information.add_itxt("saliency", _compact(metadata, ascii_only=False), zip=True)
    stream = BytesIO()
    image.save(stream, "PNG", pnginfo=information, compress_level=COMPRESS_LEVEL)
    return stream.getvalue()


def _exif(metadata: Mapping[str, Any]) -> Image.Exif:
    exif = Image.Exif()
    if "software" in metadata:
        exif[ExifTags.Base.Software] = str(metadata["software"])
    text = _compact(metadata, ascii_only=True)
    # Exif must fit in one 64 KiB segment of a JPEG; what is longer is in the run's JSON anyway.
    if metadata and len(text) <= _EXIF_ROOM:
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = b"ASCII\0\0\0" + text.encode("ascii")
    return exif


def _compact(metadata: Mapping[str, Any], *, ascii_only: bool) -> str:
    import msgspec

    text = msgspec.json.encode(metadata).decode()
    return json.dumps(json.loads(text), ensure_ascii=True, separators=(",", ":")) if ascii_only else text
