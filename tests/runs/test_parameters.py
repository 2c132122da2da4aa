"""`parameters` from the command line to files and records, and from Python, with small saved models."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from run_tools import Heard, journal, run_json, tree

import saliency_cli as sal
from saliency_cli.autodiff.runtime import keras, tf
from saliency_cli.cli import entry
from saliency_cli.errors import InputError, ModelError, UsageError
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.studying import run_study
from saliency_cli.studies.parameters import Parameters
from saliency_cli.studies.parameters_found import Totals, layer_records, verdict

L = keras.layers
X = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
LABELS = [0, 1, 2, 1, 0, 2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A classifier of four features as `model.keras`, six samples in files, all in one, and labels."""
    folder = tmp_path_factory.mktemp("parameters")
    x = keras.Input((4,), name="features")
    hidden = L.Dropout(0.5)(L.Dense(5, "tanh", name="hidden")(x))
    model = keras.Model(x, L.Dense(3, "softmax", name="classes")(hidden))
    rng = np.random.default_rng(3)
    model.set_weights([rng.normal(0, 0.7, w.shape).astype(np.float32) for w in model.get_weights()])
    model.save(folder / "model.keras")
    np.save(folder / "all.npy", X)
    for i, sample in enumerate(X):
        np.save(folder / f"{i}.npy", sample)
    lines = [f"{folder}/{i}.npy,{label}" for i, label in enumerate(LABELS)]
    lines += [f"{folder}/all.npy#{i},{label}" for i, label in enumerate(LABELS)]
    (folder / "labels.csv").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def expected(folder):
    """What a tape gives for the mean cross-entropy of all six, and for each alone: lists in the model's order."""
    live = keras.saving.load_model(folder / "model.keras")

    def gradients(rows):
        with tf.GradientTape() as tape:
            truth = np.eye(3, dtype=np.float32)[np.array(LABELS)[rows]]
            loss = tf.reduce_mean(keras.losses.categorical_crossentropy(truth, live(X[rows], training=False)))
        return [g.numpy() for g in tape.gradient(loss, live.trainable_weights)]

    return gradients(list(range(6))), [gradients([i]) for i in range(6)]


@pytest.fixture
def run(folder):
    """Return a function: inputs, options of the study and fields of the request → (report, what was heard)."""

    def start(*inputs, options=None, model=None, **fields):
        heard = Heard()
        paths = tuple(str(folder / name) for name in inputs)
        request = ComputeRequest(model or str(folder / "model.keras"), paths, by_weights=True, **fields)
        return run_study(request, Parameters(**(options or {})), heard), heard

    return start


@pytest.fixture
def saliency(folder, capfd):
    """Return a function that runs `saliency parameters` on the model and gives (code, out, err)."""

    def command(*arguments):
        code = entry.run(["parameters", str(folder / "model.keras"), *map(str, arguments)])
        return (code, *capfd.readouterr())

    return command


@pytest.fixture
def of_loss(folder):
    return {"loss": "categorical_crossentropy", "labels": str(folder / "labels.csv")}


def close(found, whole):
    return np.abs(found - whole).max() <= 1e-6 + 1e-5 * np.abs(whole).max()


def loaded(path):
    with np.load(path) as archive:
        return dict(archive)


def test_the_mean_gradient_of_a_loss_is_what_a_training_step_takes(run, of_loss, expected):
    report, _ = run(*(f"{i}.npy" for i in range(6)), out="out", **of_loss)
    assert report.exit_code == 0
    assert tree("out") == ["gradients.npz", "items.jsonl", "layers.png", "metrics.json", "run.json"]
    arrays = loaded("out/gradients.npz")
    assert list(arrays) == ["hidden/kernel", "hidden/bias", "classes/kernel", "classes/bias"]
    for found, whole in zip(arrays.values(), expected[0], strict=True):
        assert found.dtype == np.float32
        assert close(found, whole)
    results = run_json("out")["results"]
    assert results["n"] == 6
    assert results["norm"] == pytest.approx(np.sqrt(sum((g**2).sum() for g in expected[0])), rel=1e-5)
    singles = [sum((g**2).sum() for g in each) for each in expected[1]]
    assert results["typical"] == pytest.approx(np.sqrt(np.mean(singles)), rel=1e-5)
    assert results["weights"] == 43
    spread = 6 / 5 * (np.mean(singles) - results["norm"] ** 2)
    signal = results["norm"] ** 2 - spread / 6
    assert results["noise_scale"] == (pytest.approx(spread / signal, rel=1e-3) if signal > 0 else None)
    assert [layer["layer"] for layer in results["layers"]] == ["hidden", "classes"]
    assert run_json("out")["files"] == {"gradients": "gradients.npz", "layers": "layers.png"}
    with Image.open("out/layers.png") as chart:
        assert chart.size[0] > 400


