"""Maps measured where they are made: the engine's answers, labels, masks, ranges, a second model."""

import json
import math
from types import SimpleNamespace as Namespace

import numpy as np
import pytest
from PIL import Image
from run_tools import Heard, array, picture
from stand_in import CLASSES, open_stand_in, waves

from saliency_cli.arrays import pooled
from saliency_cli.errors import UsageError
from saliency_cli.geometry import Geometry
from saliency_cli.runs.asides import Asides, Waiting
from saliency_cli.runs.masks import Masks
from saliency_cli.runs.measure import measure
from saliency_cli.runs.measured import content_key
from saliency_cli.runs.request import ComputeRequest


def metrics_of(report_or_heard, index=0):
    return in_order(report_or_heard)[index].maps[0].metrics


def in_order(heard):
    """One that fails may be told before one that is still computed."""
    return sorted(heard.records, key=lambda record: record.id)


def logits(x):
    flat = x.reshape(-1).astype(np.float64)
    return np.array([(waves(k, x.size) @ flat + flat @ flat / 20) / 50 for k in range(CLASSES)])


def gradient(x, k):
    flat = x.reshape(-1).astype(np.float64)
    return (waves(k, x.size) + flat / 10) / 50


@pytest.fixture
def table(here):
    return array("a.npy", (4,)), np.load("a.npy")


def test_a_gradient_s_norm_is_that_of_the_formula(compute, table):
    path, x = table
    _, heard = compute(path, model="table.keras", metrics=("grad-l2", "grad-l1", "grad-linf"))
    g = gradient(x, logits(x).argmax())
    found = metrics_of(heard)
    assert found["grad-l2"] == pytest.approx(np.linalg.norm(g), rel=1e-6)
    assert found["grad-l1"] == pytest.approx(np.abs(g).sum(), rel=1e-6)
    assert found["grad-linf"] == pytest.approx(np.abs(g).max(), rel=1e-6)


def test_the_loss_s_gradient_is_that_of_the_true_class_and_of_the_top_one_without_labels(compute, table):
    path, x = table
    soft = np.exp(logits(x)) / np.exp(logits(x)).sum()
    slopes = np.stack([gradient(x, k) for k in range(CLASSES)])
    for label, index in ((None, logits(x).argmax()), ("2", 2)):
        _, heard = compute(path, model="table.keras", metrics=("loss-grad-l2",), label=label)
        expected = np.linalg.norm((soft - np.eye(CLASSES)[index]) @ slopes)
        assert metrics_of(heard)["loss-grad-l2"] == pytest.approx(expected, rel=1e-5)


def test_a_method_that_runs_again_is_asked_about_the_perturbed_sample(compute, table):
    """A cached answer of the unperturbed sample would make every map equal, and the sensitivity 0."""
    path, x = table
    _, heard = compute(path, model="table.keras", metrics=("max-sensitivity:radius=0.5",))
    found = metrics_of(heard)["max-sensitivity:radius=0.5"]
    # The gradient of a class is (a + x / 10) / 50: a step δ moves it by δ / 500.
    g = gradient(x, logits(x).argmax())
    reach = 0.5 * np.ptp(x) * np.sqrt(x.size) / 500
    assert 0 < found <= reach / np.linalg.norm(g) * (1 + 1e-5)
    assert found >= 0.3 * reach / np.linalg.norm(g)


def test_metrics_do_not_depend_on_batch_size_or_company(compute, here):
    paths = [array(f"{i}.npy", (4,)) for i in range(5)]
    for i, path in enumerate(paths):
        np.save(path, np.random.default_rng(i).normal(size=4).astype(np.float32))
    asked = ("max-sensitivity", "infidelity", "mufidelity", "local-lipschitz", "insertion:of=target")
    fields = {"model": "table.keras", "metrics": asked, "methods": ("smoothgrad",)}
    _, together = compute(*paths, batch_size=3, **fields)
    _, alone = compute(paths[3], batch_size=7, **fields)
    assert metrics_of(together, 3) == metrics_of(alone)
    assert all(value is not None for value in metrics_of(alone).values())


