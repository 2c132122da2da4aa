"""The examples the project grew from, each by its numbers, from a saved file to the answer."""

import json
from pathlib import Path

import numpy as np
import pytest

import saliency_cli as sal
from saliency_cli.autodiff.runtime import keras, tf
from saliency_cli.cli import entry

L = keras.layers


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("NO_COLOR", "1")


def saved(model, weights=None, name="model.keras"):
    """Save a model, with weights where they are given; return its path."""
    if weights is not None:
        model.set_weights([np.asarray(w, np.float32) for w in weights])
    model.save(name)
    return name


def saliency(*arguments):
    """Run a command line; it must end well."""
    assert entry.run([str(argument) for argument in arguments]) == 0


def by_weights(path, x, **given):
    return sal.parameters(sal.load(path), x, **given)


def line():
    """y = 2x + 1."""
    return keras.Sequential([keras.Input((1,), name="x"), L.Dense(1, name="line")])


def write_for_the_browser(folder):
    """y = 2x + 1 as a TensorFlow.js layers-model."""
    folder.mkdir()
    (folder / "group1-shard1of1.bin").write_bytes(np.float32([2, 1]).tobytes())
    dense = {"name": "line", "units": 1, "activation": "linear", "use_bias": True, "batch_input_shape": [None, 1]}
    layers = [{"class_name": "Dense", "config": {**dense, "dtype": "float32", "trainable": True}}]
    topology = {
        "class_name": "Sequential",
        "config": {"name": "sequential", "layers": layers},
        "keras_version": "tfjs-layers 4.22.0",
        "backend": "tensor_flow.js",
    }
    weights = [{"name": "line/kernel", "shape": [1, 1]}, {"name": "line/bias", "shape": [1]}]
    manifest = [
        {"paths": ["group1-shard1of1.bin"], "weights": [{**weight, "dtype": "float32"} for weight in weights]}
    ]
    document = {"format": "layers-model", "modelTopology": topology, "weightsManifest": manifest}
    (folder / "model.json").write_text(json.dumps(document))
    return folder / "model.json"


@pytest.mark.parametrize("kind", ["keras", "hdf5", "saved model", "tensorflow.js"])
def test_2x_plus_1_gives_2_2_2(tmp_path, kind):
    model = line()
    model.set_weights([np.float32([[2]]), np.float32([1])])
    if kind == "tensorflow.js":
        path = write_for_the_browser(tmp_path / "browser")
    elif kind == "saved model":
        model.export("exported", verbose=False)
        path = "exported"
    else:
        path = saved(model, name="model.keras" if kind == "keras" else "model.h5")
    np.save("x.npy", np.float32([[1], [2], [3]]))
    saliency("compute", path, "x.npy", "-o", "out", "--format", "npy", "--format", "json")
    lines = [json.loads(text) for text in Path("out/items.jsonl").read_text().splitlines()]
    assert [item["maps"][0]["target"]["value"] for item in lines] == [3, 5, 7]
    for item in lines:
        (entry_,) = item["maps"][0]["inputs"].values()
        np.testing.assert_array_equal(np.load(f"out/{entry_['files']['npy']}"), [2])
    weights = by_weights(path, np.float32([[1], [2], [3]])).gradients.values()
    assert {array.shape: array.item() for array in weights} == {(1, 1): 2.0, (1,): 1.0}  # the means of x and of 1


def test_w_x_plus_b_gives_w():
    w = [0.5, -1.5, 2.0]
    path = saved(keras.Sequential([keras.Input((3,)), L.Dense(1)]), [np.reshape(w, (3, 1)), [4]])
    found = sal.load(path).attribute(np.float32([1, 2, 3]))
    np.testing.assert_array_equal(found.values, w)
    assert found.record.target.value == 0.5 - 3 + 6 + 4


