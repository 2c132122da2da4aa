"""A baseline is written whole, read back, and never mistaken for another."""

import json
from hashlib import sha256
from math import inf, nan
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from saliency_cli.errors import OutputError, UsageError
from saliency_cli.records import (
    ItemRecord,
    MapRecord,
    MetricRecord,
    ModelRecord,
    PredictionRecord,
    RunRecord,
    TargetRecord,
)
from saliency_cli.runs.check.baseline_file import read_baseline, write_baseline
from saliency_cli.runs.check.sprite import decode, encode
from saliency_cli.runs.measured import MeasuredItem, MeasuredRun


def run(*planes, values=None):
    """Return a run of hand-made maps."""
    metric = MetricRecord(name="m", options={"k": 0.1}, definition="", unit="", better="neither", cost="")
    items = tuple(
        MeasuredItem(
            ItemRecord(
                id=f"{place}.png",
                status="ok",
                prediction=PredictionRecord(output="y", kind="class", score=0.5, index=place),
                maps=[
                    MapRecord(
                        method="gradient",
                        target=TargetRecord(text="top", output="y", space="logit", label="", value=1.5),
                        inputs={},
                        notes={"m": "> 3"},
                    )
                ],
            ),
            f"x={sha256(bytes([place])).hexdigest()}",
            label="cat",
            values={"m": (values or [1.25] * len(planes))[place]},
            plane=plane,
        )
        for place, plane in enumerate(planes)
    )
    record = RunRecord(measured={"m": metric}, model=ModelRecord(path="m", format="f", weights_sha256="w"))
    return MeasuredRun(record, items)


def written(*planes, **fields):
    write_baseline(Path("base"), run(*planes, **fields), Path(), {"method": "gradient"}, {"space": "logit"})
    return read_baseline(Path("base"), "UPDATE")


def test_a_baseline_comes_back():
    planes = [np.random.default_rng(0).random((5, 7)), np.zeros((3, 2))]
    found = written(*planes)
    assert [entry.id for entry in found.items.values()] == ["0.png", "1.png"]
    first, second = found.items.values()
    assert np.abs(first.plane - planes[0]).max() <= 0.5 / 255 * 2 * planes[0].max()
    np.testing.assert_array_equal(second.plane, planes[1])
    assert (first.top, first.value, first.label, first.values) == (0, 1.5, "cat", {"m": 1.25})
    assert first.notes == {"m": "> 3"}
    assert found.measured == {"m": {"k": 0.1}}
    assert (found.record.kind, found.record.weights_sha256) == ("folder", "w")
    reference = found.find(f"other_name={first.key}")
    assert reference.top == 0
    assert found.find("nothing") is None


def test_numbers_that_json_has_not_come_back():
    values = [nan, inf, -inf]
    found = written(*[np.ones((2, 2))] * 3, values=values)
    np.testing.assert_equal([entry.values["m"] for entry in found.items.values()], values)


@pytest.mark.parametrize("shape", [(), (4,), (1, 64), (3, 4, 5), (64, 64)])
def test_a_map_of_any_number_of_axes_comes_back(shape):
    plane = np.random.default_rng(1).random(shape)
    data, tiles = encode([plane] * 20)
    for found in decode(data, tiles, [shape] * 20, [float(plane.max())] * 20):
        np.testing.assert_allclose(np.sqrt(found), np.sqrt(plane), atol=0.51 / 255)


def test_small_values_are_told_apart_from_zero():
    plane = np.array([[1.0, 1e-4, 1e-5, 0.0]])
    data, tiles = encode([plane])
    found = decode(data, tiles, [(1, 4)], [1.0])[0][0]
    assert found[0] > found[1] > found[2] > found[3] == 0


def test_an_input_is_a_line_and_the_same_run_the_same_bytes():
    written(np.ones((2, 2)), np.ones((2, 2)))
    lines = Path("base/baseline.json").read_text().splitlines()
    assert sum('"id":"0.png"' in line for line in lines) == 1
    assert [json.loads(line.rstrip(","))["id"] for line in lines if '"id":' in line] == ["0.png", "1.png"]
    before = Path("base/maps.png").read_bytes()
    written(np.ones((2, 2)), np.ones((2, 2)))
    assert Path("base/maps.png").read_bytes() == before
    with Image.open("base/maps.png") as image:
        assert (image.mode, image.size) == ("L", (32, 2))


def test_no_baseline_names_the_command():
    with pytest.raises(UsageError, match="there is no baseline in 'base'") as caught:
        read_baseline(Path("base"), "UPDATE")
    assert caught.value.hint.startswith("UPDATE")


@pytest.mark.parametrize("harm", ["json", "maps", "gone", "merge", "schema", "picture"])
def test_a_baseline_that_is_not_whole_is_no_baseline(harm):
    written(np.ones((2, 2)))
    numbers, maps = Path("base/baseline.json"), Path("base/maps.png")
    text = numbers.read_text()
    if harm == "json":
        numbers.write_text(text[:100])
    elif harm == "merge":
        numbers.write_text("<<<<<<< HEAD\n" + text)
    elif harm == "schema":
        numbers.write_text(text.replace("baseline-1", "baseline-9"))
    elif harm == "gone":
        maps.unlink()
    elif harm == "maps":
        maps.write_bytes(encode([np.zeros((2, 2))])[0])
    else:
        maps.write_bytes(b"nothing")
        numbers.write_text(text.replace(json.loads(text)["maps"]["sha256"], sha256(b"nothing").hexdigest()))
    with pytest.raises(UsageError) as caught:
        read_baseline(Path("base"), "UPDATE")
    assert caught.value.exit_code == 2


def test_the_old_baseline_stays_where_the_new_can_t_be_written(monkeypatch):
    written(np.ones((2, 2)))
    before = {path.name: path.read_bytes() for path in Path("base").iterdir()}
    replace = Path.replace

    def full(path, target):
        if Path(target).name == "baseline.json":
            raise OSError(28, "No space left on device", str(target))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match="No space"):
        written(np.zeros((2, 2)))
    assert {path.name: path.read_bytes() for path in Path("base").iterdir()} == before


def test_a_file_in_the_folder_s_place_is_told():
    Path("base").write_text("mine")
    with pytest.raises(OutputError):
        written(np.ones((2, 2)))
    assert Path("base").read_text() == "mine"