def test_a_record_says_what_was_measured_and_the_run_how(compute, here):
    picture("x.png")
    report, heard = compute("x.png", metrics=("gini", "fgsm-flip-eps:largest=0.0001"), out="out")
    assert set(metrics_of(heard)) == {"gini", "fgsm-flip-eps:largest=0.0001"}
    item = json.loads((here / "out" / "items.jsonl").read_text())
    assert item["maps"][0]["metrics"]["fgsm-flip-eps:largest=0.0001"] is None
    assert item["maps"][0]["notes"]["fgsm-flip-eps:largest=0.0001"].startswith("> ")
    run = json.loads((here / "out" / "run.json").read_text())
    assert run["measured"]["gini"]["better"] == "neither"
    assert run["measured"]["fgsm-flip-eps:largest=0.0001"]["options"]["largest"] == 0.0001
    assert report.run.metrics["gradient"]["fgsm-flip-eps:largest=0.0001"].median == math.inf
    assert not (here / "out" / "maps").exists()  # numbers were asked for, not pictures


def test_resume_adds_up_to_the_same_numbers(compute, here):
    for name in ("a.png", "b.png"):
        picture(name)
    whole, _ = compute("a.png", "b.png", metrics=("gini",), out="whole")
    compute("a.png", metrics=("gini",), out="parts", batch_size=4)
    parts, _ = compute("a.png", "b.png", metrics=("gini",), out="parts", resume=True)
    assert parts.run.metrics["gradient"]["gini"] == whole.run.metrics["gradient"]["gini"]


def test_another_metric_is_another_run(compute, here):
    picture("a.png")
    compute("a.png", metrics=("gini",), out="out")
    with pytest.raises(UsageError, match="metrics"):
        compute("a.png", metrics=("gini", "grad-l2"), out="out", resume=True)


def test_an_array_s_range_must_be_told(compute, table):
    path, _ = table
    report, heard = compute(path, model="table.keras", metrics=("flip-radius-linf",))
    assert report.failures == 1
    assert in_order(heard)[0].error.reason == "no-range"
    assert in_order(heard)[0].error.hint == "--valid-range LOW,HIGH in the file's own units"
    _, wide = compute(path, model="table.keras", metrics=("flip-radius-linf",), valid_range=(-2.0, 2.0))
    _, narrow = compute(path, model="table.keras", metrics=("flip-radius-linf",), valid_range=(0.0, 2.0))
    assert metrics_of(narrow)["flip-radius-linf"] == pytest.approx(2 * metrics_of(wide)["flip-radius-linf"], rel=1e-6)


def test_a_wrong_label_is_that_input_s_error(compute, here):
    for name in ("a.png", "b.png"):
        picture(name)
    (here / "labels.csv").write_text("a.png,1\nb.png,7\n")
    report, heard = compute("a.png", "b.png", metrics=("loss-grad-l2",), labels="labels.csv")
    assert report.failures == 1
    assert [item.status for item in in_order(heard)] == ["ok", "error"]
    assert "out of range" in in_order(heard)[1].error.message


def test_the_target_may_be_the_label(compute, here):
    picture("a.png")
    (here / "labels.csv").write_text("a.png,1\n")
    _, heard = compute("a.png", target="label", labels="labels.csv")
    assert in_order(heard)[0].maps[0].target.index == 1
    with pytest.raises(UsageError, match="no labels were given"):
        compute("a.png", target="label")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"metrics": ("no-such",)}, "no metric is called 'no-such'"),
        ({"metrics": ("gini:deep=1",)}, "gini has no option 'deep'"),
        ({"metrics": ("max-sensitivity:radius",)}, "'radius' is not option=value"),
        ({"metrics": ("max-sensitivity:radius=-1",)}, "radius=-1"),
        ({"metrics": ("deletion:baseline=nowhere",)}, "no baseline is called 'nowhere'"),
        ({"metrics": ("gini", "nope", "neither")}, "no metric is called 'nope'; no metric is called 'neither'"),
    ],
)
def test_mistakes_are_told_together_before_the_model_is_opened(compute, here, fields, told):
    picture("a.png")
    with pytest.raises(UsageError) as caught:
        compute("a.png", model="no-such.model", **fields)
    assert told in caught.value.message
    assert caught.value.hint


