import json
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from drawn_views import METADATA, noise, photograph, picture_view, signal_view, table_view
from PIL import ExifTags, Image

from saliency_cli.records import ItemRecord
from saliency_cli.registry import Registry
from saliency_cli.rendering.colormaps import colormap
from saliency_cli.rendering.heatmap import index_map
from saliency_cli.rendering.overlay import overlay

WRITERS = Registry("saliency_cli.writers", "format")
PICTURE = picture_view(noise(16, 16, 3), photograph(), reduce="sum")
VIEWS = {"picture": PICTURE, "signal": signal_view(noise(50, 2)), "table": table_view(noise(5))}


def opened(data):
    image = Image.open(BytesIO(data))
    image.load()
    return image


def test_the_writers_are_found_with_a_summary_each():
    assert set(WRITERS.names()) >= {"heatmap", "json", "npy", "npz", "overlay", "panel"}
    assert all(WRITERS.summary(name).endswith(".") for name in WRITERS.names())


@pytest.mark.parametrize("layout", VIEWS)
@pytest.mark.parametrize("name", ["heatmap", "json", "npy", "npz", "overlay", "panel"])
def test_the_same_views_give_the_same_bytes(name, layout):
    view = replace(VIEWS[layout], record=ItemRecord(id="a", status="ok"))
    writer = WRITERS.build(name, {})
    first = writer.encode([view])
    assert first == writer.encode([view])
    assert writer.suffix(view).startswith(".")


def test_a_heat_map_is_a_palette_picture_of_the_indices():
    image = opened(WRITERS.build("heatmap", {}).encode([PICTURE]))
    assert (image.format, image.mode) == ("PNG", "P")
    assert np.array_equal(np.asarray(image), index_map(PICTURE))
    assert np.array_equal(np.asarray(image.convert("RGB")), colormap(None, signed=True)[index_map(PICTURE)])


@pytest.mark.parametrize("name", ["heatmap", "overlay", "panel"])
def test_provenance_is_read_back_from_a_png(name):
    image = opened(WRITERS.build(name, {}).encode([PICTURE]))
    assert image.text["Software"] == "saliency 0.1.0"
    assert json.loads(image.text["saliency"]) == METADATA
    assert "犬" in image.text["saliency"]


def test_a_png_holds_no_time_and_nothing_without_metadata():
    data = WRITERS.build("heatmap", {}).encode([replace(PICTURE, metadata={})])
    assert b"tIME" not in data
    assert not opened(data).text


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_provenance_is_read_back_from_a_photograph(kind):
    data = WRITERS.build("overlay", {}).encode([replace(PICTURE, original_format=kind)])
    exif = opened(data).getexif()
    assert exif[ExifTags.Base.Software] == "saliency 0.1.0"
    comment = exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment]
    assert json.loads(comment.removeprefix(b"ASCII\0\0\0")) == METADATA


def test_metadata_too_long_for_exif_is_left_out():
    view = replace(PICTURE, original_format="JPEG", metadata={"software": "saliency", "long": "x" * 70_000})
    assert opened(WRITERS.build("overlay", {}).encode([view])).getexif()[ExifTags.Base.Software] == "saliency"


@pytest.mark.parametrize(
    ("original", "expected", "suffix"),
    [
        ("JPEG", "JPEG", ".jpg"),
        ("MPO", "JPEG", ".jpg"),
        ("WEBP", "WEBP", ".webp"),
        ("PNG", "PNG", ".png"),
        ("GIF", "PNG", ".png"),
        ("TIFF", "PNG", ".png"),
        ("BMP", "PNG", ".png"),
    ],
)
def test_an_overlay_keeps_the_format_of_the_photograph(original, expected, suffix):
    view = replace(PICTURE, original_format=original)
    writer = WRITERS.build("overlay", {})
    image = opened(writer.encode([view]))
    assert (image.format, writer.suffix(view)) == (expected, suffix)
    assert image.size == (64, 48)
    smooth = picture_view(np.ones((4, 4, 1)), np.full((48, 64, 3), 90, np.uint8), original_format=original)
    close = np.asarray(opened(writer.encode([smooth])).convert("RGB")).astype(int)
    assert np.abs(close - overlay(smooth)).max() <= 3


def test_a_picture_too_wide_for_its_format_becomes_png():
    view = picture_view(noise(4, 4, 3), photograph(1, 20_000), original_format="WEBP")
    writer = WRITERS.build("overlay", {})
    assert writer.suffix(view) == ".png"
    assert opened(writer.encode([view])).format == "PNG"


@pytest.mark.parametrize("layout", ["signal", "table"])
def test_of_signals_and_tables_the_heat_map_is_a_strip_and_the_overlay_a_chart(layout):
    strip = opened(WRITERS.build("heatmap", {}).encode([VIEWS[layout]]))
    drawn = opened(WRITERS.build("overlay", {}).encode([replace(VIEWS[layout], original_format="JPEG")]))
    assert strip.mode == "P"
    assert drawn.format == "PNG"
    assert strip.size[1] == 64
    assert drawn.size[0] > 600


@pytest.mark.parametrize("values", [noise(5, 4, 3), noise(5, 4, 3).transpose(2, 0, 1), np.float32(3.0)])
def test_npy_is_the_array_bit_for_bit(values):
    data = WRITERS.build("npy", {}).encode([table_view(values)])
    loaded = np.load(BytesIO(data), allow_pickle=False)
    assert loaded.dtype == np.float32
    assert loaded.shape == np.shape(values)
    assert loaded.tobytes() == np.asarray(values).tobytes()


def test_npz_holds_every_input_by_its_name():
    names = ("image", "größe", "file", "encoder/x:0")
    views = [table_view(noise(4, seed=i), input_name=name) for i, name in enumerate(names)]
    loaded = np.load(BytesIO(WRITERS.build("npz", {}).encode(views)), allow_pickle=False)
    assert tuple(loaded.files) == names
    assert all(np.array_equal(loaded[view.input_name], view.values) for view in views)


def test_npz_refuses_two_inputs_of_one_name():
    with pytest.raises(ValueError, match="same name"):
        WRITERS.build("npz", {}).encode([table_view([1.0]), table_view([2.0])])


def test_json_is_the_record_of_the_item():
    record = ItemRecord(id="größe.png", status="ok", seconds=float("nan"))
    data = WRITERS.build("json", {}).encode([replace(PICTURE, record=record)])
    assert data.endswith(b"}\n")
    assert b'\n  "id": "gr\xc3\xb6\xc3\x9fe.png"' in data
    assert json.loads(data)["seconds"] is None


def test_scopes():
    scopes = {name: WRITERS.load(name).scope for name in ("heatmap", "overlay", "panel", "npy", "npz", "json")}
    assert scopes == {
        "heatmap": "input",
        "overlay": "input",
        "panel": "input",
        "npy": "input",
        "npz": "attribution",
        "json": "item",
    }
