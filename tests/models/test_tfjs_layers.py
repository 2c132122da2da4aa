"""TensorFlow.js layers-models, opened: what TensorFlow.js recorded, what others saved, and a corpus of our own."""

import base64
import contextlib
import functools
import json
import random
import shutil

import numpy as np
import pytest
from tfjs_writer import evaluate, seeded, shared, topology_of, weights_of, write, write_model

from saliency_cli.autodiff.compiled import Compiled
from saliency_cli.autodiff.runtime import keras, tf
from saliency_cli.errors import ModelError
from saliency_cli.models.options import OpenOptions
from saliency_cli.models.tfjs.loading import load

L = keras.layers
RNG = np.random.default_rng(11)

# Agreement with TensorFlow.js: relative to the largest value, and a floor for what is zero but for rounding
# (the sum of a softmax).
RELATIVE, FLOOR = 2e-6, 5e-8


def opened(path):
    return load(path, OpenOptions())


def drawn(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def agree(found, expected, what, relative=RELATIVE, floor=FLOOR):
    assert found.shape == expected.shape, what
    worst, largest = np.abs(found - expected).max(initial=0), np.abs(expected).max(initial=0)
    assert worst <= relative * largest + floor, f"{what}: {worst:.2e} of {largest:.2e}"


# ---- what TensorFlow.js itself recorded -------------------------------------------------------------------

TFJS = ("m1_mlp", "m2_cnn", "m2b_gap", "m3_functional", "m4_rnn", "m4b_embed", "m5_residual", "m6_nested")
CONVERTED = ("cnn_f16", "cnn_h5", "cnn_u8", "nested_h5", "rnn_h5", "twoio_h5")
RECORDED = [*(f"tfjs/{name}" for name in TFJS), *(f"tfjs_converted/k2_{name}" for name in CONVERTED)]


def array(record):
    kind = "<i4" if record["dtype"] == "int32" else "<f4"
    return np.frombuffer(base64.b64decode(record["data"]), kind).reshape(record["shape"])


def weighted(outputs):
    """Each output's values times cos(1), cos(2), … — the recorded scalar `wsum`."""
    return tf.add_n(
        [
            tf.reduce_sum(tf.reshape(y, [-1]) * np.cos(np.arange(1, np.prod(y.shape) + 1)).astype("f4"))
            for y in outputs
        ]
    )


def scores(labels):
    def truth(y):
        return tf.one_hot(labels, y.shape[-1])

    return {
        "sum": lambda ys: tf.add_n([tf.reduce_sum(y) for y in ys]),
        "wsum": weighted,
        "predict_wsum": weighted,
        "out0_c0": lambda ys: tf.reduce_sum(ys[0][..., 0]),
        "ce_keras": lambda ys: tf.reduce_mean(keras.losses.categorical_crossentropy(truth(ys[0]), ys[0])),
        "ce_plain": lambda ys: tf.reduce_mean(-tf.reduce_sum(truth(ys[0]) * tf.math.log(ys[0]), -1)),
        "ce_logits": lambda ys: tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(truth(ys[0]), ys[0])),
    }


@pytest.mark.parametrize("name", RECORDED)
def test_outputs_and_gradients_are_those_of_tensorflow_js(name):
    folder = shared(f"reference/{name}")
    recorded = json.loads((folder / "ref.json").read_text())
    model = opened(folder)
    inputs = [array(record) for record in recorded["inputs"]]
    known = scores([int(label) for label in recorded.get("labels", [])])
    for target, expected in recorded["targets"].items():
        outputs, gradients = evaluate(model, inputs, known[target])
        for i, record in enumerate(recorded["outputs"]):
            agree(outputs[i], array(record), f"output {i}")
        if isinstance(expected, dict):
            assert "error" in expected  # TensorFlow.js can't differentiate it
            continue
        for i, record in enumerate(expected):
            # Its gradient of nearest upsampling is right for the first sample of a batch only.
            rows = slice(1) if name.endswith("m5_residual") else slice(None)
            agree(gradients[i][rows], array(record)[rows], f"{target} with respect to input {i}")


@pytest.mark.parametrize("name", ["k3_cnn_h5", "k3_rnn_h5"])
def test_what_keras_3_converted_opens_where_tensorflow_js_throws(name):
    model = opened(shared(f"reference/tfjs_converted/{name}"))
    x = drawn(2, *model.inputs[0].shape)
    (y,), (gradient,) = evaluate(model, [x])
    assert np.allclose(y.sum(-1), 1, atol=1e-5)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0


