"""Arrays and tables, read exactly, and every way they can be wrong."""

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from saliency_cli.errors import InputError
from saliency_cli.readers.csv import Csv
from saliency_cli.readers.npy import Npy
from saliency_cli.readers.npz import Npz


def npy(array, **options) -> bytes:
    out = io.BytesIO()
    np.save(out, array, **options)
    return out.getvalue()


def npz(**arrays) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def refused(reader, data: bytes) -> InputError:
    with pytest.raises(InputError) as caught:
        reader.read(data)
    return caught.value


@settings(max_examples=40, deadline=None)
@given(
    hnp.arrays(
        st.sampled_from(["f2", "f4", "f8", ">f4", "u1", "i8", "?"]),
        hnp.array_shapes(min_dims=0, max_dims=3, max_side=4),
    )
)
def test_npy_round_trip(array):
    document = Npy().read(npy(array))
    assert document.kind == "array"
    found = document.arrays[""]
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype.newbyteorder("=")
    assert found.flags.c_contiguous
    assert found.flags.writeable


def test_npy_in_fortran_order():
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4, order="F")
    np.testing.assert_array_equal(Npy().read(npy(np.asfortranarray(array))).arrays[""], array)


def test_npy_of_python_objects_is_never_unpickled():
    error = refused(Npy(), npy(np.array([{"a": 1}], dtype=object), allow_pickle=True))
    assert error.reason == "pickled"
    assert error.message == "numbers were expected, the array holds pickled Python objects"
    assert "numpy.save" in error.hint


@pytest.mark.parametrize(
    ("array", "dtype"),
    [(np.array(["a"]), "<U1"), (np.array([1j]), "complex128"), (np.array(["2020-01-01"], "M8[D]"), "datetime64[D]")],
)
def test_npy_that_holds_no_numbers(array, dtype):
    error = refused(Npy(), npy(array))
    assert error.reason == "not-numeric"
    assert error.message == f"numbers were expected, the array's dtype is {dtype}"


def test_npy_empty_text_and_nothing_in_it():
    assert refused(Npy(), b"").reason == "empty-file"
    error = refused(Npy(), b"1,2,3\n")
    assert error.reason == "not-an-array"
    assert error.message == "not a NumPy array: the file starts with '1,2,3' (text)"
    error = refused(Npy(), npy(np.zeros((0, 3))))
    assert error.reason == "empty-array"
    assert error.message == "the array holds no numbers: its shape is 0×3 float64"


def test_npy_truncated_and_too_long():
    data = npy(np.zeros((4, 2), np.float32))
    error = refused(Npy(), data[:-5])
    assert error.reason == "truncated"
    assert error.message == "the header declares 4×2 float32, 32 bytes; 27 follow it"
    error = refused(Npy(), data + b"!")
    assert error.reason == "damaged"
    assert "33 follow it" in error.message
    assert refused(Npy(), data[:20]).reason == "truncated"


def test_npy_header_that_claims_terabytes():
    data = npy(np.zeros(3, np.float32)).replace(b"(3,), }           ", b"(99999999999,), } ")
    error = refused(Npy(), data)
    assert error.reason == "truncated"
    assert "declares 99999999999 float32, 399,999,999,996 bytes; 12 follow it" in error.message


@pytest.mark.parametrize(("old", "new"), [(b"'descr'", b"'d(scr'"), (b"(3,)", b"(-3)"), (b"<f4", b"<zz")])
def test_npy_damaged_header(old, new):
    assert refused(Npy(), npy(np.zeros(3, np.float32)).replace(old, new)).reason == "damaged"


def test_npz_reads_every_name():
    arrays = {"image": np.arange(6, dtype=np.uint8).reshape(2, 3), "age": np.float32(4)}
    document = Npz().read(npz(**arrays))
    assert document.kind == "array"
    assert list(document.arrays) == ["image", "age"]
    np.testing.assert_array_equal(document.arrays["image"], arrays["image"])
    assert document.arrays["image"].dtype == np.uint8
    assert document.arrays["age"] == 4


def test_npz_refusals_name_the_array():
    error = refused(Npz(), zipped({"x.npy": npy(np.array([None]), allow_pickle=True)}))
    assert error.reason == "pickled"
    assert error.message == "array 'x': numbers were expected, the array holds pickled Python objects"
    assert refused(Npz(), zipped({"x.npy": npy(np.ones(3))[:-1]})).reason == "truncated"


def test_npz_that_is_none():
    assert refused(Npz(), b"").reason == "empty-file"
    error = refused(Npz(), b"hello")
    assert error.reason == "not-an-array"
    assert error.message == "not an archive of NumPy arrays: the file starts with 'hello' (text)"
    error = refused(Npz(), zipped({"config.json": b"{}"}))
    assert error.reason == "not-an-array"
    assert error.message == "an archive of NumPy arrays was expected, this one holds 'config.json'"
    assert refused(Npz(), zipped({})).reason == "empty-array"


