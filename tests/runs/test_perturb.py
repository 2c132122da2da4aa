"""`perturb` from request to files, with a stand-in for the model: what is written flips when it is read again."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from run_tools import Heard, array, journal, maps, picture, pictures, run_json, tree
from stand_in import open_stand_in

from saliency_cli.errors import UsageError
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.studying import run_study
from saliency_cli.studies.perturb import Perturb


def perturbed(*inputs, model="picture.keras", out="out", options=None, **fields):
    """Run a study; return its report, and the records by id."""
    heard = Heard()
    request = ComputeRequest(model, inputs, out=out, **fields)
    report = run_study(request, Perturb(**(options or {})), heard, open_engine=open_stand_in)
    return report, {record.id: record for record in heard.records}


def pixels(path):
    return np.asarray(Image.open(path), np.float64)


def predicted(compute, *paths, **fields):
    """What the model says of files, as any other command reads them."""
    _, heard = compute(*paths, out="again", overwrite=True, formats=("npy",), **fields)
    return [record.prediction.index for record in heard.records]


@pytest.mark.parametrize("norm", ["inf", "2"])
@pytest.mark.parametrize("preprocess", ["auto", "unit", "imagenet-caffe", "imagenet-torch", "mean=10/20/30,std=2"])
def test_a_picture_that_is_written_flips_when_it_is_read_again(compute, preprocess, norm):
    """The written pixels lie on whole steps, no farther than ε from those written as before."""
    epsilon = 40 if norm == "inf" else 300
    options = {"norm": norm, "epsilon": epsilon, "settings": {"steps": 40}}
    for seed in range(3):
        picture(f"{seed}.png", seed, size=(8, 8))
        report, found = perturbed(f"{seed}.png", preprocess=preprocess, options=options, overwrite=True)
        record = found[f"{seed}.png"]
        assert report.exit_code == 0
        assert record.results["outcome"] == "flipped"
        assert record.results["flips_when_read_back"] is True
        files = {kind: f"out/{file}" for kind, file in record.files.items()}
        assert sorted(files) == ["after", "before", "difference", "panel"]
        change = pixels(files["after"]) - pixels(files["before"])
        assert np.array_equal(pixels(files["before"]), pixels(f"{seed}.png"))
        size = np.abs(change).max() if norm == "inf" else np.linalg.norm(change)
        assert 0 < size <= epsilon
        assert record.results["linf" if norm == "inf" else "l2"] == pytest.approx(size)
        before, after = predicted(compute, files["before"], files["after"], preprocess=preprocess)
        assert (before, after) == (record.results["before"]["index"], record.results["after"]["index"])
        assert before != after


def test_a_picture_of_another_size_is_written_at_the_models(compute):
    picture("big.png", 1, size=(90, 101))
    _, found = perturbed("big.png", options={"epsilon": 60})
    record = found["big.png"]
    assert record.results["inputs"]["x"]["resized"] is True
    assert record.results["inputs"]["x"]["shape"] == [8, 8, 3]
    change = pixels(f"out/{record.files['after']}") - pixels(f"out/{record.files['before']}")
    assert change.shape == (8, 8, 3)
    assert 0 < np.abs(change).max() <= 60
    assert record.results["linf"] == np.abs(change).max()
    assert record.results["l2"] == pytest.approx(np.linalg.norm(change))
    before, after = predicted(compute, *(f"out/{record.files[kind]}" for kind in ("before", "after")))
    assert before == record.results["before"]["index"] != after == record.results["after"]["index"]


def test_a_difference_is_grey_where_nothing_changed_and_scaled_elsewhere():
    picture("a.png", 1, size=(8, 8))
    _, found = perturbed("a.png", options={"epsilon": 40})
    files = {kind: f"out/{file}" for kind, file in found["a.png"].files.items()}
    change = pixels(files["after"]) - pixels(files["before"])
    told = json.loads(Image.open(files["difference"]).text["saliency"])
    scale = told["difference_scale"]
    assert scale == int(127 / np.abs(change).max())
    assert (told["attack"], told["norm"], told["input"]["path"]) == ("pgd", "inf", "a.png")
    np.testing.assert_array_equal(pixels(files["difference"]), 128 + scale * change)


def test_a_panel_is_drawn_of_a_picture_alone_or_where_it_is_asked_for(monkeypatch):
    """It is a figure, which takes longer than the search in a small model: nobody waits for it in a folder."""
    drawn = []
    monkeypatch.setattr(
        "saliency_cli.studies.perturb_files.perturbation_panel",
        lambda *_: drawn.append(1) or np.zeros((1, 1, 3), np.uint8),
    )
    pictures("in", 2, size=(8, 8))
    wanted = {
        (): ["after", "before", "difference"],
        ("panel",): ["after", "panel"],
        ("after",): ["after"],
        ("before", "all"): ["after", "before", "difference", "panel"],
    }
    for formats, kinds in wanted.items():
        report, found = perturbed("in", options={"epsilon": 60, "formats": formats}, overwrite=True)
        assert [sorted(record.files) for record in found.values()] == [kinds, kinds], formats
        assert len(drawn) == 2 * ("panel" in kinds)
        assert report.run.options["formats"] == list(formats)
        drawn.clear()
    _, found = perturbed("in/0.png", out="alone", options={"epsilon": 60})
    (record,) = found.values()
    assert (sorted(record.files), len(drawn)) == (["after", "before", "difference", "panel"], 1)
    perturbed("in/0.png", out="only.png", options={"epsilon": 60})
    assert len(drawn) == 1
    with pytest.raises(UsageError, match="perturb writes no 'pannel'") as raised:
        Perturb(formats=("pannel",))
    assert raised.value.hint == "did you mean 'panel'?"


def test_of_a_stack_no_row_gets_a_panel_unasked():
    np.save("rows.npy", np.random.default_rng(3).random((3, 4), np.float32))
    options = {"epsilon": 0.9, "valid_range": (0.0, 1.0)}
    for formats, kinds in (((), {"array"}), (("panel",), {"array", "panel"})):
        fields = {"model": "table.keras", "out": "out/", "overwrite": True}
        _, found = perturbed("rows.npy", **fields, options={**options, "formats": formats})
        assert len(found) == 3
        assert {kind for record in found.values() for kind in record.files} == kinds


def test_the_smallest_epsilon_flips_and_one_step_less_does_not():
    picture("a.png", 2, size=(8, 8))
    _, found = perturbed("a.png", options={"attack": "fgsm", "epsilon": 128, "smallest": True})
    least = found["a.png"].results["smallest_epsilon"]
    assert least == found["a.png"].results["linf"] == round(least) > 1
    outcomes = []
    for epsilon in (least - 1, least):
        _, found = perturbed("a.png", out=f"at{epsilon:g}", options={"attack": "fgsm", "epsilon": epsilon})
        outcomes.append(found["a.png"].results["outcome"])
    assert outcomes == ["not-flipped", "flipped"]


def test_what_can_not_be_flipped_is_told_and_has_no_files():
    picture("a.png", 2, size=(8, 8))
    report, found = perturbed("a.png", options={"epsilon": 1})
    results = found["a.png"].results
    assert (report.exit_code, results["outcome"], results["flips_when_read_back"]) == (0, "not-flipped", None)
    assert (results["gradients"], results["passes"], results["epsilon"]) == (20, 1, 1.0)
    assert found["a.png"].files == {}
    assert tree("out") == ["items.jsonl", "metrics.json", "run.json"]
    assert run_json("out")["results"] == {"tried": 1, "flipped": 0, "already": 0, "flip_rate": 0.0}


def test_what_does_not_flip_when_it_is_read_back_does_not_count(monkeypatch):
    """As if a file held the picture itself again."""
    picture("a.png", 2, size=(8, 8))
    whole = np.asarray(Image.open("a.png"), np.float32) / np.float32(255)
    monkeypatch.setattr("saliency_cli.studies.perturb_program.read_back", lambda *_: whole)
    _, found = perturbed("a.png", options={"epsilon": 60})
    results = found["a.png"].results
    assert (results["outcome"], results["flipped"], results["flips_when_read_back"]) == ("not-flipped", False, False)
    assert results["after"]["index"] == results["before"]["index"]
    assert found["a.png"].files == {}


def test_a_target_is_reached_by_index_and_what_is_there_already_is_told(compute):
    picture("a.png", 2, size=(8, 8))
    top = predicted(compute, "a.png")[0]
    for target in range(3):
        _, found = perturbed("a.png", out=f"to{target}", options={"to": str(target), "epsilon": 120})
        results = found["a.png"].results
        if target == top:
            assert (results["outcome"], results["flipped"], found["a.png"].files) == ("already", False, {})
        else:
            assert results["after"]["index"] == target
            assert predicted(compute, f"to{target}/{found['a.png'].files['after']}") == [target]


def test_a_class_that_is_none_is_refused_before_anything_is_done():
    picture("a.png")
    with pytest.raises(UsageError, match="out of range"):
        perturbed("a.png", options={"to": "3"})
    with pytest.raises(UsageError, match="no class is called 'cat'"):
        perturbed("a.png", options={"to": "cat"})


def test_with_labels_a_sample_that_is_wrong_needs_no_attack(compute):
    pictures("in", 2, size=(8, 8))
    tops = predicted(compute, "in/0.png", "in/1.png")
    Path("labels.csv").write_text(f"in/0.png,{tops[0]}\nin/1.png,{(tops[1] + 1) % 3}\n")
    _, found = perturbed("in", labels="labels.csv", target="label", options={"epsilon": 60})
    assert [found[f"in/{k}.png"].results["outcome"] for k in range(2)] == ["flipped", "already"]
    assert run_json("out")["results"]["tried"] == 1


def test_a_sample_without_a_label_fails_alone():
    pictures("in", 2, size=(8, 8))
    Path("labels.csv").write_text("in/0.png,0\n")
    report, found = perturbed("in", labels="labels.csv", target="label", options={"epsilon": 60})
    assert report.exit_code == 3
    assert found["in/1.png"].error.reason == "no-label"
    assert found["in/0.png"].status == "ok"


def test_neither_company_nor_batches_nor_a_resumed_run_change_a_byte():
    pictures("in", 5, size=(8, 8))
    options = {"epsilon": 40, "settings": {"restarts": 2}}
    perturbed("in", out="many", options=options, batch_size=4)
    perturbed("in", out="one", options=options, batch_size=1)
    assert maps("many") == maps("one")
    perturbed("in/3.png", "in/1.png", out="few", options=options, batch_size=4)
    assert maps("few").items() <= maps("many").items()
    lines = Path("many/items.jsonl").read_bytes().splitlines(keepends=True)
    Path("many/items.jsonl").write_bytes(b"".join(lines[:2]))
    whole = maps("many")
    report, found = perturbed("in", out="many", options=options, batch_size=4, resume=True)
    assert report.run.counts.skipped == 2
    assert len(found) == 3
    assert maps("many") == whole
    assert len(journal("many")) == 5


def test_a_run_is_resumed_with_the_same_attack_only():
    pictures("in", 1, size=(8, 8))
    perturbed("in", options={"epsilon": 40})
    with pytest.raises(UsageError, match="perturb"):
        perturbed("in", options={"epsilon": 41}, resume=True)


def test_another_seed_starts_elsewhere():
    picture("a.png", 2, size=(8, 8))
    for seed in (0, 1):
        perturbed("a.png", out=f"seed{seed}", seed=seed, options={"epsilon": 60})
    assert maps("seed0") != maps("seed1")


def test_arrays_stay_in_their_range_and_are_written_as_arrays(compute):
    array("row.npy", (4,), seed=3)
    fields = {"model": "table.keras", "out": "row-out/"}
    _, found = perturbed("row.npy", **fields, options={"epsilon": 0.6, "valid_range": (0.0, 1.0), "smallest": True})
    record = found["row.npy"]
    assert record.results["outcome"] == "flipped", record.results
    moved = np.load(f"row-out/{record.files['array']}")
    assert moved.dtype == np.float32
    assert moved.min() >= 0
    assert moved.max() <= 1
    assert np.abs(np.float64(moved) - np.load("row.npy")).max() <= record.results["smallest_epsilon"] * (1 + 1e-9)
    before, after = predicted(compute, "row.npy", f"row-out/{record.files['array']}", model="table.keras")
    assert before != after == record.results["after"]["index"]
    assert set(record.files) == {"array", "panel"}


def test_an_array_of_bytes_is_moved_by_whole_steps_and_read_back_as_bytes(compute):
    values = np.random.default_rng(1).integers(0, 256, (8, 8, 3), np.uint8)
    np.save("a.npy", values)
    _, found = perturbed("a.npy", options={"epsilon": 40})
    moved = np.load(f"out/{found['a.npy'].files['array']}")
    assert moved.dtype == np.uint8
    assert 0 < np.abs(np.int64(moved) - values).max() <= 40
    before, after = predicted(compute, "a.npy", f"out/{found['a.npy'].files['array']}")
    assert before != after


def test_several_inputs_are_moved_together_or_one_of_them_alone():
    np.savez("pair.npz", left=np.full((8, 8, 3), 0.5, np.float32), right=np.full(4, 0.5, np.float32))
    options = {"epsilon": 0.5, "valid_range": (0.0, 1.0)}
    _, found = perturbed("pair.npz", model="pair.keras", options=options)
    record = found["pair.npz"]
    assert record.results["outcome"] == "flipped", record.results
    assert sorted(record.files) == ["array.left", "array.right", "panel.left", "panel.right"]
    _, found = perturbed("pair.npz", model="pair.keras", out="alone", options={**options, "only": ("left",)})
    assert sorted(found["pair.npz"].files) == ["array", "panel"]
    assert list(found["pair.npz"].results["inputs"]) == ["left"]
    with pytest.raises(UsageError, match="--only rihgt"):
        perturbed("pair.npz", model="pair.keras", out="no", options={**options, "only": ("rihgt",)})
    _, found = perturbed("pair.npz", model="pair.keras", out="narrow", options={**options, "valid_range": (0.6, 1.0)})
    assert found["pair.npz"].error.hint == "--valid-range left=LOW,HIGH in the file's own units"
    with pytest.raises(UsageError, match="2 inputs are perturbed"):
        perturbed("pair.npz", model="pair.keras", out="one.npy", options=options)


def test_inputs_of_different_ranges_are_moved_together_each_within_its_own():
    np.savez("pair.npz", left=np.full((8, 8, 3), 0.5, np.float32), right=np.full(4, -30.0, np.float32))
    ranges = {"left": (0, 1), "right": (-31, -20)}
    options = {"epsilon": 4.0, "valid_range": ranges}
    report, found = perturbed("pair.npz", model="pair.keras", options=options)
    record = found["pair.npz"]
    assert record.results["outcome"] == "flipped", record.results
    assert {name: told["range"] for name, told in record.results["inputs"].items()} == {
        "left": [0, 1],
        "right": [-31, -20],
    }
    for name, (low, high) in ranges.items():
        moved = np.load(f"out/{record.files[f'array.{name}']}")
        assert low <= moved.min() < moved.max() <= high
    assert run_json("out")["options"]["valid_range"] == {"left": [0, 1], "right": [-31, -20]}
    report, _ = perturbed("pair.npz", model="pair.keras", options=options, resume=True)
    assert report.run.counts.skipped == 1
    rest = {**options, "valid_range": {"right": (-31, -20), "": (0, 1)}}
    perturbed("pair.npz", model="pair.keras", out="rest", options=rest)
    assert maps("rest") == maps("out")
    perturbed("pair.npz", model="pair.keras", out="one", options={**options, "valid_range": {"": (-40, 1)}})
    assert run_json("one")["options"]["valid_range"] == [-40, 1]


@pytest.mark.parametrize(
    ("name", "only", "words", "hint"),
    [
        ("rihgt", (), "no input of that name", "did you mean 'right'? inputs that are moved: left, right"),
        ("zzz", (), "no input of that name", "inputs that are moved: left, right"),
        ("right", ("left",), "the input 'right' is not moved", "inputs that are moved: left"),
    ],
)
def test_a_range_of_what_is_not_moved_is_refused(name, only, words, hint):
    np.savez("pair.npz", left=np.full((8, 8, 3), 0.5, np.float32), right=np.full(4, 0.5, np.float32))
    with pytest.raises(UsageError, match=f"--valid-range {name}: .*{words}") as told:
        perturbed("pair.npz", model="pair.keras", options={"valid_range": {name: (0, 1)}, "only": only})
    assert told.value.hint == hint


def test_a_dry_run_names_what_will_be_written_of_an_input_that_flips():
    """By the input's file: of a picture no array, of several inputs a file each, no panel that nobody waits for."""
    pictures("in", 2, size=(8, 8))
    array("row.npy", (4,), seed=3)
    np.savez("pair.npz", left=np.full((8, 8, 3), 0.5, np.float32), right=np.full(4, 0.5, np.float32))
    floats = {"epsilon": 0.9, "valid_range": (0.0, 1.0)}
    for given, fields, options in [
        (("in/0.png",), {}, {"epsilon": 90}),
        (("in/0.png", "in/1.png"), {}, {"epsilon": 90}),
        (("in",), {}, {"epsilon": 90, "formats": ("panel",)}),
        (("row.npy",), {"model": "table.keras"}, floats),
        (("pair.npz",), {"model": "pair.keras"}, floats),
        (("pair.npz",), {"model": "pair.keras"}, {**floats, "only": ("left",)}),
        (
            (),
            {"model": "pair.keras", "named_inputs": (("left", "in/0.png"), ("right", "row.npy"))},
            {**floats, "epsilon": 60},
        ),
    ]:
        for out in ("out", None):
            _, planned = perturbed(*given, **fields, out=out, options=options, dry_run=True, overwrite=True)
            _, found = perturbed(*given, **fields, out=out, options=options, overwrite=True)
            for name, record in found.items():
                assert record.results["outcome"] == "flipped", (name, record.results)
                assert planned[name].files == record.files
    Path("stack.npz").write_bytes(b"no archive")
    _, planned = perturbed("stack.npz", out="other", dry_run=True)
    assert sorted(planned["stack.npz"].files) == ["array", "panel"]
    _, planned = perturbed("-", out="other", dry_run=True)
    assert sorted(planned["stdin"].files) == ["after", "array", "before", "difference", "panel"]
    _, planned = perturbed("in/0.png", out="one.png", dry_run=True)
    assert planned["in/0.png"].files == {"after": "one.png"}


