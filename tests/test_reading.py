"""Which reader reads what: by suffix, by content, with a note, or not at all."""

import io

import numpy as np
import pytest
from PIL import Image

from saliency_cli.errors import InputError
from saliency_cli.runs.reading import known_suffixes, picture_suffixes, read_document


def picture(kind: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (3, 2), (9, 8, 7)).save(out, kind)
    return out.getvalue()


def saved(save, *arrays, **named) -> bytes:
    out = io.BytesIO()
    save(out, *arrays, **named)
    return out.getvalue()


NPY = saved(np.save, np.ones((2, 2), np.float32))
NPZ = saved(np.savez, a=np.ones(2), b=np.zeros(3))


def test_suffixes():
    assert picture_suffixes() == (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
    assert known_suffixes() == tuple(sorted((*picture_suffixes(), ".csv", ".npy", ".npz", ".tsv")))


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("cat.png", picture("PNG"), "picture"),
        ("dir.npy/CAT.JPG", picture("JPEG"), "picture"),
        ("x.npy", NPY, "array"),
        ("x.npz", NPZ, "array"),
        ("x.csv", b"a,b\n1,2\n", "table"),
        ("x.tsv", b"a\tb\n1\t2\n", "table"),
        ("bmi.csv", b"BMI,age\n20,30\n", "table"),
    ],
)
def test_by_suffix(name, data, kind):
    document = read_document(name, data)
    assert document.kind == kind
    assert document.notes == ()


@pytest.mark.parametrize("name", ["-", "cat", "cat.photo", ".hidden"])
@pytest.mark.parametrize(
    ("data", "kind"),
    [(picture(kind), "picture") for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF")]
    + [(NPY, "array"), (NPZ, "array")],
)
def test_by_content_where_the_suffix_is_unknown(name, data, kind):
    document = read_document(name, data)
    assert document.kind == kind
    assert document.notes == ()


def test_a_jpeg_named_png_is_a_picture_all_the_same():
    document = read_document("cat.png", picture("JPEG"))
    assert document.format == "JPEG"
    assert document.notes == ()


@pytest.mark.parametrize(
    ("name", "data", "kind", "note"),
    [
        ("x.png", NPY, "array", "named .png, read as npy by its content"),
        ("x.npy", NPZ, "array", "named .npy, read as npz by its content"),
        ("x.npy", picture("PNG"), "picture", "named .npy, read as png by its content"),
        ("x.csv", picture("WEBP"), "picture", "named .csv, read as webp by its content"),
    ],
)
def test_content_wins_over_a_wrong_suffix_with_a_note(name, data, kind, note):
    document = read_document(name, data)
    assert document.kind == kind
    assert document.notes == (note,)


@pytest.mark.parametrize(
    ("name", "data", "reason", "message"),
    [
        ("x.mat", b"hello", "unknown-format", "'x.mat' has the suffix '.mat', and its content is of no known kind"),
        ("-", b"hello", "unknown-format", "'-' has a name without a suffix, and its content is of no known kind"),
        ("-", b"", "empty-file", "'-' is empty (0 bytes)"),
    ],
)
def test_neither_tells(name, data, reason, message):
    with pytest.raises(InputError) as caught:
        read_document(name, data)
    assert (caught.value.reason, caught.value.message) == (reason, message)
    assert caught.value.hint == f"known suffixes: {', '.join(known_suffixes())}"


def test_a_known_suffix_leaves_the_telling_to_its_reader():
    with pytest.raises(InputError, match="not a picture: the file starts with 'hello'"):
        read_document("cat.png", b"hello")


@pytest.mark.parametrize("name", ["shapes.keras", "renamed.npz", "no_suffix"])
def test_a_model_given_as_an_input_is_told_as_one(name):
    from pathlib import Path

    data = (Path(__file__).resolve().parents[1] / "sample_models" / "shapes.keras").read_bytes()
    with pytest.raises(InputError, match=f"'{name}' is a saved model, and an input was expected") as caught:
        read_document(name, data)
    assert caught.value.reason == "model-as-input"
    assert "the model comes first" in caught.value.hint


@pytest.mark.parametrize("name", ["old.h5", "no_suffix"])
def test_a_model_of_hdf5_is_told_too(name):
    with pytest.raises(InputError, match="is a saved model"):
        read_document(name, b"\x89HDF\r\n\x1a\n" + bytes(100))