def test_a_dense_layer_of_ones_with_relu():
    """Every unit is Σx where that is positive: its gradient is 1 everywhere, else 0 and told."""
    path = saved(keras.Sequential([keras.Input((3,)), L.Dense(2, "relu", kernel_initializer="ones", use_bias=False)]))
    model = sal.load(path)
    for unit in (0, 1):
        np.testing.assert_array_equal(model.attribute(np.float32([1, 2, 3]), target=unit).values, [1, 1, 1])
    both = model.attribute(np.float32([1, 2, 3]), target="0 + 1")
    np.testing.assert_array_equal(both.values, [2, 2, 2])
    assert both.record.target.value == 12
    dead = model.attribute(np.float32([-1, -2, 1]), target=0)
    np.testing.assert_array_equal(dead.values, [0, 0, 0])
    assert dead.flags == ("all-zero",)


def test_a_network_of_784_inputs():
    keras.utils.set_random_seed(1)
    live = keras.Sequential([keras.Input((784,)), L.Dense(128, "relu"), L.Dense(10, "softmax")])
    path = saved(live)
    x = np.random.default_rng(0).random(784, np.float32)
    np.save("digit.npy", x)
    saliency("compute", path, "digit.npy", "--target", "3", "--space", "probability", "-o", "map.npy")
    with tf.GradientTape() as tape:
        tensor = tf.constant(x[None])
        tape.watch(tensor)
        probability = live(tensor)[0, 3]
    expected = tape.gradient(probability, tensor).numpy()[0]
    found = np.load("map.npy")
    assert found.shape == (784,)
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


def test_two_outputs_each_and_summed():
    """u = 2x₀ + x₁ and v = −3x₁: (2, 1) and (0, −3), summed (2, −2)."""
    x = keras.Input((2,), name="x")
    model = keras.Model(x, [L.Dense(1, use_bias=False, name="u")(x), L.Dense(1, use_bias=False, name="v")(x)])
    path = saved(model, [[[2], [1]], [[0], [-3]]])
    opened = sal.load(path)
    u, v = (opened.attribute(np.float32([5, 7]), output_name=name) for name in ("u", "v"))
    np.testing.assert_array_equal(u.values, [2, 1])
    np.testing.assert_array_equal(v.values, [0, -3])
    assert (u.record.target.value, v.record.target.value) == (17, -21)
    np.testing.assert_array_equal(u.values + v.values, [2, -2])
    both = sal.jacobian(opened, np.float32([5, 7])).found.arrays()
    assert {output: array.tolist() for (output, _), array in both.items()} == {"u": [[2, 1]], "v": [[0, -3]]}
    np.testing.assert_array_equal(sum(both.values())[0], [2, -2])


def test_two_inputs():
    """s = 5a + b² at a = 2, b = 3: 5 and 6."""
    a, b = keras.Input((1,), name="a"), keras.Input((1,), name="b")
    path = saved(keras.Model([a, b], L.Add()([L.Dense(1, use_bias=False)(a), L.Multiply()([b, b])])), [[[5]]])
    found = sal.load(path).attribute({"a": np.float32([2]), "b": np.float32([3])})
    np.testing.assert_array_equal(found.inputs["a"], [5])
    np.testing.assert_array_equal(found.inputs["b"], [6])
    assert found.record.target.value == 19
    np.savez("both.npz", a=np.float32([2]), b=np.float32([3]))
    saliency("compute", path, "both.npz", "-o", "maps.npz")
    with np.load("maps.npz") as maps:
        assert (maps["a"], maps["b"]) == ([5], [6])


LOSS = """
import tensorflow as tf

def mean_squared(truth, output):
    return tf.reduce_mean(tf.square(output - truth), axis=-1)
"""


