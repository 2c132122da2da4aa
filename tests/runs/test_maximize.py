"""`maximize` through a run, with a stand-in for the model: starts, files, records, manners."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from run_tools import Heard, array, journal, names, picture, run_json, tree
from stand_in import CLASSES, open_stand_in, waves

from saliency_cli.errors import InputError, UsageError
from saliency_cli.maximizing.ascending import Climb
from saliency_cli.readers.image import Image as Reader
from saliency_cli.records import InputSpec
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.studying import run_study
from saliency_cli.studies.maximize import Maximize
from saliency_cli.studies.maximize_canvases import Manner
from saliency_cli.studies.maximize_objectives import objectives_of
from saliency_cli.studies.remade import pixels


def score(x, k):
    """The stand-in's score of class `k` of a prepared input."""
    flat = np.asarray(x, np.float64).reshape(-1)
    return (waves(k, flat.size) @ flat + flat @ flat / 20) / 50


def pixels_of(path):
    return Reader().read(Path(path).read_bytes()).arrays[""]


@pytest.fixture
def maximize():
    """Return a function: inputs, options of the study and fields of the request → (report, listener)."""

    def run(*inputs, model="picture.keras", target="1", climb=None, manner=None, watch=None, **fields):
        own = {key: fields.pop(key) for key in ("every", "animation", "only", "sizes") if key in fields}
        texts = (target,) if isinstance(target, str) else target
        study = Maximize(
            objectives_of(texts, None, None, None),
            climb=Climb(**{"steps": 20, **(climb or {})}),
            manner=Manner(**(manner or {})),
            **own,
            **({"watch": watch} if watch else {}),
        )
        heard = Heard()
        request = ComputeRequest(model, tuple(inputs), target=texts[0], **fields)
        return run_study(request, study, heard, open_engine=open_stand_in), heard

    return run


def test_from_noise_to_a_file_that_holds_what_is_told(maximize):
    report, heard = maximize(out="made.png")
    (record,) = heard.records
    assert (report.exit_code, record.id, record.status) == (0, "class-1", "ok")
    assert names() == ["made.png"]
    found = record.results
    assert (found["objective"], found["space"]) == ("1", "logit")
    assert found["rise"] == found["written"] - found["start"] > 0.1
    raw = pixels_of("made.png")
    assert raw.shape == (8, 8, 3)
    assert found["written"] == pytest.approx(score(raw / 255, 1), rel=1e-5)
    # What eight bits take away is told apart from what the ascent reached.
    assert 0 < abs(found["written"] - found["end"]) < 0.02
    assert record.prediction.index == np.argmax([score(raw / 255, k) for k in range(CLASSES)])
    powers = np.exp([score(raw / 255, k) for k in range(CLASSES)])
    assert found["probability"] == pytest.approx(powers[1] / powers.sum(), rel=1e-5)
    assert found["contrast"] == 0.02
    assert found["parametrization"] == {"x": "fourier"}
    way = found["way"]
    assert way[0] == [0, found["start"]]
    assert way[-1] == [20, found["end"]]
    assert len(way) == 21


def test_the_start_is_faint_noise_about_the_middle(maximize):
    maximize(out="out", every=20, climb={"steps": 20})
    first = pixels_of("out/maps/class-1/step-00.png")
    assert np.mean(first) == pytest.approx(127.5, abs=6)
    assert 1 < np.std(first) < 12


def test_from_a_picture_the_values_themselves_are_varied(maximize):
    path = picture("a.png", size=(8, 8))
    _, heard = maximize(path, out="out", every=10, climb={"tv": 0.0}, manner={"jitter": 0})
    (record,) = heard.records
    found = record.results
    np.testing.assert_array_equal(pixels_of("out/maps/a.png/step-00.png"), pixels_of(path))
    assert found["start"] == pytest.approx(score(pixels_of(path) / 255, 1), rel=1e-5)
    assert found["parametrization"] == {"x": "pixel"}
    assert found["contrast"] is None
    assert found["rise"] > 0.2
    scores = [score(pixels_of(path) / 255, k) for k in range(CLASSES)]
    assert (found["before"].index, found["before"].label) == (np.argmax(scores), str(np.argmax(scores)))