# ---- what others saved ---------------------------------------------------------------------------------------


def test_cnn_explainer_knows_its_own_photographs():
    from PIL import Image

    model = opened(shared("wild/cnnexplainer_tfjs"))
    folder = shared("wild/images/cnnexplainer")
    classes = ["bug", "bus", "car", "espresso", "koala", "orange", "panda", "pepper", "pizza", "boat"]
    files = {file.name.partition("_")[0]: file for file in sorted(folder.glob("*.jpeg"))}
    pictures = [np.asarray(Image.open(files[name]).convert("RGB").resize((64, 64))) / 255 for name in files]
    (y,), (gradient,) = evaluate(model, [np.stack(pictures)], lambda ys: tf.reduce_sum(tf.reduce_max(ys[0], -1)))
    assert set(files) == set(classes)
    top = y.argmax(-1)
    assert len(set(top)) >= 8  # ten photographs of ten classes
    assert np.isfinite(gradient).all()
    assert (np.abs(gradient).reshape(len(top), -1).max(-1) > 0).all()


@pytest.mark.parametrize(("name", "inputs"), [("doodlenet_tfjs", 1), ("cvae_quickdraw_tfjs", 2)])
def test_wild_models_have_finite_gradients(name, inputs):
    model = opened(shared(f"wild/{name}"))
    assert len(model.inputs) == inputs
    _, gradients = evaluate(model, [np.abs(drawn(2, *spec.shape)) for spec in model.inputs])
    assert len(gradients) == inputs
    assert all(np.isfinite(gradient).all() and np.abs(gradient).max() > 0 for gradient in gradients)


def test_a_volume_too_large_for_a_gradient_opens_and_says_so(tmp_path):
    source = shared("wild/brainchop_model5_gw_ae_tfjs")
    model = opened(source)
    assert model.inputs[0].shape == (256, 256, 256, 1)
    assert any("GiB of activations" in note for note in model.notes)
    small = tmp_path / "small"
    shutil.copytree(source, small)
    text = (small / "model.json").read_text()
    (small / "model.json").write_text(text.replace("256, 256, 256", "48, 48, 48").replace("256,256,256", "48,48,48"))
    model = opened(small)
    assert model.inputs[0].shape == (48, 48, 48, 1)
    assert not model.notes
    _, (gradient,) = evaluate(model, [np.abs(drawn(1, 48, 48, 48, 1))])
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0


# ---- a corpus of our own ----------------------------------------------------------------------------------------


def sequential(shape, *layers, name="model"):
    return seeded(keras.Sequential([keras.Input(shape), *layers], name=name))


def same(folder, model, *, relative=RELATIVE, **options):
    """Write a Keras model as TensorFlow.js would, open it, and compare it with the original."""
    found = opened(write_model(folder, model, **options))
    x = drawn(2, *model.inputs[0].shape[1:])
    (y,), (gradient,) = evaluate(found, [x])
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        expected = model(x, training=False)
        value = tf.reduce_sum(expected**2)
    agree(y, expected.numpy(), "output", relative)
    agree(gradient, tape.gradient(value, x).numpy(), "gradient", 10 * relative)
    return found


