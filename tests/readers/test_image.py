"""Pictures of every kind, read to exact values, and every way a picture can be broken."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageOps

from saliency_cli.errors import InputError
from saliency_cli.readers import Document
from saliency_cli.readers.image import Image

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
GREY = COLOURS[..., 0]


def encode(image: Pillow.Image, kind: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def read(data: bytes) -> Document:
    return Image().read(data)


def refused(data: bytes) -> InputError:
    with pytest.raises(InputError) as caught:
        read(data)
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("WEBP", {"lossless": True})],
)
def test_rgb_is_read_exactly(kind, options):
    document = read(encode(Pillow.fromarray(COLOURS), kind, **options))
    assert document.kind == "picture"
    assert document.format == kind
    assert document.arrays[""].dtype == np.float32
    np.testing.assert_array_equal(document.arrays[""], COLOURS)
    np.testing.assert_array_equal(document.display, COLOURS)
    assert document.display.dtype == np.uint8
    assert document.notes == ()


def test_jpeg_is_read_as_pillow_decodes_it():
    data = encode(Pillow.fromarray(COLOURS), "JPEG", quality=90)
    np.testing.assert_array_equal(read(data).arrays[""], np.asarray(Pillow.open(io.BytesIO(data))))
    assert read(data).format == "JPEG"


def test_a_phones_mpo_is_a_jpeg_and_its_second_picture_no_frame():
    picture = Pillow.fromarray(COLOURS)
    data = encode(picture, "MPO", save_all=True, append_images=[picture])
    document = read(data)
    assert document.format == "JPEG"
    assert document.notes == ()
    assert document.arrays[""].shape == (5, 7, 3)


def test_grey_has_one_channel_and_a_grey_display():
    document = read(encode(Pillow.fromarray(GREY)))
    np.testing.assert_array_equal(document.arrays[""][..., 0], GREY)
    assert document.arrays[""].shape == (5, 7, 1)
    np.testing.assert_array_equal(document.display, np.stack([GREY] * 3, axis=-1))


def test_one_bit_is_0_and_255():
    bits = GREY > 127
    document = read(encode(Pillow.fromarray(GREY).point(lambda v: 255 * (v > 127), "1")))
    np.testing.assert_array_equal(document.arrays[""][..., 0], np.where(bits, 255, 0))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_keeps_its_precision(kind):
    stored = np.array([[0, 1, 256, 257], [32768, 65534, 65535, 1000]], np.uint16)
    pixels = read(encode(Pillow.fromarray(stored), kind)).arrays[""][..., 0]
    np.testing.assert_array_equal(pixels, stored.astype(np.float32) / np.float32(257))
    assert pixels[1, 2] == 255
    assert len(np.unique(pixels)) == 8


def test_big_endian_16_bit_tiff():
    stored = np.array([[0, 257], [514, 65535]], ">u2")
    image = Pillow.frombytes("I;16B", (2, 2), stored.tobytes())
    np.testing.assert_array_equal(read(encode(image, "TIFF")).arrays[""][..., 0], [[0, 1], [2, 255]])


def test_palette_becomes_colours():
    image = Pillow.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    np.testing.assert_array_equal(read(encode(image)).arrays[""], [[[10, 20, 30], [200, 100, 50]]])
    np.testing.assert_array_equal(read(encode(image, "GIF")).arrays[""], [[[10, 20, 30], [200, 100, 50]]])


def test_transparent_palette_is_kept_as_alpha_and_shown_over_white():
    image = Pillow.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    document = read(encode(image, transparency=1))
    np.testing.assert_array_equal(document.arrays[""], [[[10, 20, 30, 255], [200, 100, 50, 0]]])
    np.testing.assert_array_equal(document.display, [[[10, 20, 30], [255, 255, 255]]])


def test_half_transparent_pixels_are_blended_for_display():
    document = read(encode(Pillow.new("RGBA", (1, 1), (100, 0, 200, 51))))
    np.testing.assert_array_equal(document.arrays[""], [[[100, 0, 200, 51]]])
    np.testing.assert_array_equal(document.display, [[[224, 204, 244]]])


@pytest.mark.parametrize(("mode", "colour", "channels"), [("RGBA", (1, 2, 3, 255), 3), ("LA", (9, 255), 1)])
def test_alpha_that_hides_nothing_is_dropped(mode, colour, channels):
    pixels = read(encode(Pillow.new(mode, (2, 2), colour))).arrays[""]
    np.testing.assert_array_equal(pixels[0, 0], colour[:channels])


def test_grey_with_alpha_becomes_four_channels():
    np.testing.assert_array_equal(read(encode(Pillow.new("LA", (1, 1), (90, 17)))).arrays[""], [[[90, 90, 90, 17]]])


def test_a_transparent_grey_or_colour():
    grey = Pillow.fromarray(np.array([[7, 9]], np.uint8))
    np.testing.assert_array_equal(read(encode(grey, transparency=9)).arrays[""], [[[7, 7, 7, 255], [9, 9, 9, 0]]])
    colour = Pillow.new("RGB", (1, 1), (1, 2, 3))
    np.testing.assert_array_equal(read(encode(colour, transparency=(1, 2, 3))).arrays[""], [[[1, 2, 3, 0]]])
    wide = Pillow.fromarray(np.array([[257, 514]], np.uint16))
    np.testing.assert_array_equal(read(encode(wide, transparency=514)).arrays[""], [[[1, 1, 1, 255], [2, 2, 2, 0]]])


@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])
def test_cmyk_becomes_rgb_with_a_note(kind):
    data = encode(Pillow.new("CMYK", (8, 8), (0, 255, 255, 0)), kind)
    document = read(data)
    np.testing.assert_allclose(document.arrays[""], np.full((8, 8, 3), [255, 0, 0]), atol=3)
    assert document.notes == ("CMYK turned into RGB without its colour profile",)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied(orientation, kind):
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    data = encode(Pillow.fromarray(COLOURS), kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    upright = np.asarray(ImageOps.exif_transpose(Pillow.open(io.BytesIO(data))))
    expected = [
        COLOURS,
        COLOURS[:, ::-1],
        COLOURS[::-1, ::-1],
        COLOURS[::-1],
        COLOURS.swapaxes(0, 1),
        np.rot90(COLOURS, -1),
        np.rot90(COLOURS, 2).swapaxes(0, 1),
        np.rot90(COLOURS, 1),
    ][orientation - 1]
    document = read(data)
    np.testing.assert_array_equal(document.arrays[""], expected)
    np.testing.assert_array_equal(document.arrays[""], upright)
    np.testing.assert_array_equal(document.display, upright)


def test_unreadable_exif_is_a_note():
    document = read(encode(Pillow.fromarray(COLOURS), "PNG", exif=b"Exif\0\0nonsense"))
    np.testing.assert_array_equal(document.arrays[""], COLOURS)
    (note,) = document.notes
    assert note.startswith("EXIF data can't be read, orientation not applied: ")


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "PNG", "WEBP"])
def test_first_of_several_frames_with_a_note(kind):
    frames = [Pillow.new("RGB", (4, 3), colour) for colour in [(255, 0, 0), (0, 255, 0), (0, 0, 255)]]
    options = {"lossless": True} if kind == "WEBP" else {}
    document = read(encode(frames[0], kind, save_all=True, append_images=frames[1:], **options))
    np.testing.assert_array_equal(document.arrays[""], np.full((3, 4, 3), [255, 0, 0]))
    assert document.notes == ("first of 3 frames",)


def test_floats_and_whole_numbers_of_32_bits():
    unit = read(encode(Pillow.fromarray(np.array([[0, 0.5, 1]], np.float32)), "TIFF"))
    np.testing.assert_array_equal(unit.arrays[""][..., 0], [[0, 127.5, 255]])
    assert unit.notes == ("32-bit floats from 0 to 1 read as 0…1",)
    grey = read(encode(Pillow.fromarray(np.array([[0, 0.5, 200]], np.float32)), "TIFF"))
    np.testing.assert_array_equal(grey.arrays[""][..., 0], [[0, 0.5, 200]])
    whole = read(encode(Pillow.fromarray(np.array([[0, 257, 65535]], np.int32)), "TIFF"))
    np.testing.assert_array_equal(whole.arrays[""][..., 0], [[0, 1, 255]])
    assert whole.notes == ("32-bit whole numbers from 0 to 65535 read as 0…65535",)


@pytest.mark.parametrize("values", [[[-1.0, 0.5]], [[0.0, 256.0]], [[0.0, np.nan]]])
def test_values_beyond_every_usual_range_are_refused(values):
    error = refused(encode(Pillow.fromarray(np.array(values, np.float32)), "TIFF"))
    assert error.reason == "unknown-range"
    assert "0…1 or 0…255 was expected" in error.message


def test_16_bit_colour_is_told():
    rows = b"".join(b"\0" + struct.pack(">6H", 257, 514, 65535, 0, 1, 2) for _ in range(2))
    document = read(png(2, 2, 16, 2, rows))
    np.testing.assert_array_equal(document.arrays[""][0], [[1, 2, 255], [0, 0, 0]])
    assert document.notes == ("16-bit colour read with 8-bit precision",)


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_an_empty_file():
    error = refused(b"")
    assert error.reason == "empty-file"
    assert error.message == "a picture was expected, the file is empty (0 bytes)"


def test_text_named_png():
    error = refused(b"hello\nworld")
    assert error.reason == "not-a-picture"
    assert error.message.startswith("not a picture: the file starts with 'hello' (text); PNG, JPEG")


def test_unknown_bytes():
    error = refused(b"\x7fELF\x02\x01\x01\x00\xff\xfe")
    assert error.reason == "not-a-picture"
    assert "the file starts with the bytes 7f 45 4c 46 02 01 01 00" in error.message


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"%PDF-1.7", "PDF"),
        (b"\0\0\0\x18ftypheic", "AVIF or HEIC"),
        (b"%!PS-Adobe", "PostScript"),
        (b"\0\0\0\x18ftypisom", "MP4 or MOV"),
    ],
)
def test_formats_that_are_known_and_not_read(data, name):
    error = refused(data)
    assert error.reason == "unknown-format"
    assert error.message == f"PNG, JPEG, WebP, BMP, GIF or TIFF was expected, the file is {name}"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
def test_cut_short(kind):
    noise = Pillow.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = encode(noise, kind)
    error = refused(data[: len(data) // 2])
    assert error.reason == "truncated"
    assert error.message.startswith("the picture is truncated: ")
    assert refused(data[:6]).reason in ("truncated", "not-a-picture")


def test_a_png_cut_inside_its_header():
    error = refused(encode(Pillow.fromarray(COLOURS))[:12])
    assert error.reason == "truncated"


def test_damaged_bytes():
    data = bytearray(encode(Pillow.fromarray(COLOURS)))
    data[45:60] = b"\0" * 15
    assert refused(bytes(data)).reason in ("damaged", "truncated")


@pytest.mark.parametrize("pillow", ["error", "ignore"])
def test_a_bomb_is_refused_before_it_is_decoded(pillow):
    with warnings.catch_warnings():
        warnings.simplefilter(pillow, Pillow.DecompressionBombWarning)
        error = refused(png(10_000, 9_000, 8, 0, b""))
    assert error.reason == "too-large"
    assert "at most 89,478,485 pixels are read" in error.message
    assert refused(png(2**31 - 1, 2**31 - 1, 8, 0, b"")).reason == "too-large"


REASONS = (
    "empty-file", "not-a-picture", "unknown-format", "truncated", "damaged", "too-large", "unknown-range"
)  # fmt: skip
VALID = [encode(Pillow.fromarray(COLOURS), kind) for kind in ("PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP")]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(VALID), st.integers(0, 10_000), st.integers(0, 255), st.integers(0, 10_000))
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_mutated_files_are_read_or_refused(data, position, value, end):
    mutated = bytearray(data)
    mutated[position % len(data)] = value
    refusal, document = None, None
    try:
        document = read(bytes(mutated[: len(data) if end % 2 else end % len(data)]))
    except InputError as error:
        refusal = error.reason
    if document is None:
        assert refusal in REASONS
    else:
        pixels = document.arrays[""]
        assert pixels.shape[:2] == document.display.shape[:2]
        assert pixels.shape[2] in (1, 3, 4)
        assert 0 <= pixels.min() <= pixels.max() <= 255