def test_colours_that_the_model_takes_the_other_way_round(maximize):
    _, heard = maximize(out="made.png", preprocess="imagenet-caffe", climb={"steps": 60})
    raw = pixels_of("made.png")
    prepared = raw[..., ::-1] - np.array([103.939, 116.779, 123.68])
    found = heard.records[0].results
    assert found["written"] == pytest.approx(score(prepared, 1), rel=1e-5)
    assert found["written"] == pytest.approx(found["end"], rel=1e-2)
    assert found["rise"] > 10
    path = picture("a.png", size=(8, 8))
    _, heard = maximize(path, out="two.png", preprocess="imagenet-caffe")
    prepared = pixels_of(path)[..., ::-1] - np.array([103.939, 116.779, 123.68])
    assert heard.records[0].results["start"] == pytest.approx(score(prepared, 1), rel=1e-5)


def test_pixels_are_the_nearest_of_eight_bits():
    u = np.array([[0.0, 0.4 / 255, 0.6 / 255, 254.4 / 255, 254.6 / 255, 1.0]])
    spec = InputSpec("x", (1, 6), "float32")
    np.testing.assert_array_equal(pixels(255 * u, spec), [[0, 0, 1, 254, 255, 255]])
    first = InputSpec("x", (3, 1, 2), "float32", 0)
    assert pixels(np.zeros((3, 1, 2)), first).shape == (1, 2, 3)


def test_top_is_the_class_of_the_picture_and_stays_it(maximize):
    path = picture("a.png", seed=3, size=(8, 8))
    scores = [score(pixels_of(path) / 255, k) for k in range(CLASSES)]
    _, heard = maximize(path, target="top", out="made.png")
    (record,) = heard.records
    assert record.results["objective"] == str(np.argmax(scores))
    assert record.results["start"] == pytest.approx(max(scores), rel=1e-5)
    assert record.results["written"] > max(scores)


def test_a_sum_of_classes_is_raised(maximize):
    _, heard = maximize(target="class:2 - class:0", out="made.png")
    raw = pixels_of("made.png") / 255
    found = heard.records[0].results
    assert found["written"] == pytest.approx(score(raw, 2) - score(raw, 0), rel=1e-5)
    assert found["probability"] is None
    assert heard.records[0].id == "class_2_-_class_0"


def test_a_picture_of_another_size_is_made_at_the_models(maximize):
    path = picture("a.png", size=(20, 30))
    _, heard = maximize(path)
    assert names() == ["a.maximize.png", "a.png"]
    assert pixels_of("a.maximize.png").shape == (8, 8, 3)
    assert heard.records[0].results["written"] == pytest.approx(score(pixels_of("a.maximize.png") / 255, 1), rel=1e-5)


def test_several_from_noise_side_by_side(maximize):
    report, heard = maximize(target=("0", "1", "2"), out="out")
    assert [record.id for record in heard.records] == ["class-0", "class-1", "class-2"]
    assert [record.results["objective"] for record in heard.records] == ["0", "1", "2"]
    pictures = [pixels_of(f"out/maps/class-{k}/picture.png") for k in range(3)]
    assert not np.array_equal(pictures[0], pictures[1])
    for k, raw in enumerate(pictures):
        assert heard.records[k].results["written"] == pytest.approx(score(raw / 255, k), rel=1e-5)
    told = run_json("out")
    assert (told["study"], told["target"], told["files"]) == ("maximize", "0; 1; 2", {"sheet": "sheet.png"})
    assert told["metrics"]["results"]["rise"]["n"] == 3
    with Image.open("out/sheet.png") as sheet:
        assert sheet.size == (2 * 140 + 12, 2 * 160 + 12)
    assert report.run.results == {"shown": 3}