def test_every_input_has_a_record_of_its_own(run, of_loss, expected):
    run("0.npy", "1.npy", "2.npy", out="out", **of_loss)
    for i, line in enumerate(journal("out")):
        results = line["results"]
        lengths = [np.linalg.norm(g) for g in expected[1][i]]
        assert results["norm"] == pytest.approx(np.linalg.norm(lengths), rel=1e-5)
        assert results["layers"]["hidden"] == pytest.approx(np.hypot(*lengths[:2]), rel=1e-5)
        assert results["target"] == str(LABELS[i])
        assert line["files"] == {}
    values = [line["results"]["value"] for line in journal("out")]
    assert run_json("out")["results"]["value"] == pytest.approx(np.mean(values))
    assert run_json("out")["metrics"]["results"]["norm"]["n"] == 3


def test_a_stack_is_as_many_inputs_and_one_file_holds_the_gradients(run, of_loss, expected):
    report, heard = run("all.npy", out="step.npz", **of_loss)
    assert len(heard.done) == 6
    assert report.run.files == {"gradients": "step.npz"}
    assert tree(".") == ["step.npz"]
    for found, whole in zip(loaded("step.npz").values(), expected[0], strict=True):
        assert close(found, whole)


def test_the_chart_alone_and_nothing_without_o(run):
    run("all.npy", out="chart.png")
    assert tree(".") == ["chart.png"]
    report, _ = run("all.npy")
    assert tree(".") == ["chart.png"]
    assert report.run.files == {}
    assert report.run.results["n"] == 6


def test_the_sum(run, of_loss, expected):
    report, _ = run("all.npy", out="sum.npz", options={"reduction": "sum"}, **of_loss)
    for found, whole in zip(loaded("sum.npz").values(), expected[0], strict=True):
        assert close(found, 6 * whole)
    assert report.run.results["norm"] == pytest.approx(6 * np.sqrt(sum((g**2).sum() for g in expected[0])), rel=1e-5)


def test_each_input_s_own_gradient(run, of_loss, expected):
    run("all.npy", out="out", options={"per_sample": True}, **of_loss)
    rows = loaded("out/per-sample.npz")
    assert rows["hidden/kernel"].shape == (6, 4, 5)
    for i, line in enumerate(journal("out")):
        assert line["results"]["row"] == i
        for found, whole in zip(rows.values(), expected[1][i], strict=True):
            assert close(found[i], whole)
    for name, mean in loaded("out/gradients.npz").items():
        np.testing.assert_allclose(rows[name].mean(0), mean, rtol=1e-5, atol=1e-7)
    run("all.npy", out="rows.npz", options={"per_sample": True}, **of_loss)
    np.testing.assert_array_equal(loaded("rows.npz")["classes/bias"], rows["classes/bias"])
    assert sorted(tree(".")) == sorted([*(f"out/{name}" for name in tree("out")), "rows.npz"])


@pytest.mark.parametrize(
    ("clip", "by_tensorflow"),
    [
        ({"clip_norm": 0.1}, lambda gs: [tf.clip_by_norm(g, 0.1) for g in gs]),
        ({"clip_value": 0.02}, lambda gs: [tf.clip_by_value(g, -0.02, 0.02) for g in gs]),
        ({"clip_global_norm": 0.1}, lambda gs: tf.clip_by_global_norm(gs, 0.1)[0]),
    ],
)
def test_clipping_all_weights(run, of_loss, expected, clip, by_tensorflow):
    report, heard = run("all.npy", out="out", options={"per_sample": True}, **of_loss, **clip)
    arrays, rows = loaded("out/gradients.npz"), loaded("out/per-sample.npz")
    for found, whole in zip(arrays.values(), by_tensorflow(expected[0]), strict=True):
        assert close(found, whole.numpy())
    results = report.run.results
    assert results["norm_before"] == pytest.approx(np.sqrt(sum((g**2).sum() for g in expected[0])), rel=1e-5)
    assert results["norm_after"] == pytest.approx(results["norm"])
    assert results["norm"] == pytest.approx(np.sqrt(sum((g**2).sum() for g in arrays.values())), rel=1e-5)
    for i, record in enumerate(heard.records):
        alone = by_tensorflow(expected[1][i])
        for found, whole in zip(rows.values(), alone, strict=True):
            assert close(found[i], whole.numpy())
        before = np.sqrt(sum((g**2).sum() for g in expected[1][i]))
        assert record.results["norm_before"] == pytest.approx(before, rel=1e-5)
        assert record.results["norm_after"] == pytest.approx(float(tf.linalg.global_norm(alone)), rel=1e-5)