class TestMasks:
    """A mask follows its picture to the model's size."""

    def test_a_mask_is_found_by_stem_and_placed_as_the_picture(self, here):
        (here / "m").mkdir()
        mask = np.zeros((20, 40), np.uint8)
        mask[:, :10] = 255
        Image.fromarray(mask).save("m/cat.png")
        masks = Masks.plan("m")
        stretched = masks.find("photos/cat.jpg", Geometry.plan((20, 40), (8, 8), "stretch"), (8, 8))
        assert stretched.tolist() == [[True, True] + [False] * 6] * 8
        fitted = masks.find("photos/cat.jpg", Geometry.plan((20, 40), (8, 8), "fit"), (8, 8))
        assert fitted.sum() == 4 * 2  # padding is no object
        assert fitted[2:6, :2].all()
        cropped = masks.find("cat.jpg", Geometry.plan((20, 40), (8, 8), "crop"), (8, 8))
        assert not cropped.any()  # the crop's left edge is where the object ends

    def test_boxes_are_pixels_of_the_picture(self, here):
        (here / "boxes.csv").write_text("path,left,top,right,bottom\ncat.jpg,0,0,10,20\ncat.jpg,30,0,40,10\n")
        found = Masks.plan("boxes.csv").find("cat.jpg", Geometry.plan((20, 40), (20, 40), "stretch"), (20, 40))
        assert found.sum() == 200 + 100

    @pytest.mark.parametrize(
        ("line", "told"),
        [("cat.jpg,9,0,3,3", "line 1"), ("cat.jpg,a,b,c,d", "is no box"), ("cat.jpg,1,2", "is no box")],
    )
    def test_a_line_that_is_no_box_is_told(self, here, line, told):
        (here / "boxes.csv").write_text(line + "\n")
        with pytest.raises(UsageError, match=told):
            Masks.plan("boxes.csv")

    def test_one_missing_mask_is_one_failed_input(self, compute, here):
        for name in ("a.png", "b.png"):
            picture(name)
        (here / "m").mkdir()
        Image.new("L", (10, 9), 255).save("m/a.png")
        report, heard = compute("a.png", "b.png", metrics=("pointing",), masks="m")
        assert report.failures == 1
        assert in_order(heard)[1].error.reason == "no-mask"
        assert metrics_of(heard)["pointing"] == 1

    def test_a_mask_of_another_size_is_told(self, compute, here):
        picture("a.png")
        (here / "m").mkdir()
        Image.new("L", (5, 9), 255).save("m/a.png")
        _, heard = compute("a.png", metrics=("pointing",), masks="m")
        assert in_order(heard)[0].error.reason == "mask-size"
        assert "9×5" in in_order(heard)[0].error.message


def test_without_masks_or_a_second_map_the_request_is_refused(compute, here):
    picture("a.png")
    for metric, told in (("pointing", "masks of the objects"), ("pearson", "a second map of each input")):
        with pytest.raises(UsageError, match=told):
            compute("a.png", metrics=(metric,))