def test_one_of_several_is_what_it_is_alone(maximize):
    maximize(target=("0", "1", "2"), out="out", batch_size=4)
    maximize(target="1", out="alone.png", batch_size=4)
    np.testing.assert_array_equal(pixels_of("alone.png"), pixels_of("out/maps/class-1/picture.png"))


def test_the_same_seed_gives_the_same_bytes(maximize):
    maximize(out="a", animation="gif", every=5)
    maximize(out="b", animation="gif", every=5)
    maximize(out="c", animation="gif", every=5, seed=1)
    assert "maps/class-1/animation.gif" in tree("a")
    for file in tree("a"):
        if file.startswith("maps/"):
            assert Path("a", file).read_bytes() == Path("b", file).read_bytes()
    assert Path("a/maps/class-1/picture.png").read_bytes() != Path("c/maps/class-1/picture.png").read_bytes()


@pytest.mark.parametrize(("form", "kind"), [("gif", "GIF"), ("apng", "PNG"), ("webp", "WEBP")])
def test_an_animation(maximize, form, kind):
    _, heard = maximize(out=f"film.{form}", animation=form, climb={"steps": 10})
    assert names() == [f"film.{form}"]
    with Image.open(f"film.{form}") as film:
        assert (film.format, film.n_frames, film.size) == (kind, 11, (256, 256))
        film.load()
        assert film.info["duration"] == 120
        film.seek(10)
        film.load()
        assert film.info["duration"] == 1500
        shown = np.asarray(film.convert("RGB"))
    if form != "gif":  # whose frames have 256 colours
        last = shown[16::32, 16::32]
        assert heard.records[0].results["written"] == pytest.approx(score(last / 255, 1), rel=1e-5)
    assert heard.records[0].files == {"animation": f"film.{form}"}


def test_every_nth_step_is_a_file_of_its_own(maximize):
    _, heard = maximize(out="out", every=8)
    (record,) = heard.records
    steps = [kind for kind in record.files if kind.startswith("step-")]
    assert steps == ["step-00", "step-08", "step-16", "step-20"]
    for kind, (number, value) in zip(steps, record.results["way"], strict=True):
        raw = pixels_of(Path("out", record.files[kind]))
        assert kind == f"step-{number:02}"
        assert value == pytest.approx(score(raw / 255, 1), abs=0.02)
    with Image.open("out/maps/class-1/step-08.png") as image:
        told = json.loads(image.text["saliency"])
    assert (told["step"], told["objective"], told["options"]["every"]) == (8, "1", 8)


def test_the_way_is_shown_as_it_goes(maximize):
    shown = []
    maximize(watch=lambda *told: shown.append(told), climb={"steps": 32})
    assert [frame.step for _, frame, _, _ in shown] == list(range(0, 33, 2))
    assert {(identity, steps, start) for identity, _, steps, start in shown} == {("class-1", 32, shown[0][1].value)}
    assert all(frame.pixels.shape == (8, 8, 3) for _, frame, _, _ in shown)


def test_an_open_size_is_told(maximize):
    maximize(model="open.keras", sizes=(12, 20), out="made.png")
    assert pixels_of("made.png").shape == (12, 20, 3)
    with pytest.raises(UsageError, match="takes \\?×\\?×3: its size is open"):
        maximize(model="open.keras", sizes=(12,))
    with pytest.raises(UsageError, match="its size is open, and --size has 1 of 2 numbers"):
        maximize(model="open.keras", sizes=(12,))
    with pytest.raises(UsageError, match="--size is for sizes that a model leaves open") as told:
        maximize(model="open.keras", sizes=(12, 20, 3))
    assert told.value.hint == "--size with 2 numbers"
    with pytest.raises(UsageError, match="--size is for sizes that a model leaves open"):
        maximize(sizes=(12, 20))