def test_npz_truncated_and_damaged():
    data = npz(x=np.arange(1000))
    error = refused(Npz(), data[: len(data) // 2])
    assert error.reason == "truncated"
    assert error.message.startswith("the archive is truncated: ")
    damaged = bytearray(data)
    damaged[200:220] = b"\xff" * 20
    assert refused(Npz(), bytes(damaged)).reason == "damaged"


def test_npz_bomb(monkeypatch):
    monkeypatch.setattr("saliency_cli.readers.npz.LARGEST_BYTES", 1000)
    error = refused(Npz(), npz(x=np.zeros(1000)))
    assert error.reason == "too-large"
    assert error.message == "the archive unpacks to 8,128 bytes; at most 1,000 are read"


OUTCOMES = (
    "read", "empty-file", "not-an-array", "pickled", "not-numeric", "empty-array", "truncated", "damaged", "too-large"
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 255), st.booleans(), st.sampled_from([0, 1]))
def test_mutated_arrays_are_read_or_refused(position, value, cut, which):
    data = bytearray((npy(np.arange(9.0)), npz(a=np.arange(9.0)))[which])
    data[position % len(data)] = value
    reader = (Npy(), Npz())[which]
    outcome = "read"
    try:
        reader.read(bytes(data[: position % len(data)] if cut else data))
    except InputError as error:
        outcome = error.reason
    assert outcome in OUTCOMES


HEADED = "length,width\n1,2.5\n-3e2, 4\n"


@pytest.mark.parametrize(
    "text",
    [
        HEADED,
        HEADED.replace("\n", "\r\n"),
        HEADED.replace(",", ";"),
        HEADED.replace(",", "\t"),
        "\ufeff" + HEADED,
        HEADED + "\n\n  \n",
        "\n" + HEADED,
        HEADED.rstrip("\n"),
        HEADED.replace("length", '"length"'),
    ],
)
def test_csv_with_a_header(text):
    document = Csv().read(text.encode())
    assert document.kind == "table"
    assert document.columns == ("length", "width")
    assert document.arrays[""].dtype == np.float32
    np.testing.assert_array_equal(document.arrays[""], np.array([[1, 2.5], [-300, 4]], np.float32))


def test_csv_header_with_quoted_separators_and_nameless_columns():
    document = Csv().read(b',"weight; in g, dry"\n0,1\n')
    assert document.columns == ("column 0", "weight; in g, dry")


def test_csv_without_a_header():
    document = Csv().read(b"1,2,3\n4,5,6\n")
    assert document.columns == ("column 0", "column 1", "column 2")
    np.testing.assert_array_equal(document.arrays[""], [[1, 2, 3], [4, 5, 6]])


def test_csv_of_one_column():
    document = Csv().read(b"x\n1\n2\n")
    assert document.columns == ("x",)
    assert document.arrays[""].shape == (2, 1)


@pytest.mark.parametrize(
    ("text", "reason", "message"),
    [
        ("", "empty-file", "a table was expected, the file holds nothing (0 bytes)"),
        (" \n\n", "empty-file", "a table was expected, the file holds nothing (3 bytes)"),
        ("a,b\n", "no-rows", "rows of numbers were expected after the header on line 1, none came"),
        ("a,b\n1,2\n3\n", "ragged-row", "line 3 has 1 cells, 2 were expected"),
        ("a,b\n1,2,3\n", "ragged-row", "line 2 has 3 cells, 2 were expected"),
        ("a,b\n1,2\n\n3,4\n", "ragged-row", "line 3 has 0 cells, 2 were expected"),
        ("a,a\n1,2\n", "bad-header", "the header names two columns 'a'"),
        ("a,b\n1,x\n", "not-a-number", "line 2, column 'b': a number was expected, the cell is 'x'"),
        ("a,b\n1,2\n,4\n", "not-a-number", "line 3, column 'a': a number was expected, the cell is empty"),
        ("a,b\n1,nan\n", "not-a-number", "line 2, column 'b': a number was expected, the cell is 'nan'"),
        ("a,b\n1,1_0\n", "not-a-number", "line 2, column 'b': a number was expected, the cell is '1_0'"),
        (
            "a,b\n1,1e39\n",
            "not-a-number",
            "line 2, column 'b': a number was expected, the cell is '1e39', beyond what float32 holds",
        ),
        ('"a\nb",c\n1,2\n3,x\n', "not-a-number", "line 4, column 'c': a number was expected, the cell is 'x'"),
        ('a,b\n1,"2\n', "damaged", "line 2 is not CSV: unexpected end of data"),
        ("a,b\n1,\0\n", "not-text", "a table in UTF-8 was expected, byte 6 is a NUL"),
    ],
)
def test_csv_errors(text, reason, message):
    error = refused(Csv(), text.encode())
    assert (error.reason, error.message) == (reason, message)
    assert error.hint


def test_csv_decimal_commas_are_explained():
    error = refused(Csv(), b"a;b\n1,5;2\n")
    assert error.message == "line 2, column 'a': a number was expected, the cell is '1,5'"
    assert error.hint == "write decimals with a point, not a comma"


def test_csv_in_latin_1():
    error = refused(Csv(), "Größe\n1\n".encode("latin-1"))
    assert error.reason == "not-text"
    assert error.message == "a table in UTF-8 was expected, byte 2 is 0xf6"


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=4),
        elements=st.floats(allow_nan=False, allow_infinity=False, width=32),
    ),
    st.sampled_from(",;\t"),
)
def test_csv_round_trip(table, delimiter):
    text = "\n".join(delimiter.join(map(repr, row)) for row in table.tolist())
    np.testing.assert_array_equal(Csv().read(text.encode()).arrays[""], table)