def test_a_mean_squared_loss_of_one_s_own_with_clipping_by_norm_1(capsys):
    """L = mean (y − t)² with y = W x: ∂L/∂x = 2/m Wᵀ(y − t), which is cut down to length 1."""
    kernel = np.float32([[1, 2], [3, -1], [0.5, 4]])
    path = saved(keras.Sequential([keras.Input((3,)), L.Dense(2, use_bias=False)]), [kernel])
    Path("loss.py").write_text(LOSS)
    x, t = np.float32([1, -1, 2]), np.float32([0.5, 1])
    np.save("x.npy", x)
    whole = kernel @ (x @ kernel - t)
    length = np.linalg.norm(whole)
    assert length > 1
    arguments = ("--loss", "loss.py:mean_squared", "--label", "0.5,1")
    saliency("compute", path, "x.npy", *arguments, "-o", "whole.npy")
    np.testing.assert_allclose(np.load("whole.npy"), whole, rtol=1e-6)
    capsys.readouterr()
    saliency("compute", path, "x.npy", *arguments, "--clip-norm", "1", "-o", "clipped.npy", "--json")
    found = np.load("clipped.npy")
    np.testing.assert_allclose(found, whole / length, rtol=1e-6)
    np.testing.assert_allclose(found, tf.clip_by_norm(whole, 1.0).numpy(), rtol=1e-6)
    details = json.loads(capsys.readouterr().out)["items"][0]["maps"][0]["details"]
    assert details["norm_before"] == pytest.approx(length, rel=1e-6)
    assert details["norm_after"] == pytest.approx(1, rel=1e-6)


def test_w_x_plus_b_with_a_mean_squared_error_by_weights_and_bias():
    """L = 1/m Σ (W x + b − t)²: ∂L/∂W = 2/m x ⊗ (y − t), ∂L/∂b = 2/m (y − t)."""
    kernel, bias = np.float32([[1, 2], [3, 4], [5, 6]]), np.float32([0.5, -0.5])
    path = saved(keras.Sequential([keras.Input((3,)), L.Dense(2, name="d")]), [kernel, bias])
    x, t = np.float32([1, 2, -1]), np.float32([1, 0])
    error = x @ kernel + bias - t
    found = by_weights(path, x, loss="mse", label="1,0")
    np.testing.assert_allclose(found.gradients["d/kernel"], np.outer(x, error), rtol=1e-6)
    np.testing.assert_allclose(found.gradients["d/bias"], error, rtol=1e-6)
    assert found.values == pytest.approx([np.mean(error**2)])
    np.save("x.npy", x)
    saliency("parameters", path, "x.npy", "--loss", "mse", "--label", "1,0", "-o", "gradients.npz")
    with np.load("gradients.npz") as arrays:
        assert list(arrays) == ["d/kernel", "d/bias"]
        np.testing.assert_allclose(arrays["d/kernel"], np.outer(x, error), rtol=1e-6)