def test_a_table_is_made_within_its_range(maximize):
    report, heard = maximize(model="table.keras", manner={"valid_range": (-2.0, 3.0)}, climb={"steps": 200})
    assert (report.exit_code, names()) == (0, ["class-1.maximize.npy"])
    values = np.load("class-1.maximize.npy")
    assert values.dtype == np.float32
    # w·x + x²/20 is highest in a corner: try them all.
    corners = np.array(np.meshgrid(*[[-2.0, 3.0]] * 4)).reshape(4, -1).T
    best = max(corners, key=lambda x: score(x, 1))
    np.testing.assert_array_equal(values, best.astype(np.float32))
    assert heard.records[0].results["written"] == pytest.approx(score(best, 1), rel=1e-5)


def test_each_value_may_have_a_range_of_its_own(maximize):
    lines = ["a,b,c,d", "0,5,-1,7", "1,9,0,7", "2,6,-3,7"]
    Path("table.csv").write_text("\n".join(lines) + "\n")
    maximize(model="table.keras", manner={"range_of": "table.csv"}, climb={"steps": 200})
    values = np.load("class-1.maximize.npy")
    # Each value's slope keeps its sign over its range, but for the third: w·x + x²/20 is higher at −3 than at 0.
    np.testing.assert_array_equal(values, [2, 9, -3, 7])


def test_values_beyond_their_range_are_told(maximize):
    path = array("x.npy", (4,))
    np.save(path, np.array([0, 0.5, 7, 1], np.float32))
    _, heard = maximize(path, model="table.keras", manner={"valid_range": (0.0, 1.0)}, out="out")
    error = heard.failed["x.npy"]
    assert error.reason == "outside-range"
    assert "holds 7 at [2], and there 0 to 1 is its range" in error.message


def test_two_inputs_are_varied_together_or_one_alone(maximize):
    _, heard = maximize(model="pair.keras", manner={"valid_range": (0.0, 1.0)}, out="out")
    assert set(heard.records[0].files) == {"picture.left", "values.right"}
    assert heard.records[0].results["parametrization"] == {"left": "fourier", "right": "pixel"}
    _, heard = maximize(model="pair.keras", manner={"valid_range": (0.0, 1.0)}, only=("right",), out="alone.npy")
    assert set(heard.records[0].files) == {"values"}
    np.testing.assert_array_equal(heard.records[0].results["parametrization"], {"right": "pixel"})
    with pytest.raises(UsageError, match="is one file, and 2 inputs are varied: left, right"):
        maximize(model="pair.keras", manner={"valid_range": (0.0, 1.0)}, out="made.png")
    with pytest.raises(UsageError, match="no input of that name") as told:
        maximize(model="pair.keras", only=("lefd",))
    assert told.value.hint == "did you mean 'left'?"


def test_inputs_have_ranges_of_their_own_by_name(maximize):
    table = {"valid_range": {"": (0.0, 9.0), "right": (2.0, 3.0)}}
    report, heard = maximize(model="pair.keras", manner=table, climb={"steps": 60}, out="out")
    files = heard.records[0].files
    assert np.load(f"out/{files['values.right']}").min() >= 2
    assert np.load(f"out/{files['values.right']}").max() <= 3
    assert report.run.options["valid_range"] == {"": (0, 9), "right": (2, 3)}
    narrow = {"valid_range": {"left": (49.5, 200.0), "right": (2.0, 3.0)}}
    maximize(model="pair.keras", manner=narrow, climb={"steps": 60}, out="narrow", every=20)
    made = pixels_of("narrow/maps/class-1/picture.left.png")
    assert 50 <= made.min() < 70
    assert 180 < made.max() <= 200
    np.testing.assert_array_equal(pixels_of("narrow/maps/class-1/step-60.png"), made)
    with pytest.raises(UsageError, match="--valid-range rigth: the model has no input of that name") as told:
        maximize(model="pair.keras", manner={"valid_range": {"rigth": (0, 1)}})
    assert told.value.hint == "did you mean 'right'? inputs that are varied: left, right"
    with pytest.raises(InputError, match=r"to 0\.7 leaves none to move"):
        maximize(model="picture.keras", manner={"valid_range": {"x": (0.2, 0.7)}})
    with pytest.raises(UsageError, match="'right' may go is not known") as told:
        maximize(model="pair.keras", manner={"valid_range": {"left": (0, 100)}})
    assert told.value.hint.startswith("--valid-range right=LOW,HIGH")


