"""`maximize` on every sample model: the target rises by what the docs state; layers, and real reading back."""

import json
from pathlib import Path

import numpy as np
import pytest
from run_tools import Heard, journal

from saliency_cli.errors import UsageError
from saliency_cli.maximizing.ascending import Climb
from saliency_cli.readers.image import Image as Reader
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.studying import run_study
from saliency_cli.studies.maximize import Maximize
from saliency_cli.studies.maximize_canvases import Manner
from saliency_cli.studies.maximize_objectives import objectives_of

ROOT = Path(__file__).resolve().parents[2]
MODELS, PICTURES = ROOT / "sample_models", ROOT / "sample_images"
TABLE = str(PICTURES / "table.csv")

# Model, output, classes, range, and the rise of the logit (or value) that every class reaches with the defaults.
RISES = [
    ("shapes", None, range(4), {}, 12.0),
    ("nested", None, range(10), {}, 7.0),
    ("two_inputs_two_outputs", "digit", range(10), {"valid_range": (0.0, 10.0)}, 14.0),
    ("two_inputs_two_outputs", "amount", range(1), {"valid_range": (0.0, 10.0)}, 45.0),
    ("signal", None, range(3), {"valid_range": (-3.0, 3.0)}, 1.0),
    ("table", None, range(3), {"range_of": TABLE}, 2.5),
    ("linear", None, range(1), {"valid_range": (-1.0, 1.0)}, 5.5),
    ("quadratic", None, range(1), {"valid_range": (-1.0, 2.0)}, 11.0),
    ("product", None, range(1), {"valid_range": (-1.0, 1.0)}, 0.9),
    ("binary", None, range(2), {"valid_range": (-1.0, 1.0)}, 3.2),
    ("saturated", None, range(3), {"valid_range": (0.0, 1.0)}, 2300.0),
]


def run(model, objectives, *inputs, climb=None, manner=None, own=None, **fields):
    study = Maximize(objectives, climb=Climb(tv=0.1, **(climb or {})), manner=Manner(**(manner or {})), **(own or {}))
    target = objectives[0].target
    request = ComputeRequest(
        str(MODELS / f"{model}.keras"), tuple(map(str, inputs)), target=target.text if target else "0", **fields
    )
    heard = Heard()
    return run_study(request, study, heard), heard


@pytest.mark.parametrize(("model", "output", "classes", "manner", "rise"), RISES, ids=lambda value: str(value)[:12])
def test_the_target_rises_on_every_sample_model(model, output, classes, manner, rise):
    objectives = objectives_of([str(index) for index in classes], None, None, None)
    report, heard = run(model, objectives, manner=manner, output_name=output, out="out")
    assert report.exit_code == 0
    assert len(heard.done) == len(classes)
    for record in journal("out"):
        assert record["results"]["rise"] >= rise, record["id"]
        assert record["flags"] == []


def test_the_optimum_of_a_linear_model_is_the_corner_of_its_range():
    run("linear", objectives_of(("0",), None, None, None), manner={"valid_range": (-1.0, 1.0)}, out="made.npy")
    np.testing.assert_array_equal(np.load("made.npy"), [1, 1, 1])
    run("binary", objectives_of(("1",), None, None, None), manner={"valid_range": (-1.0, 1.0)}, out="made.npy")
    np.testing.assert_array_equal(np.load("made.npy"), [1, -1, 1])  # of the logit x1 − 2 x2 + x3 / 2 + ¼


def test_no_sample_model_is_left_out():
    """`dead` has nothing that could rise, and a test of its own."""
    assert {model for model, *_ in RISES} | {"dead"} == {path.stem for path in MODELS.glob("*.keras")}


def test_a_dead_model_is_told():
    _, heard = run("dead", objectives_of(("1",), None, None, None), manner={"valid_range": (-1.0, 1.0)}, out="out")
    assert heard.failed["class-1"].reason == "zero-gradient"


def test_what_is_written_has_the_value_that_is_told():
    """The picture's own file through the model by hand, without this tool's reading and preparing."""
    import keras

    _, heard = run("nested", objectives_of(("3",), None, None, None), climb={"steps": 32}, out="made.png")
    found = heard.records[0].results
    live = keras.saving.load_model(MODELS / "nested.keras", compile=False)
    raw = Reader().read(Path("made.png").read_bytes()).arrays[""]
    probabilities = live(raw[None].astype(np.float32), training=False).numpy()[0]
    assert found["probability"] == pytest.approx(probabilities[3], rel=1e-4)
    others = np.delete(probabilities, 3)
    assert heard.records[0].prediction.index == int(np.argmax(probabilities))
    # The logit is above the others' by what the probabilities say.
    assert probabilities[3] > others.max()


def test_channels_units_and_layers_of_a_nested_model():
    import keras

    live = keras.saving.load_model(MODELS / "nested.keras", compile=False)
    backbone = live.get_layer("backbone")
    told = {"channel": "5", "unit": "2,3,6", "whole": None}
    asked = {
        name: objectives_of(
            (), "backbone/conv3", value if name == "channel" else None, value if name == "unit" else None
        )
        for name, value in told.items()
    }
    tap = keras.Model(backbone.inputs[0], backbone.get_layer("conv3").output)
    for name, objectives in asked.items():
        _, heard = run("nested", objectives, climb={"steps": 48}, out=f"{name}.png")
        (record,) = heard.records
        x = Reader().read(Path(f"{name}.png").read_bytes()).arrays[""][None]
        outputs = tap(x, training=False).numpy()[0]
        expected = {"channel": outputs[..., 5].mean(), "unit": outputs[2, 3, 6], "whole": np.square(outputs).mean()}
        assert record.results["written"] == pytest.approx(float(expected[name]), rel=1e-4, abs=1e-5)
        assert record.results["rise"] > 0.05
        assert record.results["space"] == "activation"


@pytest.mark.parametrize(
    ("layer", "channel", "unit", "words"),
    [
        ("backbone/conv33", "0", None, "has no layer 'backbone/conv33'"),
        ("backbone/conv3", "24", None, "has no unit 24"),
        ("backbone/conv3", None, "8,0,0", "has no unit 8,0,0"),
        ("backbone/conv3", None, "0,0", "has no unit 0,0"),
    ],
)
def test_layers_and_units_that_are_not_there(layer, channel, unit, words):
    with pytest.raises(UsageError, match=words):
        run("nested", objectives_of((), layer, channel, unit), out="out")
    assert not Path("out").exists()


def test_one_seed_gives_one_picture_and_a_picture_can_become_another_class():
    circle = objectives_of(("2",), None, None, None)
    for name in ("a.png", "b.png"):
        _, heard = run("shapes", circle, PICTURES / "shapes_circle.png", climb={"steps": 96}, out=name)
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()
    (record,) = heard.records
    assert (record.results["before"].index, record.prediction.index) == (0, 2)
    report, heard = run("shapes", circle, "b.png", climb={"steps": 1}, out="c.png")
    # What was told of the file is what the next run finds when it begins with it.
    assert heard.records[0].results["start"] == pytest.approx(record.results["written"], rel=1e-5)
    assert json.dumps(report.run.options)