def test_one_file_is_the_perturbed_picture_itself(compute):
    picture("a.png", 2, size=(8, 8))
    _, found = perturbed("a.png", out="adversarial.png", options={"epsilon": 60})
    assert found["a.png"].files == {"after": "adversarial.png"}
    assert predicted(compute, "adversarial.png") == [found["a.png"].results["after"]["index"]]


def test_the_cost_of_twenty_steps_is_twenty_gradients():
    """And three forward passes: what it is, where the last step leads, and what is read back."""
    picture("a.png", 2, size=(8, 8))
    _, found = perturbed("a.png", options={"epsilon": 1})
    assert (found["a.png"].results["gradients"], found["a.png"].results["passes"]) == (20, 1)


def test_a_dead_model_is_flagged():
    picture("a.png", 2, size=(8, 8))
    report, found = perturbed("a.png", model="dead.keras", options={"epsilon": 8})
    assert found["a.png"].flags == ["no-loss-gradient"]
    assert report.exit_code == 0
    report, found = perturbed("a.png", model="dead.keras", out="strict", options={"epsilon": 8}, strict=True)
    assert (report.exit_code, found["a.png"].error.reason) == (3, "no-loss-gradient")


@pytest.mark.parametrize("norm", ["inf", "2"])
def test_one_perturbation_for_all_is_the_difference_of_every_picture(compute, norm):
    pictures("in", 5, size=(8, 8))
    epsilon = 90 if norm == "inf" else 900
    _, found = perturbed("in", options={"attack": "universal", "norm": norm, "epsilon": epsilon}, batch_size=4)
    delta = np.load("out/universal.npy")
    assert 0 < (np.abs(delta).max() if norm == "inf" else np.linalg.norm(delta)) <= epsilon
    assert np.array_equal(delta, np.rint(delta))
    flipped = [record for record in found.values() if record.results["outcome"] == "flipped"]
    told = run_json("out")["results"]["together"]
    assert len(flipped) == told["reached"] > 0
    assert (told["inputs"], told["gradients"] % 5) == (5, 0)
    for record in flipped:
        before, after = (pixels(f"out/{record.files[kind]}") for kind in ("before", "after"))
        np.testing.assert_array_equal(after, np.clip(before + delta, 0, 255))
        assert predicted(compute, f"out/{record.files['after']}") == [record.results["after"]["index"]]