def test_a_range_is_told_in_one_way_and_has_two_ends(maximize):
    Path("table.csv").write_text("a,b,c,d\n0,5,-1,7\n1,9,0,8\n")
    with pytest.raises(UsageError, match="--valid-range and --range-of both tell"):
        maximize(model="table.keras", manner={"range_of": "table.csv", "valid_range": (0.0, 1.0)})
    both = {"range_of": "table.csv", "valid_range": {"x": (0.0, 1.0)}}
    maximize(model="table.keras", manner=both, climb={"steps": 100}, out="made.npy")
    assert np.load("made.npy").max() <= 1
    with pytest.raises(UsageError, match="of x goes from 0 to inf, and an ascent needs both ends"):
        maximize(model="table.keras", manner={"valid_range": {"x": (0.0, np.inf)}})


def test_a_picture_held_to_its_start_stays_nearer(maximize):
    path = picture("a.png", size=(8, 8))

    def away(l2):
        maximize(path, out=f"l2-{l2}.png", climb={"l2": l2})
        return np.abs(pixels_of(f"l2-{l2}.png") - pixels_of(path)).mean()

    assert away(20.0) < 0.6 * away(0.0)


def test_nothing_to_climb_is_told(maximize):
    report, heard = maximize(model="dead.keras", out="out")
    error = heard.failed["class-1"]
    assert (report.exit_code, error.reason) == (3, "zero-gradient")
    assert "exactly zero everywhere in noise of 6 contrasts" in error.message
    assert tree("out/maps") == []


def test_what_did_not_rise_has_a_flag(maximize):
    path = picture("a.png", size=(8, 8))
    maximize(path, out="best.png", climb={"steps": 300, "tv": 0.0}, manner={"jitter": 0})
    _, heard = maximize("best.png", climb={"steps": 3, "tv": 9.0})
    assert heard.records[0].flags == ["not-raised"]
    assert any("no higher in what was made" in text for text in heard.warnings)


def test_resuming_does_nothing_twice_and_other_options_are_refused(maximize):
    maximize(target=("0", "1"), out="out")
    before = {file: Path("out/maps", file).stat().st_mtime_ns for file in tree("out/maps")}
    report, heard = maximize(target=("0", "1"), out="out", resume=True)
    assert (report.run.counts.skipped, len(heard.records)) == (2, 0)
    assert {file: Path("out/maps", file).stat().st_mtime_ns for file in before} == before
    assert len(before) == 2
    assert len(journal("out")) == 2
    with pytest.raises(UsageError):
        maximize(target=("0", "1"), out="out", resume=True, climb={"tv": 0.5})
    maximize(target=("0", "1"), out="out", overwrite=True, climb={"tv": 0.5})
    assert run_json("out")["options"]["tv"] == 0.5


def test_a_dry_run_names_files_and_opens_nothing(maximize):
    report, heard = maximize(model="no-such-model.keras", out="out", target=("0", "1"), dry_run=True)
    assert report.exit_code == 0
    assert [record.files["picture"] for record in heard.records] == [
        "maps/class-0/picture.png",
        "maps/class-1/picture.png",
    ]
    assert names() == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"targets": ("1",), "layer": "conv"}, "leave one of them away"),
        ({"channels": "3"}, "--layer PATH --channel N"),
        ({"layer": "conv", "channels": "3", "unit": "0,0,3"}, "leave one of them away"),
        ({"layer": "a,b"}, "inspect MODEL lists them"),
        ({"layer": "conv", "channels": "3-1"}, "a span: --channel 0-8,12"),
        ({"layer": "conv", "channels": "one"}, "a span: --channel 0-8,12"),
        ({"layer": "conv", "unit": "1,,2"}, "--unit 3,4,17"),
        ({"targets": ("all",)}, "repeat --target for several"),
        ({"targets": ("top:3",)}, "repeat --target for several"),
        ({"targets": ("label",)}, "repeat --target for several"),
        ({}, "--target CLASS, or --layer PATH"),
    ],
)
def test_what_can_not_be_raised(given, words):
    with pytest.raises(UsageError) as told:
        objectives_of(*(given.get(name, ()) if name == "targets" else given.get(name) for name in (
            "targets", "layer", "channels", "unit")))  # fmt: skip
    assert words in told.value.hint