@pytest.mark.parametrize("about", ["loss", "target"])
def test_a_run_gone_on_with_is_whole(run, of_loss, about):
    """The mean is of all inputs, those done before too."""
    asked = of_loss if about == "loss" else {"target": "1"}
    run(*(f"{i}.npy" for i in range(6)), out="whole", **asked)
    run("0.npy", "1.npy", out="parts", batch_size=16, **asked)
    _, heard = run(*(f"{i}.npy" for i in range(6)), out="parts", resume=True, **asked)
    assert len(heard.done) == 6
    assert len(journal("parts")) == 6
    assert Path("parts/gradients.npz").read_bytes() == Path("whole/gradients.npz").read_bytes()
    with pytest.raises(UsageError, match="made with other settings"):
        run("0.npy", out="parts", resume=True, options={"reduction": "sum"}, **asked)


def test_an_input_that_fails_is_no_part_of_the_mean(run, of_loss, expected):
    np.save("bad.npy", np.float32([1, np.nan, 0, 0]))
    np.save("wide.npy", np.zeros(9, np.float32))
    report, heard = run(
        "0.npy", str(Path("bad.npy").resolve()), str(Path("wide.npy").resolve()), out="g.npz", **of_loss
    )
    assert report.exit_code == 3
    assert len(heard.failed) == 2
    assert report.run.results["n"] == 1
    for found, whole in zip(loaded("g.npz").values(), expected[1][0], strict=True):
        assert close(found, whole)


def test_batches_make_no_difference(run, of_loss):
    run("all.npy", out="a.npz", batch_size=1, **of_loss)
    run("all.npy", out="b.npz", batch_size=4, **of_loss)
    for a, b in zip(loaded("a.npz").values(), loaded("b.npz").values(), strict=True):
        assert close(a, b)


def test_the_table_of_layers(saliency, folder):
    code, out, _ = saliency(folder / "all.npy", "--target", "1")
    assert code == 0
    header, hidden, classes, last = out.splitlines()
    assert header.split() == ["layer", "weights", "|g|", "max", "zeros", "typical", "typical/|w|", "of", "median"]
    assert hidden.split()[:2] == ["hidden", "25"]
    assert classes.split()[:2] == ["classes", "18"]
    assert "67%" in classes  # of the columns of three classes one is asked about
    assert last.startswith("all layers: 43 weights, |g| ")
    assert "mean over 6 inputs" in last


def test_json_and_quiet(saliency, folder):
    code, out, _ = saliency(folder / "all.npy", "--json", "-q", "--clip-value", "0.01")
    document = json.loads(out)
    assert code == 0
    assert document["study"] == "parameters"
    assert document["results"]["layers"][0]["weights"][0]["name"] == "hidden/kernel"
    assert document["results"]["layers"][0]["weights"][0]["max"] == pytest.approx(0.01)
    assert len(document["items"]) == 6
    assert saliency(folder / "all.npy", "-q")[1] == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--per-sample",), "--per-sample writes each input's gradient: -o FILE.npz or -o DIR"),
        (("--clip-norm", "1", "--clip-value", "1"), "--clip-norm and --clip-value exclude each other"),
        (("--clip-norm", "0"), "0.0 is not in the range x>0"),
        (("--target", "top:2"), "is of one target, and 'top:2' is several"),
        (("--target", "all"), "is of one target, and 'all' is several"),
        (("--vanishing", "5", "--exploding", "2"), "the first must be below the second"),
        (("--reduction", "max"), "'max' is not one of 'mean', 'sum'"),
        (("-o", "out.csv"), "files end in .npz, .png; -o out.csv/ for a folder"),
    ],
)
def test_what_the_command_refuses(saliency, folder, arguments, words):
    code, _, err = saliency(folder / "0.npy", *arguments)
    assert code == 2
    assert words in " ".join(err.split())


