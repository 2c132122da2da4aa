"""Jacobians by closed forms, central differences, the other mode, and TensorFlow's own where it works."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from derived_tools import SAMPLES, in_float64, jacobian, numbers_for, opened

from saliency_cli.autodiff.runtime import keras, tf
from saliency_cli.errors import ModelError, OutputError, UsageError
from saliency_cli.studies import jacobian_asking, jacobian_rows

L = keras.layers


def dense(weights, bias=None, activation=None):
    x = keras.Input((len(weights),), name="x")
    layer = L.Dense(len(weights[0]), activation, name="y")
    model = keras.Model(x, layer(x))
    layer.set_weights([np.float32(weights), np.zeros(len(weights[0])) if bias is None else np.float32(bias)])
    return model


def array(inquired, output="y", name="x"):
    return inquired.found.arrays()[output, name]


def written(inquired, kind="matrix"):
    stream = io.BytesIO()
    inquired.findings.files[kind].data(stream)
    stream.seek(0)
    return np.load(stream) if kind == "matrix" else stream.read()


def test_a_line_has_its_slope():
    x = keras.Input((3,), name="x")
    model = keras.Model(x, L.Rescaling(2.0, 1.0, name="y")(x))
    assert np.array_equal(array(jacobian(model, np.float32([5, -1, 0]))), 2 * np.eye(3))


def test_the_sample_line_from_the_command(saliency):
    np.save("x.npy", np.float32([1, 2, 3]))
    told = saliency("jacobian", SAMPLES / "linear.keras", "x.npy", "--json")
    assert told.code == 0, told.err
    (item,) = json.loads(told.out)["items"]
    assert item["files"] == {"grid": "x.jacobian.png", "matrix": "x.jacobian.npz"}
    with np.load("x.jacobian.npz") as found:
        assert np.array_equal(found["amount/numbers"], [[2, 2, 2]])
        assert found["amount/numbers.axes"].tolist() == ["class", "feature"]
        assert np.array_equal(found["amount.values"], [13])
        assert np.array_equal(found["numbers"], [1, 2, 3])
    (pair,) = item["results"]["pairs"]
    assert pair["shape"] == [1, 3]
    assert pair["singular_values"] == pytest.approx([np.sqrt(12)])
    assert item["results"]["norm"] == item["results"]["spectral_norm"] == pytest.approx(np.sqrt(12))
    assert item["results"]["condition"] == 1
    assert Path("x.jacobian.png").read_bytes().startswith(b"\x89PNG")


def test_a_line_as_a_tensorflow_js_model(tmp_path):
    from tfjs_writer import write_model

    from saliency_cli.models.options import OpenOptions
    from saliency_cli.models.tfjs.loading import load

    model = keras.Sequential([keras.Input((3,)), L.Dense(1)])
    model.set_weights([np.full((3, 1), 2.0), np.ones(1)])
    found = jacobian(load(write_model(tmp_path / "line", model), OpenOptions()), np.float32([7, 8, 9])).found
    assert [array.tolist() for array in found.arrays().values()] == [[[2, 2, 2]]]


@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_weights_and_a_bias(mode):
    weights = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    found = jacobian(dense(weights, [1, 2, 3, 4]), np.ones(5, np.float32), mode=mode)
    assert np.array_equal(array(found), weights.T)
    assert found.found.blocks[0].mode == mode
    assert np.allclose(found.found.blocks[0].values, weights.sum(0) + np.arange(1, 5), atol=1e-6)


def test_a_layer_of_ones_with_relu():
    model = dense(np.ones((3, 2)), [0, -100], "relu")
    assert np.array_equal(array(jacobian(model, np.float32([1, 2, 3]))), [[1, 1, 1], [0, 0, 0]])


def test_784_inputs():
    weights = np.random.default_rng(1).normal(size=(784, 10)).astype(np.float32)
    found = jacobian(dense(weights, activation="softmax"), np.zeros(784, np.float32))
    assert np.allclose(array(found), weights.T, atol=1e-6)
    assert found.findings.results["condition"] == pytest.approx(np.linalg.cond(weights), rel=1e-3)


def test_two_inputs_and_two_outputs_each_by_each():
    model = keras.saving.load_model(SAMPLES / "two_inputs_two_outputs.keras", compile=False)
    known = opened(model)
    inputs = numbers_for(known)
    spaces = {"digit": "probability", "amount": None}
    found = jacobian(known, inputs).found.arrays()
    assert set(found) == {(o.name, s.name) for o in known.outputs for s in known.inputs}
    for output, space in spaces.items():
        alone = jacobian(known, inputs, space=space, outputs=[output]).found
        assert [block.end.output for block in alone.blocks] == [output]
        found |= alone.arrays()
    tensors = {name: tf.constant(value[None]) for name, value in inputs.items()}
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(tensors)
        outputs = dict(zip((o.name for o in known.outputs), tf.nest.flatten(model(tensors)), strict=True))
    for (output, name), values in found.items():
        expected = tape.batch_jacobian(outputs[output], tensors[name])[0].numpy()
        assert np.abs(values - expected).max() <= 1e-5 * max(np.abs(expected).max(), 1e-3), (output, name)


def test_an_output_that_isn_t_there(saliency):
    np.save("x.npy", np.float32([1, 2, 3]))
    told = saliency("jacobian", SAMPLES / "linear.keras", "x.npy", "--output-name", "amout")
    assert told.code == 2
    assert "no output 'amout'" in told.err
    assert "amount" in told.err


@pytest.mark.parametrize("name", ["table", "signal", "binary", "quadratic", "product", "linear"])
@pytest.mark.parametrize("space", [None, "probability"])
def test_central_differences_in_float64(name, space):
    model = in_float64(name)
    known = opened(model)
    if space and name not in ("table", "signal", "binary"):
        pytest.skip("no softmax or sigmoid")
    inputs = numbers_for(known)
    found = jacobian(known, inputs, space=space).found
    (block,) = found.blocks

    def values(at):
        given = {key: tf.constant(value[None]) for key, value in at.items()}
        y = model(given if len(given) > 1 else next(iter(given.values()))).numpy()[0]
        if space or name not in ("table", "signal", "binary"):
            return y
        return np.log(y) if name != "binary" else np.log(y) - np.log1p(-y)

    step = 1e-6
    for key, value in inputs.items():
        matrix = block.matrices[key]
        assert matrix.dtype == np.float64
        for place in range(0, value.size, max(1, value.size // 23)):
            moved = np.zeros(value.size)
            moved[place] = step
            moved = moved.reshape(value.shape)
            up, down = values({**inputs, key: value + moved}), values({**inputs, key: value - moved})
            expected, column = (up - down) / (2 * step), matrix[:, place]
            if not space and name in ("table", "signal"):  # log p is the logit less what all classes share
                expected, column = expected - expected.mean(), column - column.mean()
            assert np.abs(column - expected).max() < 1e-6 * max(1, np.abs(matrix).max())


@pytest.mark.parametrize("name", ["table", "signal"])
def test_forward_and_reverse_agree(name):
    known = opened(keras.saving.load_model(SAMPLES / f"{name}.keras", compile=False))
    inputs = numbers_for(known)
    by_rows, by_columns = (jacobian(known, inputs, mode=mode).found for mode in ("reverse", "forward"))
    for pair, values in by_rows.arrays().items():
        assert np.abs(values - by_columns.arrays()[pair]).max() <= 1e-5 * np.abs(values).max()
    assert np.allclose(by_rows.blocks[0].values, by_columns.blocks[0].values, atol=1e-5)


def decoder():
    x = keras.Input((3,), name="x")
    model = keras.Model(x, L.Reshape((4, 4, 2), name="y")(L.Dense(32, "tanh")(x)))
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    return model


def test_the_cheaper_mode_is_chosen_by_shape():
    wide, narrow = decoder(), dense(np.ones((9, 2)))
    found = jacobian(wide, np.ones(3, np.float32)).found
    assert found.blocks[0].mode == "forward"
    assert found.arrays()["y", "x"].shape == (4, 4, 2, 3)
    assert found.axes(found.blocks[0], "x") == ("output 0", "output 1", "output 2", "feature")
    expected = jacobian(wide, np.ones(3, np.float32), mode="reverse").found.arrays()["y", "x"]
    assert np.abs(found.arrays()["y", "x"] - expected).max() < 1e-5
    assert jacobian(narrow, np.ones(9, np.float32)).found.blocks[0].mode == "reverse"


def test_an_output_of_open_size_has_the_size_of_its_sample():
    x = keras.Input((None, 2), name="x")
    model = keras.Model(x, L.Conv1D(3, 1, name="y")(x))
    kernel = np.random.default_rng(0).normal(size=(1, 2, 3)).astype(np.float32)
    model.layers[-1].set_weights([kernel, np.zeros(3)])
    for length in (4, 6):
        found = array(jacobian(model, np.ones((length, 2), np.float32)))
        assert found.shape == (length, 3, length, 2)
        expected = np.einsum("ts,dc->tcsd", np.eye(length), kernel[0])
        assert np.allclose(found, expected, atol=1e-6)


def test_classes_alone_by_name_and_index():
    weights = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    model = dense(weights, activation="softmax")
    found = jacobian(model, np.ones(4, np.float32), classes=("dog", "0"), class_names=("cat", "cow", "dog"))
    assert np.allclose(array(found), weights.T[[2, 0]])
    assert found.found.blocks[0].labels == ("dog", "cat")
    assert written(found)["y.labels"].tolist() == ["dog", "cat"]
    with pytest.raises(UsageError, match="no class is called 'dig'"):
        jacobian(model, np.ones(4, np.float32), classes=("dig",), class_names=("cat", "cow", "dog"))


def test_a_class_that_is_named_twice_is_one_row_and_names_that_repeat_are_told_apart():
    x = keras.Input((2,), name="x")
    live = keras.Model(x, L.Dense(3, use_bias=False, name="y")(x))
    live.set_weights([np.float32([[1, 3, 5], [0, 4, 12]])])
    found = jacobian(live, np.float32([1, 2]), classes=("2", "crane", "2"), class_names=("gull", "crane", "heron"))
    assert found.found.blocks[0].labels == ("heron", "crane")
    found = jacobian(live, np.float32([1, 2]), class_names=("crane", "gull", "crane"))
    (pair,) = found.findings.results["pairs"]
    assert pair.row_norms == pytest.approx({"crane (0)": 1, "gull": 5, "crane (2)": 13})


def test_no_class_is_not_every_class(saliency):
    told = saliency("jacobian", SAMPLES / "table.keras", "x.npy", "--classes", " ,")
    assert told.code == 2
    assert "--classes names no class" in told.err


def test_a_class_of_an_output_with_places_is_their_mean():
    x = keras.Input((5, 2), name="x")
    model = keras.Model(x, L.Conv1D(3, 1, name="y")(x))
    found = array(jacobian(model, np.ones((5, 2), np.float32), classes=("1",)))
    kernel = model.layers[-1].get_weights()[0][0]
    assert found.shape == (1, 5, 2)
    assert np.allclose(found, np.broadcast_to(kernel[:, 1] / 5, (1, 5, 2)), atol=1e-7)


def test_a_sigmoid_unit_is_one_row_and_two_classes():
    model = dense([[1.0], [-2.0]], activation="sigmoid")
    x = np.float32([0.3, 0.1])
    assert np.allclose(array(jacobian(model, x)), [[1, -2]])
    assert np.allclose(array(jacobian(model, x, classes=("0", "1"))), [[-1, 2], [1, -2]])
    p = 1 / (1 + np.exp(-0.1))
    assert np.allclose(array(jacobian(model, x, space="probability")), p * (1 - p) * np.float32([[1, -2]]))


def test_probabilities_lose_one_rank():
    weights = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    found = jacobian(dense(weights, activation="softmax"), np.ones(6, np.float32) / 5, space="probability")
    assert np.abs(array(found).sum(0)).max() < 1e-6
    (pair,) = found.findings.results["pairs"]
    assert (pair.rank, pair.condition) == (2, None)
    assert pair.note.startswith("rank 2 of 3")
    assert "condition" not in found.findings.results


def halves():
    a, b = keras.Input((2,), name="a"), keras.Input((3,), name="b")
    return keras.Model([a, b], {"one": L.Dense(2, name="p")(a), "two": L.Dense(1, name="q")(b)})


def test_what_is_not_connected_is_told_by_name():
    found = jacobian(halves(), {"a": np.ones(2, np.float32), "b": np.ones(3, np.float32)})
    assert set(found.found.arrays()) == {("one", "a"), ("two", "b")}
    missing = found.findings.results["disconnected"]
    assert set(missing) == {"one/b", "two/a"}
    assert missing["one/b"] == (
        "output 'one': input 'b' is not connected to the target: the output does not depend on it"
    )
    assert found.findings.flags == ("disconnected",)
    files = written(found)
    assert "one/a" in files
    assert "one/b" not in files


def test_what_is_not_connected_is_told_on_the_command_line(saliency):
    halves().save("halves.keras")
    np.savez("x.npz", a=np.ones(2, np.float32), b=np.ones(3, np.float32))
    told = saliency("jacobian", "halves.keras", "x.npz", "-o", "out")
    assert told.code == 0, told.err
    assert "output 'one': input 'b' is not connected" in told.err
    assert "output 'two': input 'a' is not connected" in told.err


def test_an_output_that_depends_on_nothing_is_left_out_and_told():
    x = keras.Input((3,), name="x")
    constant = L.Lambda(lambda t: tf.cast(tf.round(t), tf.float32), name="steps")(x)
    model = keras.Model(x, {"steps": constant, "y": L.Dense(2, name="y")(x)})
    found = jacobian(model, np.ones(3, np.float32))
    assert set(found.found.arrays()) == {("y", "x")}
    assert "round" in found.findings.results["disconnected"]["steps"]
    with pytest.raises(ModelError, match="round") as caught:
        jacobian(model, np.ones(3, np.float32), outputs=["steps"])
    assert caught.value.reason == "disconnected"


@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_what_is_too_large_for_memory_is_the_same_from_the_disk(mode, monkeypatch, here):
    model, x = decoder(), np.ones(3, np.float32)
    expected = jacobian(model, x, mode=mode)
    monkeypatch.setattr(jacobian_rows, "IN_MEMORY", 0)
    monkeypatch.setattr(jacobian_asking, "_CHUNK", 1)
    found = jacobian(model, x, mode=mode, batch_size=2)
    values = array(found)
    assert np.allclose(values, array(expected), rtol=1e-6, atol=1e-7)
    base = values
    while base.base is not None and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)
    assert np.array_equal(written(found)["y/x"], values)
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_what_comes_in_several_chunks_is_watched_and_the_rest_is_not(mode, monkeypatch):
    weights = np.random.default_rng(0).normal(size=(20, 20))
    ways = []
    watch = lambda identity, way: ways.append(way)  # noqa: E731
    jacobian(dense(weights), np.zeros(20, np.float32), batch_size=8, mode=mode, watch=watch)
    assert ways == []
    monkeypatch.setattr(jacobian_asking, "_CHUNK", 1)
    jacobian(dense(weights), np.zeros(20, np.float32), batch_size=8, mode=mode, watch=watch)
    assert [way.done for way in ways] == [0, 8, 16]
    assert {way[:2] + way[3:] for way in ways} == {("y", mode, 20, (20, 20), 1600)}


def test_a_very_large_jacobian_is_told_before_it_is_asked_for(capfd):
    from saliency_cli.cli.jacobian import _show
    from saliency_cli.cli.terminal import Display, Terminal

    terminal = Terminal(Display())
    way = jacobian_asking.Way("mask", "forward", 0, 40_000, (70_000, 40_000), 4 * 70_000 * 40_000)
    for done in (0, 64):
        _show(terminal, "a.npy", way._replace(done=done))
    _show(terminal, "b.npy", way._replace(size=10**6))
    assert capfd.readouterr().err == (
        "note: a.npy: the Jacobian of 'mask' is 70,000 × 40,000, 11.2 GB and 40,000 gradients; --classes or "
        "--output-name asks for less of it\n"
    )


def test_a_disk_without_room_is_told_before_the_work(monkeypatch, here):
    monkeypatch.setattr(jacobian_rows, "IN_MEMORY", 0)
    monkeypatch.setattr(jacobian_rows.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10}))
    with pytest.raises(OutputError, match="the Jacobian of 'y' by 'x'") as caught:
        jacobian(decoder(), np.ones(3, np.float32))
    assert caught.value.reason == "disk-full"


def recurrent(folder):
    x = keras.Input((5, 2), name="x")
    model = keras.Model(x, L.Dense(3, name="y")(L.LSTM(4)(x)))
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(0, 0.5, w.shape) for w in model.get_weights()])
    model.export(folder, verbose=False)
    return model


def test_recurrent_saved_models_where_tensorflow_s_own_jacobian_fails(tmp_path):
    from saliency_cli.models.graphs.saved_model import load
    from saliency_cli.models.options import OpenOptions

    model = recurrent(tmp_path / "saved")
    x = np.random.default_rng(1).normal(size=(5, 2)).astype(np.float32)
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    signature = loaded.signatures["serving_default"]
    point = tf.constant(x[None])

    def own(call):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(point)
            y = call()
        return tape.batch_jacobian(y, point, experimental_use_pfor=False)

    with pytest.raises(ValueError, match="handle data"):
        own(lambda: signature(x=point)["output_0"])
    expected = own(lambda: model(point))[0].numpy()
    for mode in ("reverse", "forward"):
        found = jacobian(load(tmp_path / "saved", OpenOptions()), x, mode=mode).found.arrays()
        assert np.abs(next(iter(found.values())) - expected).max() < 1e-5 * np.abs(expected).max()


def test_batches_of_any_size_give_the_same():
    known = opened(keras.saving.load_model(SAMPLES / "table.keras", compile=False))
    inputs = numbers_for(known)
    first, second = (array(jacobian(known, inputs, batch_size=n), "class", "features") for n in (1, 16))
    assert np.allclose(first, second, rtol=1e-5, atol=1e-7)


def test_what_is_not_finite_is_an_error_of_the_input(saliency):
    x = keras.Input((2,), name="x")
    keras.Model(x, keras.ops.sqrt(x)).save("root.keras")
    np.save("zero.npy", np.float32([0, 1]))
    np.save("fine.npy", np.float32([4, 1]))
    told = saliency("jacobian", "root.keras", "zero.npy", "fine.npy", "-o", "out")
    assert told.code == 3
    assert "NaN or infinite" in told.err
    (good,) = [
        line for line in map(json.loads, Path("out/items.jsonl").read_text().splitlines()) if line["status"] == "ok"
    ]
    assert good["results"]["norm"] == pytest.approx(np.hypot(0.25, 0.5))


def test_a_space_that_one_output_lacks(saliency):
    x = keras.Input((2,), name="x")
    keras.Model(x, {"a": L.Dense(2, "softmax", name="a")(x), "b": L.Dense(2, name="b")(x)}).save("two.keras")
    np.save("x.npy", np.float32([0, 1]))
    told = saliency("jacobian", "two.keras", "x.npy", "--space", "probability")
    assert told.code == 2
    assert "output 'b': --space probability needs a softmax" in told.err
    assert saliency("jacobian", "two.keras", "x.npy", "--space", "probability", "--output-name", "a").code == 0
    assert saliency("jacobian", "two.keras", "x.npy", "--classes", "0", "--mode", "forward").code == 2


def test_pictures_are_a_tile_for_each_class_and_others_a_matrix(saliency):
    from PIL import Image

    folder = SAMPLES.parent / "sample_images"
    told = saliency("jacobian", SAMPLES / "shapes.keras", folder / "shapes_star.png", "-o", "tiles.png")
    assert told.code == 0, told.err
    with Image.open("tiles.png") as picture:
        assert picture.width > 400
        assert json.loads(picture.text["saliency"])["study"] == "jacobian"
        colours = len(picture.convert("RGB").getcolors(1 << 20))
    assert colours > 100
    told = saliency("jacobian", SAMPLES / "shapes.keras", folder / "shapes_star.png", "-o", "arrays.npz")
    with np.load("arrays.npz") as found:
        assert found["class/picture"].shape == (4, 64, 64, 3)
        assert found["class/picture.axes"].tolist() == ["class", "row", "column", "channel"]