class TestSecondModel:
    """Another model explains the same inputs first."""

    def test_a_model_agrees_with_itself(self, compute, here):
        paths = [picture(f"{i}.png") for i in range(11)]  # more than one group
        _, heard = compute(*paths, metrics=("pearson", "cosine", "prediction-change"), reference="guessed.keras")
        for item in heard.records:
            assert item.maps[0].metrics["pearson"] == pytest.approx(1)
            assert item.maps[0].metrics["cosine"] == pytest.approx(1)
            assert item.maps[0].metrics["prediction-change"] == 0

    def test_an_input_the_second_model_can_t_take_fails_alone(self, compute, here):
        picture("a.png")
        Image.new("RGB", (8, 8), "white").save("w.png")
        report, heard = compute("a.png", "w.png", metrics=("pearson",), reference="nan.keras")
        assert report.failures == 1
        assert [item.status for item in in_order(heard)] == ["ok", "error"]
        assert "nan.keras has no map of it" in in_order(heard)[1].error.message

    def test_a_line_of_a_pipe_is_answered_while_the_next_is_waited_for(self):
        """What has come is asked about when nothing more is there for the moment, not when a group is full."""
        pulled = []

        def lines():
            for each in (Waiting(Namespace(id="a"), 0.0, None, {}), None, Waiting(Namespace(id="b"), 0.0, None, {})):
                pulled.append(each)
                yield each

        measuring = Namespace(needs=frozenset())
        rival = Namespace(
            prepared=Namespace(engine=Namespace(evaluator=Namespace(batch=8))), references=lambda given: {}
        )
        answers = Asides(Namespace(measuring=measuring), rival).gathered(lines())
        assert next(answers).fed.id == "a"
        assert next(answers) is None
        assert len(pulled) == 2
        assert [ready.fed.id for ready in answers] == ["b"]

    def test_measured_items_pair_by_content_not_by_name(self, here):
        first = picture("a.png")
        (here / "renamed.png").write_bytes((here / "a.png").read_bytes())
        request = ComputeRequest("picture.keras", (str(first), "renamed.png"), metrics=("gini",))
        found = measure(request, Heard(), open_stand_in)
        one, other = found.items
        assert one.key == other.key == content_key(one.record.sources)
        assert one.plane.shape == (8, 8)
        assert one.picture.shape == (9, 10, 3)
        assert one.values == {"gini": one.record.maps[0].metrics["gini"]}

    def test_a_map_that_is_not_finite_has_that_one_value(self, here):
        Image.new("RGB", (8, 8), "white").save("w.png")
        request = ComputeRequest("hole.keras", ("w.png",), metrics=("finite", "gini"))
        (item,) = measure(request, Heard(), open_stand_in).items
        assert item.record.error.reason == "non-finite-gradient"
        assert item.values["finite"] == 0
        assert math.isnan(item.values["gini"])


def test_pooling_keeps_the_mean_and_does_nothing_to_small_maps():
    rng = np.random.default_rng(0)
    plane = rng.random((100, 37))
    small = pooled(plane, 16)
    assert small.shape == (16, 16)
    assert small.mean() == pytest.approx(plane.mean(), rel=1e-12)
    assert np.array_equal(pooled(plane[:8, :8], 16), plane[:8, :8])
    assert np.allclose(pooled(plane[:64, :32], 32), plane[:64, :32].reshape(32, 2, 32, 1).mean((1, 3)))


def test_a_row_s_label_is_found_by_the_file_s_name(compute, here):
    (here / "far").mkdir()
    array("far/t.npy", (2, 4))
    (here / "labels.csv").write_text("t.npy#0,1\nt.npy#1,2\n")
    _, heard = compute("far/t.npy", model="table.keras", target="label", labels="labels.csv")
    assert [record.maps[0].target.index for record in in_order(heard)] == [1, 2]


class TestCompare:
    """The command over two stand-ins."""

    def test_a_model_compared_with_itself(self, saliency, here):
        picture("a.png")
        told = saliency("compare", "picture.keras", "guessed.keras", "a.png", "-o", "out", "--json")
        assert told.code == 0
        record = json.loads(told.out)
        assert record["metrics"]["pearson"]["median"] == pytest.approx(1)
        assert record["ranked_by"] == "pearson"
        assert sorted(path.name for path in (here / "out").iterdir()) == ["compare.json", "compare.md", "compare.png"]
        assert (here / "out" / "compare.png").read_bytes().startswith(b"\x89PNG")

    def test_a_folder_with_other_files_is_left_alone(self, saliency, here):
        picture("in/a.png")
        told = saliency("compare", "picture.keras", "guessed.keras", "in", "-o", "in")
        assert told.code == 5
        assert "holds other files ('a.png')" in told.err
        assert [path.name for path in (here / "in").iterdir()] == ["a.png"]

    def test_two_methods_on_one_model_as_markdown(self, saliency, here):
        picture("a.png")
        told = saliency(
            "compare", "picture.keras", "picture.keras", "a.png", "--markdown",
            "--before-method", "random", "--metric", "pearson", "--metric", "prediction-change",
        )  # fmt: skip
        assert told.code == 0
        assert "| `pearson` |" in told.out
        assert "by random and gradient on 1 input" in told.out
        assert "0 of 1 prediction changed." in told.out

    def test_an_input_that_fails_is_told_and_exits_with_3(self, saliency, here):
        picture("a.png")
        Image.new("RGB", (8, 8), "white").save("w.png")
        told = saliency("compare", "nan.keras", "picture.keras", "a.png", "w.png")
        assert told.code == 3
        assert "nan.keras has no map of it" in told.err