def test_a_dry_run_does_nothing(saliency, folder):
    code, out, _ = saliency(folder / "0.npy", folder / "1.npy", "-n", "-o", "out")
    assert code == 0
    assert out.split() == [f"{folder}/0.npy", f"{folder}/1.npy"]
    assert not Path("out").exists()


def test_words_which_no_input_has_a_gradient_of(run, tmp_path):
    """An embedding's tokens are integers; its weights have a gradient all the same."""
    x = keras.Input((3,), dtype="int32", name="tokens")
    live = keras.Model(x, L.Dense(2, "softmax", name="d")(L.Flatten()(L.Embedding(9, 2, name="words")(x))))
    live.save("words.keras")
    np.save("tokens.npy", np.array([[1, 2, 2], [0, 8, 1]], np.int32))
    report, _ = run(str(tmp_path / "tokens.npy"), model="words.keras", out="g.npz", target="1")
    kernel = live.get_layer("d").get_weights()[0].reshape(3, 2, 2)[:, :, 1]
    expected = np.zeros((9, 2))
    for row in ([1, 2, 2], [0, 8, 1]):
        for place, token in enumerate(row):
            expected[token] += kernel[place] / 2
    np.testing.assert_allclose(loaded("g.npz")["words/embeddings"], expected, rtol=1e-5, atol=1e-7)
    assert report.run.results["layers"][0].zeros == pytest.approx(5 / 9)


def test_dead_vanishing_and_exploding_layers_are_named(run, tmp_path):
    """A chain of 1×1 layers with slopes that are 10⁻⁵ and 10⁵: closed forms of ρ, and a ReLU that is off."""
    x = keras.Input((1,), name="x")
    tiny = L.Dense(1, use_bias=False, name="tiny")(x)
    huge = L.Dense(1, use_bias=False, name="huge")(tiny)
    y = L.Dense(1, use_bias=False, name="last")(huge)
    off = L.Dense(1, "relu", use_bias=False, name="off")(x)
    live = keras.Model(x, L.Add()([y, off]))
    for name, value in {"tiny": 1e-6, "huge": 1e6, "last": 2.0, "off": -1.0}.items():
        live.get_layer(name).set_weights([np.float32([[value]])])
    live.save("chain.keras")
    np.save("x.npy", np.float32([3]))
    report, _ = run(str(tmp_path / "x.npy"), model="chain.keras", options={"vanishing": 1e-3, "exploding": 1e3})
    results = report.run.results
    # s = x·t·h·l: ∂s/∂t·1/t = s/t², s = 6
    expected = {"tiny": 6 / 1e-12, "huge": 6 / 1e12, "last": 6 / 4}
    found = {layer.layer: layer for layer in results["layers"]}
    for name, value in expected.items():
        assert found[name].relative == pytest.approx(value, rel=1e-4)
        assert found[name].of_median == pytest.approx(value / 1.5, rel=1e-4)
    assert results["dead"] == ["off"]
    assert results["vanishing"] == ["huge"]
    assert results["exploding"] == ["tiny"]


def test_verdicts_at_their_bounds():
    assert verdict(None, 1e-3, 1e3) == ""
    assert [verdict(share, 0.1, 10) for share in (0.0999, 0.1, 1, 10, 10.01)] == [
        "vanishing",
        "",
        "",
        "",
        "exploding",
    ]


class FakeWeight:
    """A weight of a layer, its values given."""

    dtype = "float32"

    def __init__(self, name, values):
        self.name, self.layer, self.shape = name, name.partition("/")[0], np.shape(values)
        self.read = lambda: np.asarray(values, np.float32)


def batch(*rows):
    from saliency_cli.autodiff.parameters import Summed

    arrays = [np.stack([np.asarray(row[k], float) for row in rows]) for k in range(len(rows[0]))]
    squares = np.stack([(a.reshape(len(rows), -1) ** 2).sum(1) for a in arrays], axis=1)
    return Summed([a.sum(0) for a in arrays], squares)