PICTURE, SERIES = (8, 9, 3), (6, 4)
LAYERS = {
    "Conv1D": (SERIES, lambda: L.Conv1D(5, 3, padding="causal", activation="elu")),
    "Conv2D": (PICTURE, lambda: L.Conv2D(4, 3, strides=2, activation="selu")),
    "Conv2D groups": ((6, 6, 4), lambda: L.Conv2D(4, 3, groups=2, use_bias=False)),
    "Conv3D": ((5, 5, 5, 2), lambda: L.Conv3D(3, 2, activation="softplus")),
    "Conv1DTranspose": (SERIES, lambda: L.Conv1DTranspose(3, 2, strides=2)),
    "Conv2DTranspose": (PICTURE, lambda: L.Conv2DTranspose(4, 3, strides=2, padding="same", activation="mish")),
    "Conv3DTranspose": ((3, 3, 3, 2), lambda: L.Conv3DTranspose(2, 2)),
    "SeparableConv1D": (SERIES, lambda: L.SeparableConv1D(5, 3)),
    "SeparableConv2D": (PICTURE, lambda: L.SeparableConv2D(5, 3, depth_multiplier=2, activation="gelu")),
    "DepthwiseConv2D": (PICTURE, lambda: L.DepthwiseConv2D(3, depth_multiplier=2, padding="same")),
    "ConvLSTM2D": ((3, 6, 6, 2), lambda: L.ConvLSTM2D(3, 3, return_sequences=True)),
    "MaxPooling1D": (SERIES, lambda: L.MaxPooling1D(2)),
    "MaxPooling2D": (PICTURE, lambda: L.MaxPooling2D(3, 2, "same")),
    "AveragePooling2D": (PICTURE, lambda: L.AveragePooling2D(3, 2, "same")),
    "AveragePooling3D": ((4, 4, 4, 1), lambda: L.AveragePooling3D(2)),
    "GlobalMaxPooling1D": (SERIES, L.GlobalMaxPooling1D),
    "GlobalAveragePooling1D": (SERIES, L.GlobalAveragePooling1D),
    "GlobalAveragePooling2D": (PICTURE, L.GlobalAveragePooling2D),
    "Cropping2D": (PICTURE, lambda: L.Cropping2D(((1, 2), (0, 1)))),
    "ZeroPadding2D": (PICTURE, lambda: L.ZeroPadding2D(((1, 0), (2, 1)))),
    "UpSampling2D": (PICTURE, lambda: L.UpSampling2D((2, 3))),
    "UpSampling1D": (SERIES, lambda: L.UpSampling1D(2)),
    "Flatten": (PICTURE, lambda: L.Flatten("channels_first")),
    "Reshape": (PICTURE, lambda: L.Reshape((-1, 8))),
    "Permute": (PICTURE, lambda: L.Permute((3, 1, 2))),
    "RepeatVector": ((5,), lambda: L.RepeatVector(3)),
    "Dense": (SERIES, lambda: L.Dense(3, "log_softmax")),
    "BatchNormalization": (PICTURE, lambda: L.BatchNormalization(epsilon=0.02)),
    "BatchNormalization of rows": (PICTURE, lambda: L.BatchNormalization(axis=1, scale=False)),
    "LayerNormalization": (SERIES, lambda: L.LayerNormalization(epsilon=0.02)),
    "PReLU": (PICTURE, lambda: L.PReLU(shared_axes=[1, 2])),
    "LeakyReLU": ((5,), lambda: L.LeakyReLU(0.17)),
    "ELU": ((5,), lambda: L.ELU(0.7)),
    "ReLU": ((5,), lambda: L.ReLU(1.5, 0.1, 0.2)),
    "Softmax": (SERIES, lambda: L.Softmax(1)),
    "Activation": ((5,), lambda: L.Activation("swish")),
    "Rescaling": (PICTURE, lambda: L.Rescaling(1 / 127.5, -1)),
    "Dropout": ((5,), lambda: L.Dropout(0.5)),
    "SpatialDropout1D": (SERIES, lambda: L.SpatialDropout1D(0.5)),
    "GaussianNoise": ((5,), lambda: L.GaussianNoise(0.5)),
    "RandomFlip": (PICTURE, lambda: L.RandomFlip("horizontal")),
    "CenterCrop": (PICTURE, lambda: L.CenterCrop(4, 5)),
    "SimpleRNN": (SERIES, lambda: L.SimpleRNN(3, return_sequences=True, go_backwards=True)),
    "LSTM": (SERIES, lambda: L.LSTM(4)),
    "GRU": (SERIES, lambda: L.GRU(4, reset_after=False, return_sequences=True)),
    "GRU reset after": (SERIES, lambda: L.GRU(4, use_bias=True)),
    "Bidirectional": (SERIES, lambda: L.Bidirectional(L.LSTM(3, return_sequences=True), merge_mode="ave")),
    "TimeDistributed": (SERIES, lambda: L.TimeDistributed(L.Dense(3, "tanh"))),
}


@pytest.mark.parametrize("name", LAYERS)
def test_each_layer_is_what_it_was(tmp_path, name):
    shape, layer = LAYERS[name]
    same(tmp_path, sequential(shape, layer(), L.Flatten(name="end")))


