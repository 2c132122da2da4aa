"""A dry run tells the samples of a stack, by what the files themselves say; no model is opened."""

import json
from pathlib import Path

import numpy as np
import pytest
from run_tools import picture

from saliency_cli.errors import InputError
from saliency_cli.records import InputSpec
from saliency_cli.runs.fitting import as_dtype
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.sources import listed
from saliency_cli.runs.unstacking import unstacked

SAMPLES = Path(__file__).resolve().parents[2] / "sample_models"
TWO = SAMPLES / "two_inputs_two_outputs.keras"


def ids(model, *inputs, **fields):
    request = ComputeRequest(str(model), tuple(inputs), **fields)
    return [source.id for source in unstacked(request, listed(request))]


def test_rows_of_arrays_and_tables_that_the_model_takes_one_by_one():
    picture("a.png", 0)
    np.save("stack.npy", np.zeros((3, 64, 64, 3), np.float32))
    np.save("one.npy", np.zeros((64, 64, 3), np.float32))
    np.save("bytes.npy", np.zeros((9, 9, 3), np.uint8))
    np.save("odd.npy", np.zeros((3, 5), np.float32))
    np.savez("stack.npz", np.zeros((2, 64, 64, 3)))
    Path("broken.npy").write_bytes(b"\x93NUMPY\x01\x00")
    Path("broken.npz").write_bytes(b"PK\x03\x04 no archive")
    alone = ["a.png", "one.npy", "bytes.npy", "odd.npy", "broken.npy", "broken.npz"]
    told = ["stack.npy#0", "stack.npy#1", "stack.npy#2", "stack.npz#0", "stack.npz#1"]
    assert ids(SAMPLES / "shapes.keras", *alone, "stack.npy", "stack.npz") == [*alone, *told]
    Path("rows.csv").write_text("\n".join([",".join(f"c{i}" for i in range(13)), *[",".join("1" * 13)] * 4]) + "\n")
    assert ids(SAMPLES / "table.keras", "rows.csv") == [f"rows.csv#{row}" for row in range(4)]


def test_several_inputs_of_a_model_are_stacked_together():
    shapes = {"picture": (2, 16, 16, 1), "numbers": (2, 4)}
    np.savez("both.npz", **{name: np.zeros(shape, np.float32) for name, shape in shapes.items()})
    assert ids(TWO, "both.npz") == ["both.npz#0", "both.npz#1"]
    parts = []
    for name, shape in shapes.items():
        np.save(f"{name}.npy", np.zeros(shape, np.float32))
        parts.append((name, f"{name}.npy"))
    (first, second) = ids(TWO, named_inputs=tuple(parts))
    assert (first[-2:], second[-2:]) == ("#0", "#1")


def test_what_the_model_s_file_does_not_tell_stays_one_input():
    np.save("stack.npy", np.zeros((3, 64, 64, 3), np.float32))
    assert ids("no-such-model.keras", "stack.npy") == ["stack.npy"]
    Path("damaged.keras").write_bytes(b"PK\x03\x04 nothing")
    assert ids("damaged.keras", "stack.npy") == ["stack.npy"]


@pytest.mark.parametrize("command", ["compute", "jacobian", "hessian", "perturb", "parameters"])
def test_a_dry_run_counts_them_and_names_their_files(saliency, command):
    np.save("stack.npy", np.zeros((3, 13), np.float32))
    told = saliency(command, str(SAMPLES / "table.keras"), "stack.npy", "-o", "out", "--dry-run", "--json")
    assert told.code == 0, told.err
    document = json.loads(told.out)
    assert [item["id"] for item in document["items"]] == ["stack.npy#0", "stack.npy#1", "stack.npy#2"]
    assert document["counts"]["ok"] == 3
    if command != "parameters":
        for row, item in enumerate(document["items"]):
            assert item["files"]
            assert all(file.startswith(f"maps/stack.npy#{row}/") for file in item["files"].values())


@pytest.mark.parametrize(("kind", "values"), [("uint8", [0, 300]), ("uint8", [-1, 4]), ("int8", [1.0, 128.0])])
def test_numbers_that_an_integer_input_can_not_hold_are_refused_and_not_wrapped(kind, values):
    with pytest.raises(InputError, match=f"takes {kind}, .* and values from .* came"):
        as_dtype(np.array(values), InputSpec("x", (2,), kind))
    ends = np.iinfo(kind)
    assert as_dtype(np.array([ends.min, ends.max]), InputSpec("x", (2,), kind)).tolist() == [ends.min, ends.max]