def test_sums_over_batches_and_the_noise_scale():
    rng = np.random.default_rng(0)
    rows = [(rng.normal(1, 1, (2, 3)), rng.normal(1, 1, 4)) for _ in range(5)]
    totals = Totals()
    totals.add(batch(*rows[:2]))
    totals.add(batch(*rows[2:]))
    assert totals.n == 5
    for k in range(2):
        np.testing.assert_allclose(totals.gradients("mean")[k], np.mean([row[k] for row in rows], axis=0))
        np.testing.assert_allclose(totals.gradients("sum")[k], np.sum([row[k] for row in rows], axis=0))
    flat = np.stack([np.concatenate([a.ravel() for a in row]) for row in rows])
    spread = flat.var(axis=0, ddof=1).sum()
    assert totals.noise_scale() == pytest.approx(spread / ((flat.mean(0) ** 2).sum() - spread / 5))


def test_no_noise_scale_of_one_sample_or_of_nothing_but_noise():
    totals = Totals()
    totals.add(batch((np.ones(3),)))
    assert totals.noise_scale() is None
    totals.add(batch((-np.ones(3),)))
    assert totals.noise_scale() is None


def test_gradients_whose_squares_are_nothing_in_float32_still_have_a_length():
    weights, tiny = [FakeWeight("a/kernel", [3.0, 4.0])], np.array([3e-30, 4e-30])
    totals = Totals()
    totals.add(batch((tiny,), (tiny,))._replace(squares=np.zeros((2, 1))))
    (found,) = layer_records(weights, {"a/kernel": tiny}, totals, vanishing=1e-3, exploding=1e3)
    assert (found.typical, found.relative) == (pytest.approx(5e-30), pytest.approx(1e-30))
    assert (found.l2, found.of_median, found.verdict) == (pytest.approx(5e-30), 1, "")
    assert totals.noise_scale() == pytest.approx(0, abs=1e-9), "never below zero"


def test_layers_whose_weights_are_zero_are_not_judged_and_cancelling_is_not_dying():
    weights = [FakeWeight("a/kernel", [[3.0, 4.0]]), FakeWeight("a/bias", [0.0, 0.0]), FakeWeight("b/bias", [0.0])]
    totals = Totals()
    totals.add(batch(([[3, 4]], [0, 0], [1]), ([[-3, -4]], [0, 0], [1])))
    gradients = dict(zip(("a/kernel", "a/bias", "b/bias"), totals.gradients("mean"), strict=True))
    a, b = layer_records(weights, gradients, totals, vanishing=1e-3, exploding=1e3)
    assert (a.l2, a.typical, a.relative, a.of_median, a.verdict) == (0, 5, 1, 1, "")
    assert (a.zeros, a.size) == (1, 4)
    assert (b.l2, b.typical, b.relative, b.of_median, b.verdict) == (1, 1, None, None, "")
    assert (a.weights[0].relative, a.weights[1].relative) == (0, None)


def test_strict_refuses_before_a_gradient_counts(run, tmp_path):
    x = keras.Input((8, 8, 3))
    keras.Model(x, L.Dense(2)(L.Flatten()(x))).save("guessed.keras")
    Image.fromarray(np.full((8, 8, 3), 9, np.uint8)).save("p.png")
    report, heard = run(str(tmp_path / "p.png"), model="guessed.keras", strict=True, target="0")
    assert report.exit_code == 3
    assert "nothing in the model tells how its pictures were scaled" in next(iter(heard.failed.values())).message
    assert report.run.results == {"n": 0}


def test_a_gradient_that_is_not_finite_names_its_weights(run, tmp_path):
    x = keras.Input((2,))
    live = keras.Model(x, L.Dense(1, name="d")(keras.ops.sqrt(L.Dense(2, use_bias=False, name="first")(x))))
    live.set_weights([np.eye(2), np.ones((2, 1)), np.zeros(1)])
    live.save("root.keras")
    np.save("zero.npy", np.zeros(2, np.float32))
    _, heard = run(str(tmp_path / "zero.npy"), model="root.keras", target="0")
    (error,) = heard.failed.values()
    assert error.message == "the gradient by first/kernel is not finite"
    assert error.reason == "non-finite-gradient"


def test_weights_the_target_does_not_depend_on_are_told(run, tmp_path):
    x = keras.Input((2,), name="x")
    live = keras.Model(x, [L.Dense(1, name="kept")(x), L.Dense(1, name="other")(x), keras.ops.tanh(x)])
    live.save("two.keras")
    np.save("x.npy", np.ones(2, np.float32))
    report, _ = run(str(tmp_path / "x.npy"), model="two.keras", output_name="kept", target="0", out="g.npz")
    assert list(loaded("g.npz")) == ["kept/kernel", "kept/bias"]
    assert report.run.results["disconnected"] == ["other/kernel", "other/bias"]
    names = sal.load("two.keras").outputs
    with pytest.raises(ModelError, match="doesn't depend on any of the weights"):
        run(str(tmp_path / "x.npy"), model="two.keras", output_name=names[2], target="0")