def classifier():
    return sequential(
        PICTURE,
        L.Conv2D(6, 3, activation="relu"),
        L.BatchNormalization(),
        L.SeparableConv2D(4, 3),
        L.GlobalAveragePooling2D(),
        L.Dense(3, "softmax"),
        name="classifier",
    )


@pytest.mark.parametrize(
    "options",
    [{}, {"shards": 4}, {"groups": 3}, {"suffix": ""}, {"format": "layers-model"}, {"version": "2.2.4-tf"}],
    ids=str,
)
def test_however_the_weights_are_cut(tmp_path, options):
    model = same(tmp_path, classifier(), **options)
    assert model.format == "tfjs-layers"
    assert model.name == "classifier"
    assert model.parameters == classifier().count_params()


@pytest.mark.parametrize(("kind", "relative"), [("uint8", 0.2), ("uint16", 1e-3), ("float16", 1e-2)])
def test_quantised_models_are_near(tmp_path, kind, relative):
    same(tmp_path, classifier(), relative=relative, quantised=kind)


def test_y_is_two_x_plus_one(tmp_path):
    topology = {
        "class_name": "Sequential",
        "config": [{"class_name": "Dense", "config": {"units": 1, "name": "d", "batch_input_shape": [None, 1]}}],
        "keras_version": "tfjs-layers 1.3.1",
        "backend": "tensor_flow.js",
    }
    weights = {"d/kernel": np.float32([[2]]), "d/bias": np.float32([1])}
    model = opened(write(tmp_path, topology, weights))
    (y,), (gradient,) = evaluate(model, [[[1], [2], [-3]]], lambda ys: tf.reduce_sum(ys[0]))
    assert y.tolist() == [[3], [5], [-5]]
    assert gradient.tolist() == [[2], [2], [2]]
    values = Compiled(model, model.outputs[0].name, batch=3)(
        {model.inputs[0].name: np.float32([[1], [2], [-3]])},
        np.ones((3, 1), np.float32),
        np.zeros(3, bool),
        np.zeros(3, np.float32),
    )
    assert next(iter(values.gradients.values())).tolist() == [[2], [2], [2]]


def sigmoid(x):
    return np.clip(0.2 * x + 0.5, 0, 1)