def test_one_perturbation_for_all_is_the_same_when_a_run_is_resumed_and_whatever_the_batch():
    pictures("in", 5, size=(8, 8))
    Path("in/broken.png").write_bytes(b"no picture")
    options = {"attack": "universal", "epsilon": 90}
    report, _ = perturbed("in", options=options, batch_size=4)
    assert (report.exit_code, report.run.results["together"]["inputs"]) == (3, 5)
    perturbed("in", out="one", options=options, batch_size=1)
    assert maps("one") == maps("out")
    Path("out/items.jsonl").write_bytes(Path("out/items.jsonl").read_bytes().splitlines(keepends=True)[0])
    perturbed("in", options=options, batch_size=4, resume=True)
    assert maps("one") == maps("out")
    assert Path("one/universal.npy").read_bytes() == Path("out/universal.npy").read_bytes()


def test_one_perturbation_for_arrays_is_found_around_the_arrays_themselves():
    for k in range(3):
        array(f"{k}.npy", (4,), seed=k)
    options = {"attack": "universal", "epsilon": 0.6, "valid_range": (0.0, 1.0)}
    _, found = perturbed("0.npy", "1.npy", "2.npy", model="table.keras", options=options)
    flipped = [name for name, record in found.items() if record.results["outcome"] == "flipped"]
    assert len(flipped) == run_json("out")["results"]["together"]["reached"] > 0
    delta = np.load("out/universal.npy")
    for name in flipped:
        moved = np.load(f"out/{found[name].files['array']}")
        np.testing.assert_allclose(moved, np.clip(np.load(name) + delta, 0, 1), atol=1e-6)