def test_python_gives_what_apply_gradients_takes(folder, expected):
    """A step of gradient descent with the list is that of a training step."""
    live = keras.saving.load_model(folder / "model.keras")
    found = sal.parameters(sal.wrap(live), X, loss="categorical_crossentropy", label=LABELS)
    for a, b in zip(found.as_list(), expected[0], strict=True):
        assert close(a, b)
    before = [w.numpy() for w in live.trainable_weights]
    keras.optimizers.SGD(0.5).apply_gradients(
        [(tf.constant(g), w) for g, w in zip(found.as_list(), live.trainable_weights, strict=True)]
    )
    for old, new, gradient in zip(before, live.trainable_weights, expected[0], strict=True):
        np.testing.assert_allclose(new.numpy(), old - 0.5 * gradient, rtol=1e-5, atol=1e-6)
    again = sal.parameters(sal.wrap(live), X, loss="categorical_crossentropy", label=LABELS)
    assert again.values.mean() < found.values.mean()


def test_python_takes_samples_in_many_forms(folder):
    model = sal.load(folder / "model.keras")
    whole = sal.parameters(model, X, target="1", per_sample=True)
    assert whole.per_sample["hidden/kernel"].shape == (6, 4, 5)
    forms = [list(X), str(folder / "all.npy"), [folder / f"{i}.npy" for i in range(6)], {"features": X}, X.tolist()]
    for form in forms:
        found = sal.parameters(model, form, target="1")
        assert len(found.values) == 6
        np.testing.assert_allclose(found.gradients["hidden/kernel"], whole.gradients["hidden/kernel"], rtol=1e-5)
    one = sal.parameters(model, X[2], target="1")
    np.testing.assert_allclose(one.gradients["hidden/kernel"], whole.per_sample["hidden/kernel"][2], rtol=1e-5)
    assert repr(one).startswith("<ParameterGradients of 1 samples: 43 weights in 4 arrays, |g| ")
    assert whole.norm == pytest.approx(np.sqrt(sum((g**2).sum() for g in whole.gradients.values())), rel=1e-5)
    assert [layer.layer for layer in whole.layers] == ["hidden", "classes"]


def test_python_refuses(folder):
    model = sal.load(folder / "model.keras")
    with pytest.raises(UsageError, match="2 labels came for 6 samples"):
        sal.parameters(model, X, loss="categorical_crossentropy", label=[0, 1])
    with pytest.raises(UsageError, match="parameters has no option 'labels'") as caught:
        sal.parameters(model, X, labels=[0])
    assert caught.value.hint == "did you mean 'label'?"
    with pytest.raises(UsageError, match="a loss needs to know"):
        sal.parameters(model, X, loss="mse")
    with pytest.raises(InputError, match="takes 4"):
        sal.parameters(model, np.zeros((2, 5)), target="0")
    with pytest.raises(InputError, match="length 0"):
        sal.parameters(model, np.zeros((0, 4)), target="0")
    with pytest.raises(InputError, match="NaN or infinite"):
        sal.parameters(model, [X[0], np.full(4, np.nan)], target="0")


def test_the_order_is_that_of_the_trainable_weights():
    """Nested, shared and bidirectional layers, normalisations, and a layer that is frozen."""
    inner = keras.Sequential([keras.Input((6, 3)), L.Bidirectional(L.LSTM(2)), L.BatchNormalization()], name="inner")
    x = keras.Input((6, 3))
    frozen = L.Dense(3, name="frozen", trainable=False)
    shared = L.Dense(3, name="shared")
    a = L.MultiHeadAttention(2, 2)(shared(x), shared(frozen(x)))
    live = keras.Model(x, L.Dense(2)(L.Concatenate()([inner(x), L.GlobalAveragePooling1D()(a)])))
    found = sal.parameters(sal.wrap(live), np.random.default_rng(0).normal(size=(2, 6, 3)), target="0")
    shapes = [None if g is None else g.shape for g in found.as_list()]
    assert shapes == [tuple(w.shape) for w in live.trainable_weights]
    for name, weight in zip(found.names, live.trainable_weights, strict=True):
        assert weight.path.endswith(name.split("/")[-1])
        assert name.split("/")[0] in weight.path