def lstm(x, kernel, recurrent, bias):
    """An LSTM written out, with the hard sigmoid of TensorFlow.js."""
    units = len(recurrent)
    h = c = np.zeros((len(x), units))
    for t in range(x.shape[1]):
        z = x[:, t] @ kernel + h @ recurrent + bias
        i, f, g, o = np.split(z, 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    return h


def gru(x, kernel, recurrent, bias):
    """A GRU written out, its reset gate before the product, with the hard sigmoid of TensorFlow.js."""
    units = len(recurrent)
    h = np.zeros((len(x), units))
    for t in range(x.shape[1]):
        inner = x[:, t] @ kernel + bias
        gates = inner[:, : 2 * units] + h @ recurrent[:, : 2 * units]
        z, r = np.split(sigmoid(gates), 2, axis=-1)
        h = z * h + (1 - z) * np.tanh(inner[:, 2 * units :] + (r * h) @ recurrent[:, 2 * units :])
    return h


@pytest.mark.parametrize(("kind", "cell", "gates"), [("LSTM", lstm, 4), ("GRU", gru, 3)])
@pytest.mark.parametrize(
    "written", [{}, {"recurrent_activation": "hard_sigmoid"}, {"recurrentActivation": "hardSigmoid"}]
)
@pytest.mark.parametrize("both_ways", [False, True])
def test_gates_are_hard_sigmoids_of_tensorflow_js(tmp_path, kind, cell, gates, written, both_ways):
    arrays = [(3 * drawn(4, 5 * gates), drawn(5, 5 * gates), drawn(5 * gates)) for _ in range(2)]
    config = {"name": "r", "units": 5, "batch_input_shape": [None, 6, 4], **written}
    layer, prefixes = {"class_name": kind, "config": config}, ["r"]
    if both_ways:
        layer = {"class_name": "Bidirectional", "config": {"name": "b", "layer": layer, "merge_mode": "concat"}}
        prefixes = ["b/forward_r", "b/backward_r"]
    weights = {
        f"{prefix}/{name}": value
        for prefix, values in zip(prefixes, arrays, strict=False)
        for name, value in zip(("kernel", "recurrent_kernel", "bias"), values, strict=True)
    }
    topology = {"class_name": "Sequential", "config": {"name": "m", "layers": [layer]}}
    x = drawn(2, 6, 4)
    (y,), (gradient,) = evaluate(opened(write(tmp_path, topology, weights)), [x])
    expected = [cell(x, *arrays[0])] + ([cell(x[:, ::-1], *arrays[1])] if both_ways else [])
    agree(y, np.concatenate(expected, -1), "output", 1e-5)
    assert np.isfinite(gradient).all()


def test_bilinear_upsampling_has_no_half_pixel_centres(tmp_path):
    config = {"name": "u", "size": [2, 2], "interpolation": "bilinear", "batch_input_shape": [None, None, None, 1]}
    topology = {
        "class_name": "Sequential",
        "config": {"name": "m", "layers": [{"class_name": "UpSampling2D", "config": config}]},
    }
    model = opened(write(tmp_path, topology, {}))
    (y,), _ = evaluate(model, [np.float32([[[[0], [2]]]])])
    assert y[0, 0, :, 0].tolist() == [0, 1, 2, 2]
    assert model.outputs[0].shape == (None, None, 1)
    assert any("half-pixel" in note for note in model.notes)


def test_masked_steps_are_averaged_too(tmp_path):
    layers = [
        {"class_name": "Masking", "config": {"name": "k", "maskValue": 0, "batchInputShape": [None, 3, 1]}},
        {"class_name": "GlobalAveragePooling1D", "config": {"name": "g"}},
    ]
    model = opened(write(tmp_path, {"class_name": "Sequential", "config": {"name": "m", "layers": layers}}, {}))
    (y,), (gradient,) = evaluate(model, [np.float32([[[3], [6], [0]]])], lambda ys: tf.reduce_sum(ys[0]))
    assert y.tolist() == [[3]]
    np.testing.assert_allclose(gradient[0, :2, 0], 1 / 3, rtol=1e-6)


def test_thresholded_relu_and_stacked_cells(tmp_path):
    cells = [
        {"class_name": "SimpleRNNCell", "config": {"name": f"c{i}", "units": 3, "activation": "linear"}}
        for i in (0, 1)
    ]
    stacked = {"class_name": "StackedRNNCells", "config": {"name": "s", "cells": cells}}
    layers = [
        {
            "class_name": "RNN",
            "config": {"name": "r", "cell": stacked, "units": 3, "batch_input_shape": [None, 1, 2]},
        },
        {"class_name": "ThresholdedReLU", "config": {"name": "t", "theta": 0.5}},
    ]
    k = [drawn(2, 3), drawn(3, 3)]
    weights = {f"r/RNNCell_{i}/kernel": k[i] for i in (1, 0)}
    weights |= {f"r/RNNCell_{i}/recurrent_kernel": drawn(3, 3) for i in (1, 0)}
    weights |= {f"r/RNNCell_{i}/bias": np.zeros(3, np.float32) for i in (1, 0)}
    model = opened(write(tmp_path, {"class_name": "Sequential", "config": {"name": "m", "layers": layers}}, weights))
    x = drawn(4, 1, 2)
    (y,), _ = evaluate(model, [x])
    z = x[:, 0] @ k[0] @ k[1]
    agree(y, np.where(z > 0.5, z, 0), "output", 1e-6, 1e-6)


def teachable(folder, labels=("cat", "dog"), **more):
    """The shape of a Teachable Machine model: a Sequential in a Sequential, no `format`, no `model_config`."""
    base = topology_of(sequential(PICTURE, L.Conv2D(3, 3, name="conv"), L.GlobalAveragePooling2D(name="pool")))
    base = {"class_name": base["class_name"], "config": {**base["config"], "name": "sequential_1"}}
    head = sequential((3,), L.Dense(4, "relu", name="dense_1"), L.Dense(2, "softmax", use_bias=False, name="dense_2"))
    inner = {"class_name": "Sequential", "config": {**topology_of(head)["config"], "name": "sequential_3"}}
    weights = weights_of(head) | {"conv/kernel": drawn(3, 3, 3, 3), "conv/bias": drawn(3)}
    topology = {
        "class_name": "Sequential",
        "config": {"name": "sequential_4", "layers": [base, inner]},
        "keras_version": "tfjs-layers 1.3.1",
        "backend": "tensor_flow.js",
    }
    write(folder, topology, weights)
    metadata = {"tfjsVersion": "1.3.1", "tmVersion": "2.4.5", "packageName": "@teachablemachine/image"}
    metadata |= {"labels": list(labels), "imageSize": 224, **more}
    (folder / "metadata.json").write_text(json.dumps(metadata))
    return folder


def test_teachable_machine_tells_its_classes_and_its_preparing(tmp_path):
    model = opened(teachable(tmp_path))
    (y,), (gradient,) = evaluate(model, [drawn(2, *PICTURE)], lambda ys: tf.reduce_sum(ys[0][:, 0]))
    assert np.allclose(y.sum(-1), 1)
    assert np.abs(gradient).max() > 0
    assert model.name == "sequential_4"
    assert {layer.path for layer in model.layers} >= {"sequential_1/conv", "sequential_3/dense_2"}
    assert model.class_names == ("cat", "dog")
    (clue, *_) = model.clues[model.inputs[0].name]
    assert clue.kind == "declared"
    assert (clue.scale, clue.offset) == (pytest.approx(1 / 127.5), -1)
    with pytest.raises(ModelError, match="3 classes"):
        opened(teachable(tmp_path, labels="abc"))


def graph_layer(kind, name, calls, **config):
    return {"class_name": kind, "name": name, "config": {"name": name, **config}, "inbound_nodes": calls}


def test_a_nested_model_called_twice(tmp_path):
    inner = [
        graph_layer("InputLayer", "i", [], batch_input_shape=[None, 3]),
        graph_layer("Dense", "d", [[["i", 0, 0, {}]]], units=2, activation="tanh"),
    ]
    inside = {"name": "twin", "layers": inner, "input_layers": [["i", 0, 0]], "output_layers": [["d", 0, 0]]}
    outer = [
        graph_layer("InputLayer", "a", [], batch_input_shape=[None, 3]),
        graph_layer("InputLayer", "b", [], batch_input_shape=[None, 3]),
        {**graph_layer("Model", "twin", [[["a", 0, 0, {}]], [["b", 0, 0, {}]]]), "config": inside},
        graph_layer("Subtract", "s", [[["twin", 1, 0, {}], ["twin", 2, 0, {}]]]),
    ]
    ends = {"input_layers": [["a", 0, 0], ["b", 0, 0]], "output_layers": [["s", 0, 0]]}
    topology = {"class_name": "Model", "config": {"name": "pair", "layers": outer, **ends}}
    kernel, bias = drawn(3, 2), drawn(2)
    model = opened(write(tmp_path, topology, {"d/kernel": kernel, "d/bias": bias}))
    a, b = drawn(4, 3), drawn(4, 3)
    (y,), gradients = evaluate(model, [a, b], lambda ys: tf.reduce_sum(ys[0]))
    agree(y, np.tanh(a @ kernel + bias) - np.tanh(b @ kernel + bias), "output", 1e-6)
    slope = [1 - np.tanh(x @ kernel + bias) ** 2 for x in (a, b)]
    agree(gradients[0], slope[0] @ kernel.T, "gradient of a", 1e-5)
    agree(gradients[1], -slope[1] @ kernel.T, "gradient of b", 1e-5)


def test_states_are_handed_from_one_layer_to_the_next(tmp_path):
    layers = [
        graph_layer("InputLayer", "x", [], batch_input_shape=[None, 5, 3]),
        graph_layer("LSTM", "e", [[["x", 0, 0, {}]]], units=4, return_state=True, recurrent_activation="sigmoid"),
        graph_layer(
            "LSTM",
            "d",
            [[["x", 0, 0, {}], ["e", 0, 1, {}], ["e", 0, 2, {}]]],
            units=4,
            recurrent_activation="sigmoid",
        ),
    ]
    ends = {"input_layers": [["x", 0, 0]], "output_layers": [["d", 0, 0]]}
    x = keras.Input((5, 3))
    _, h, c = L.LSTM(4, return_state=True, name="e")(x)
    expected = seeded(keras.Model(x, L.LSTM(4, name="d")(x, initial_state=[h, c])))
    topology = {"class_name": "Model", "config": {"name": "m", "layers": layers, **ends}}
    model = opened(write(tmp_path, topology, weights_of(expected)))
    x = drawn(2, 5, 3)
    agree(evaluate(model, [x])[0][0], expected(x).numpy(), "output")


def test_names_with_slashes_and_signs_are_kept_apart(tmp_path):
    layers = [
        {
            "class_name": "Dense",
            "config": {"name": "a/b", "units": 2, "batch_input_shape": [None, 2], "use_bias": False},
        },
        {"class_name": "Dense", "config": {"name": "a_b", "units": 2, "use_bias": False}},
        {"class_name": "Dense", "config": {"name": "b (1)", "units": 2, "use_bias": False}},
    ]
    k = [drawn(2, 2) for _ in layers]
    weights = {"b (1)/kernel": k[2], "a_b/kernel": k[1], "a/b/kernel": k[0]}
    model = opened(write(tmp_path, {"class_name": "Sequential", "config": {"name": "m", "layers": layers}}, weights))
    x = drawn(3, 2)
    agree(evaluate(model, [x])[0][0], x @ k[0] @ k[1] @ k[2], "output", 1e-6)


def test_weights_named_as_in_a_keras_file(tmp_path):
    """A converter of `.keras` files keeps the paths in them: the class's name, numbered, and a place."""
    import h5py

    model = sequential(
        SERIES,
        L.Bidirectional(L.LSTM(3, return_sequences=True)),
        L.TimeDistributed(L.Dense(4)),
        L.Dense(4, name="zzz"),
        L.Dropout(0.2),
        L.Dense(4, name="aaa"),
        L.Flatten(),
    )
    model.save_weights(tmp_path / "model.weights.h5")
    weights = {}
    with h5py.File(tmp_path / "model.weights.h5") as file:
        file.visititems(lambda name, item: weights.update({name: item[()]}) if hasattr(item, "dtype") else None)
    assert "layers/dense_1/vars/0" in weights
    weights = {name: np.asarray(value, np.int32 if "seed" in name else np.float32) for name, value in weights.items()}
    found = opened(write(tmp_path / "js", topology_of(model, "3.15.1"), weights))
    x = drawn(2, *SERIES)
    agree(evaluate(found, [x])[0][0], model(x).numpy(), "output")


# ---- what can't be opened right is not opened ------------------------------------------------------------------


def refused(folder, topology, weights, reason, *words):
    with pytest.raises(ModelError) as caught:
        opened(write(folder, topology, weights))
    assert caught.value.reason == reason, caught.value.message
    assert all(word in caught.value.message for word in words), caught.value.message
    assert caught.value.hint


def test_no_weight_is_left_over_and_no_variable_left_alone(tmp_path):
    model = classifier()
    topology, weights = topology_of(model), weights_of(model)
    name = next(name for name in weights if name.endswith("moving_mean"))
    without = {key: value for key, value in weights.items() if key != name}
    refused(tmp_path, topology, without, "weights-mismatch", "moving_mean", name.partition("/")[0])
    refused(tmp_path, topology, weights | {"other/kernel": drawn(2, 2)}, "weights-mismatch", "other/kernel")
    refused(tmp_path, topology, weights | {name: drawn(7)}, "weights-mismatch", name, "(7,)")
    refused(tmp_path, topology, weights | {name.replace("mean", "median"): drawn(6)}, "weights-mismatch", "median")


def test_two_models_whose_layers_have_one_name_are_told_apart_or_refused(tmp_path):
    def part(name):
        dense = {
            "class_name": "Dense",
            "config": {"name": "d", "units": 2, "batch_input_shape": [None, 2], "use_bias": False},
        }
        return {"class_name": "Sequential", "config": {"name": name, "layers": [dense]}}

    topology = {"class_name": "Sequential", "config": {"name": "m", "layers": [part("one"), part("two")]}}
    first, second = drawn(2, 2), drawn(2, 2)
    model = opened(write(tmp_path, topology, {"two/d/kernel": second, "one/d/kernel": first}))
    x = drawn(3, 2)
    agree(evaluate(model, [x])[0][0], x @ first @ second, "output", 1e-6)
    refused(tmp_path, topology, {"d/kernel": first, "m/d/kernel": second}, "weights-mismatch", "d/kernel")


def test_a_topology_can_not_ask_for_more_than_its_weights(tmp_path):
    layers = [{"class_name": "Dense", "config": {"name": "d", "units": 10**9, "batch_input_shape": [None, 4]}}]
    topology = {"class_name": "Sequential", "config": {"name": "m", "layers": layers}}
    refused(tmp_path, topology, {"d/kernel": drawn(4, 4)}, "refused-size")


def test_what_keras_can_not_build_names_the_layer(tmp_path):
    layers = [
        {
            "class_name": "Conv2D",
            "config": {"name": "c", "filters": 2, "kernel_size": [9, 9], "batch_input_shape": [None, 4, 4, 1]},
        }
    ]
    topology = {"class_name": "Sequential", "config": {"name": "m", "layers": layers}}
    refused(tmp_path, topology, {}, "unloadable", "'c'", "Conv2D")


def test_a_layer_that_leads_nowhere_is_an_error(tmp_path):
    layers = [graph_layer("InputLayer", "i", [], batch_input_shape=[None, 3])]
    layers += [graph_layer("Activation", name, [[["i", 0, 0, {}]]], activation="tanh") for name in ("o", "nowhere")]
    ends = {"input_layers": [["i", 0, 0]], "output_layers": [["o", 0, 0]]}
    topology = {"class_name": "Model", "config": {"name": "m", "layers": layers, **ends}}
    refused(tmp_path, topology, {}, "broken-topology", "'nowhere'")
    layers[1]["inbound_nodes"] = [[["nowhere", 0, 0, {}]]]
    layers[2]["inbound_nodes"] = [[["o", 0, 0, {}]]]
    refused(tmp_path, topology, {}, "broken-topology", "waits")


def _places(value, path=()):
    yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from _places(value[key], (*path, key))


def test_damaged_files_are_refused_and_never_crash(tmp_path):
    """One value of a good file changed or gone: it opens, or a `ModelError` says what is wrong."""
    draw = random.Random(4)
    values = [None, 0, -1, 1.5, True, "x", "", [], {}, [None, 3], 10**12, [[["a", 0, 0]]], {"class_name": "Dense"}]
    teachable(tmp_path)
    good = (tmp_path / "model.json").read_text()
    places = [place for place in _places(json.loads(good)) if place]
    for _ in range(150):
        document = json.loads(good)
        *way, last = draw.choice(places)
        holder = functools.reduce(lambda value, key: value[key], way, document)
        if draw.random() < 0.25:
            del holder[last]
        else:
            holder[last] = draw.choice(values)
        (tmp_path / "model.json").write_text(json.dumps(document))
        with contextlib.suppress(ModelError):
            opened(tmp_path)


def test_keras_is_left_as_it_was(tmp_path):
    before = keras.config.dtype_policy().name, keras.config.floatx(), keras.saving.get_custom_objects().copy()
    opened(write_model(tmp_path, classifier()))
    assert (keras.config.dtype_policy().name, keras.config.floatx(), keras.saving.get_custom_objects()) == before


def test_masked_steps_of_both_ways_repeat_the_state(tmp_path):
    cell = {
        "class_name": "SimpleRNN",
        "config": {"name": "r", "units": 1, "activation": "linear", "return_sequences": True},
    }
    layers = [
        {"class_name": "Masking", "config": {"name": "k", "mask_value": 0, "batch_input_shape": [None, 3, 1]}},
        {"class_name": "Bidirectional", "config": {"name": "b", "layer": cell, "merge_mode": "sum"}},
    ]
    one, zero = np.ones((1, 1), np.float32), np.zeros(1, np.float32)
    values = {"kernel": one, "recurrent_kernel": 0 * one, "bias": zero}
    weights = {f"b/{way}_r/{name}": value for way in ("forward", "backward") for name, value in values.items()}
    model = opened(write(tmp_path, {"class_name": "Sequential", "config": {"name": "m", "layers": layers}}, weights))
    (y,), _ = evaluate(model, [np.float32([[[3], [6], [0]]])])
    assert y[0, :, 0].tolist() == [6, 12, 6]  # Keras 3 gives 0 in the masked step
    assert any("masked" in note for note in model.notes)


def test_a_mask_that_is_dropped_is_no_warning(tmp_path):
    """Keras warns of a layer that takes no notice of a mask, at building and at every trace."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = write_model(tmp_path / "m", sequential((5, 2), L.Masking(), L.Flatten(), L.Dense(2)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate(opened(path), [drawn(1, 5, 2)])