def test_a_batch_loss_whose_gradients_apply_gradients_takes():
    """One step of gradient descent with them is the step that `fit` takes on the batch."""
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(8, 3)).astype(np.float32), rng.normal(size=(8, 1)).astype(np.float32)
    keras.utils.set_random_seed(2)
    live = keras.Sequential([keras.Input((3,)), L.Dense(4, "tanh"), L.Dense(1)])
    path = saved(live)
    found = by_weights(path, x, loss="mse", label=[float(value) for value in t[:, 0]])
    stepped, fitted = (keras.saving.load_model(path, compile=False) for _ in range(2))
    optimizer = keras.optimizers.SGD(0.1)
    optimizer.apply_gradients(list(zip(map(tf.constant, found.as_list()), stepped.trainable_weights, strict=True)))
    fitted.compile(keras.optimizers.SGD(0.1), "mse")
    fitted.fit(x, t, batch_size=8, epochs=1, shuffle=False, verbose=0)
    for one, other in zip(stepped.get_weights(), fitted.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_a_convolutional_network_with_categorical_cross_entropy():
    keras.utils.set_random_seed(3)
    live = keras.Sequential(
        [
            keras.Input((12, 12, 1)),
            L.Conv2D(4, 3, activation="relu"),
            L.MaxPooling2D(),
            L.Flatten(),
            L.Dense(3, "softmax"),
        ]
    )
    path = saved(live)
    x = np.random.default_rng(1).random((4, 12, 12, 1), np.float32)
    labels = [0, 2, 1, 2]
    with tf.GradientTape() as tape:
        tensor = tf.constant(x)
        tape.watch(tensor)
        truth = tf.one_hot(labels, 3)
        loss = keras.losses.categorical_crossentropy(truth, live(tensor, training=False))
        mean = tf.reduce_mean(loss)
    by_input, by_weight = tape.gradient(mean, [tensor, live.trainable_weights])
    opened = sal.load(path)
    for sample, label, expected, value in zip(x, labels, 4 * by_input.numpy(), loss.numpy(), strict=True):
        found = opened.attribute(sample, loss="categorical_crossentropy", label=label)
        assert np.abs(found.values - expected).max() < 1e-4 * np.abs(expected).max()
        assert found.record.target.value == pytest.approx(value, rel=1e-5)
    found = by_weights(path, x, loss="categorical_crossentropy", label=labels)
    for one, other in zip(found.as_list(), by_weight, strict=True):
        assert np.abs(one - other.numpy()).max() < 1e-4 * np.abs(other.numpy()).max()
    assert found.values.mean() == pytest.approx(float(mean), rel=1e-5)


def test_a_disconnected_input_is_told_by_name(capsys):
    used, spare = keras.Input((2,), name="used"), keras.Input((2,), name="spare")
    both = keras.Model([used, spare], [L.Dense(1, use_bias=False, name="y")(used), L.Dense(1, name="z")(spare)])
    weights = both.get_weights()
    path = saved(both, [np.float32([[2], [3]]), *weights[1:]])
    found = sal.load(path).attribute({"used": np.ones(2), "spare": np.ones(2)}, output_name="y")
    assert list(found.inputs) == ["used"]
    np.testing.assert_array_equal(found.values, [2, 3])
    assert found.flags == ("disconnected",)
    np.savez("x.npz", used=np.ones(2, np.float32), spare=np.ones(2, np.float32))
    saliency("compute", path, "x.npz", "--output-name", "y", "-o", "map.npz")
    assert "input 'spare' is not connected to the target" in capsys.readouterr().err
    found = by_weights(path, {"used": np.ones(2), "spare": np.ones(2)}, output_name="y")
    assert found.results["disconnected"] == ["z/kernel", "z/bias"]
    assert found.as_list()[1:] == [None, None]


def power(n):
    """y = xⁿ of one number."""
    x = keras.Input((1,), name="x")
    return saved(keras.Model(x, L.Multiply()([x] * n)))


def test_x_squared_at_3_gives_6():
    found = sal.load(power(2)).attribute(np.float32([3]))
    assert (found.values.tolist(), found.record.target.value) == ([6], 9)


@pytest.mark.parametrize(("n", "first", "second"), [(2, 6, 2), (3, 27, 18)])
def test_second_derivatives_by_nested_tapes(capsys, n, first, second):
    """At 3: x² has 6 and 2, x³ has 27 and, nested, 6x = 18."""
    np.save("x.npy", np.float32([3]))
    saliency("hessian", power(n), "x.npy", "--json", "--quiet")
    found = json.loads(capsys.readouterr().out)["items"][0]["results"]
    assert found["target"]["value"] == 3**n
    assert found["gradient_norm"] == pytest.approx(first)
    assert found["eigenvalues"] == pytest.approx([second])
    assert found["trace"] == pytest.approx(second)
    called = sal.hessian(sal.load("model.keras"), np.float32([3]))
    assert called.found.matrix.tolist() == [[pytest.approx(second)]]
    assert called.results["eigenvalues"] == pytest.approx([second])