def test_objectives_are_read():
    found = objectives_of((), "backbone/conv3", "0-2,7,2", None)
    assert [objective.index for objective in found] == [(0,), (1,), (2,), (7,)]
    assert found[3].text == "channel 7 of backbone/conv3"
    assert found[3].id == "backbone_conv3-channel-7"
    (unit,) = objectives_of((), "conv", None, "3, 4,17")
    assert (unit.text, unit.trace.unit) == ("unit 3,4,17 of conv", ("conv", (3, 4, 17)))
    (whole,) = objectives_of((), "conv", None, None)
    assert (whole.text, whole.trace.unit) == ("mean square of conv", ("conv", ()))
    assert [objective.id for objective in objectives_of(("3", "tabby cat", "3"), None, None, None)] == [
        "class-3",
        "tabby_cat",
    ]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"climb": {"steps": 0}}, "--steps"),
        ({"climb": {"tv": float("nan")}}, "--tv"),
        ({"manner": {"rate": 0.0}}, "--learning-rate"),
        ({"every": 21}, "--every"),
        ({"out": "made.png", "every": 2}, "--every makes further files"),
        ({"out": "made.png", "animation": "gif"}, "--animation makes further files"),
        ({"out": "made.bmp"}, "writes no file that ends in .bmp"),
        ({"target": ("0", "1"), "out": "made.png"}, "is one file, and 2 inputs"),
        ({"target": "top"}, "there is only noise"),
    ],
)
def test_options_that_can_not_be_meant(maximize, fields, words):
    with pytest.raises(UsageError, match=words):
        maximize(**fields)


def test_several_targets_want_noise(maximize):
    path = picture("a.png", size=(8, 8))
    with pytest.raises(UsageError, match="2 things were asked to be raised"):
        maximize(path, target=("0", "1"))


def test_waves_and_shifts_want_places(maximize):
    bounds = {"valid_range": (0.0, 1.0)}
    for asked in ({"parametrization": "fourier"}, {"jitter": 2}):
        _, heard = maximize(model="table.keras", manner={**bounds, **asked}, out=f"out-{next(iter(asked))}")
        assert "is for inputs with places" in heard.failed["class-1"].message


def test_a_range_file_that_does_not_fit(maximize):
    array("x.npy", (5,))
    with pytest.raises(InputError, match="takes 4"):
        maximize(model="table.keras", manner={"range_of": "x.npy"})


def test_the_command_line(saliency):
    told = saliency("maximize", "picture.keras", "--target", "2", "--steps", "4", "--jsonl")
    assert told.code == 0
    record = json.loads(told.out)
    assert record["files"] == {"picture": "class-2.maximize.png"}
    assert [step for step, _ in record["results"]["way"]] == [0, 1, 2, 3, 4]
    told = saliency("maximize", "picture.keras", "--target", "2", "--steps", "4", "-o", "film.webp")
    assert (told.code, told.out) == (0, "film.webp\n")
    told = saliency("maximize", "picture.keras", "--target", "2", "--steps", "4", "--size", "nine")
    assert (told.code, "'nine' is not ROWS,COLUMNS" in told.err) == (2, True)
    told = saliency("maximize", "picture.keras")
    assert (told.code, "what to maximize was not said" in told.err) == (2, True)