def test_deepfool_is_bound_by_an_epsilon_that_is_named_and_by_no_other():
    picture("a.png", 2, size=(8, 8))
    _, found = perturbed("a.png", options={"attack": "deepfool", "norm": "2"})
    length = found["a.png"].results["l2"]
    assert found["a.png"].results["outcome"] == "flipped"
    assert found["a.png"].results["epsilon"] is None
    for epsilon, outcome in ((length * 1.01, "flipped"), (length * 0.99, "not-flipped")):
        options = {"attack": "deepfool", "norm": "2", "epsilon": epsilon}
        _, found = perturbed("a.png", out="bound", overwrite=True, options=options)
        assert found["a.png"].results["outcome"] == outcome
        assert found["a.png"].results["epsilon"] == epsilon


def test_one_perturbation_for_all_needs_to_know_them_and_their_shape():
    picture("a.png", 1, size=(8, 8))
    picture("b.png", 2, size=(9, 8))
    Path("list").write_text("a.png\n")
    options = {"attack": "universal", "epsilon": 90}
    with pytest.raises(UsageError, match="found before the first is written"):
        perturbed(files_from="list", options=options)
    with pytest.raises(UsageError, match=r"inputs of one shape: 'b\.png'"):
        perturbed("a.png", "b.png", model="open.keras", options=options)
    with pytest.raises(UsageError, match="--smallest is looked for by input"):
        perturbed("a.png", options={**options, "smallest": True})
    with pytest.raises(UsageError, match="none of the inputs can be perturbed"):
        perturbed("a.png", options={**options, "epsilon": 0.5})
