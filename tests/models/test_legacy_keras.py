"""Files of Keras 1 and 2 opened: the values and gradients of the models they were written from."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from legacy_corpus import (
    MODELS,
    L,
    assert_agrees,
    each_layer,
    edit,
    functional,
    gradients,
    inputs_of,
    keras_1,
    of_opened,
    pictures,
    relative,
    save,
    seeded,
    tf_keras,
)

from saliency_cli.autodiff.compiled import Compiled
from saliency_cli.autodiff.runtime import keras, tf
from saliency_cli.errors import ModelError, UsageError
from saliency_cli.models.legacy.config import read_legacy
from saliency_cli.models.legacy.loading import load
from saliency_cli.models.options import OpenOptions

DEFAULT = OpenOptions()
WILD = Path(__file__).resolve().parents[2].parent / "shared" / "wild"


@pytest.fixture(autouse=True)
def _fresh_names():
    tf_keras.backend.clear_session()


@pytest.mark.parametrize("name", MODELS)
def test_an_hdf5_file_is_the_model_it_was_saved_from(tmp_path, name):
    live = seeded(MODELS[name]())
    opened = load(save(live, tmp_path / "model.h5"), DEFAULT)
    assert_agrees(opened, live, 2e-2 if name == "half-precision" else 1e-5)
    assert opened.format == "keras-hdf5"
    assert opened.writer.startswith("Keras 2.")
    assert [spec.name for spec in opened.inputs] == [layer.name for layer in live._input_layers]
    assert opened.parameters == live.count_params()


ZIPPED = [
    "arithmetic", "augmented", "convolution", "gru-before", "half-precision", "local-1d", "lstm", "nested",
    "normalized", "simple-rnn", "two-by-two",
]  # fmt: skip


@pytest.mark.parametrize("name", ZIPPED)
def test_a_keras_zip_of_version_2_is_the_model_it_was_saved_from(tmp_path, name):
    live = seeded(MODELS[name]())
    opened = load(save(live, tmp_path / "model.keras"), DEFAULT)
    assert_agrees(opened, live, 2e-2 if name == "half-precision" else 1e-5)
    assert opened.format == "keras-zip"


def test_a_zip_of_keras_2_12_names_modules_that_have_moved(tmp_path):
    live = seeded(MODELS["nested"]())
    path = save(live, tmp_path / "new.keras")
    old = rezip(
        path, tmp_path / "old.keras", lambda text: text.replace("keras.src.engine", "keras.engine").replace(
            '"keras.layers"', '"keras.layers.core"'), version="2.12.0"
    )  # fmt: skip
    assert_agrees(load(old, DEFAULT), live)
    assert load(old, DEFAULT).writer == "Keras 2.12.0"


def rezip(path, target, change, version=None):
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                content = change(content.decode()).encode()
            if name == "metadata.json" and version:
                content = json.dumps({"keras_version": version}).encode()
            archive.writestr(name, content)
    return target


def bare_list(config):
    return {"class_name": "Sequential", "config": config["config"]["layers"]}


def with_old_initializers(config):
    def change(layer):
        for key in layer["config"]:
            if key.endswith("_initializer"):
                layer["config"][key] = {"class_name": "GlorotUniform", "config": {"seed": None, "dtype": "float32"}}

    return each_layer(config, change)


def with_unknown_initializers(config):
    return each_layer(
        config,
        lambda layer: layer["config"].update(
            {key: "kernel_init1" for key in layer["config"] if key.endswith("kernel_initializer")}
        ),
    )


def with_groups(config):
    def change(layer):
        if "Depthwise" in layer["class_name"]:
            layer["config"].update(groups=1, kernel_initializer="glorot_uniform", filters=None)

    return each_layer(config, change)


def with_old_class_name(config):
    return {**config, "class_name": "Model"}


def without_reset_after(config):
    return each_layer(config, lambda layer: layer["config"].pop("reset_after", None))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("convolution", with_old_initializers),
        ("lstm", with_old_initializers),
        ("convolution", with_unknown_initializers),
        ("separable", with_unknown_initializers),
        ("depthwise", with_groups),
        ("nested", with_groups),
        ("two-by-two", with_old_class_name),
        ("gru-before", without_reset_after),
    ],
)
def test_old_ways_to_write_a_configuration(tmp_path, name, change):
    live = seeded(MODELS[name]())
    assert_agrees(load(edit(save(live, tmp_path / "m.h5"), change), DEFAULT), live)


def test_a_bare_list_of_layers_whose_first_knows_the_shape(tmp_path):
    live = seeded(tf_keras.Sequential([L.Dense(4, "tanh", input_shape=(3,)), L.Dense(2)]))

    def old(config):
        first, *rest = [layer for layer in config["config"]["layers"] if layer["class_name"] != "InputLayer"]
        first["config"]["batch_input_shape"] = [None, 3]
        return {"class_name": "Sequential", "config": [first, *rest]}

    opened = load(edit(save(live, tmp_path / "m.h5"), old), DEFAULT)
    assert opened.inputs[0].shape == (3,)
    assert_agrees(opened, live)


def test_nested_bare_lists(tmp_path):
    live = seeded(MODELS["nested"]())

    def old(config):
        def change(layer):
            if layer["class_name"] == "Sequential":
                layer["config"] = layer["config"]["layers"]

        for layer in config["config"]["layers"][1]["config"]["layers"]:
            name = layer["config"].get("name")
            change(layer)
            if isinstance(layer["config"], list):
                layer["name"] = name
        return bare_list(config)

    assert_agrees(load(edit(save(live, tmp_path / "m.h5"), old), DEFAULT), live)


def test_a_slash_in_a_name(tmp_path):
    x = inputs = tf_keras.Input((6, 6, 3), name="images")
    for name in ("fire2/squeeze1x1", "fire2/expand3x3"):
        x = L.Conv2D(2, 2, name=name)(x)
    live = seeded(tf_keras.Model(inputs, L.Dense(2, name="fire2/out")(L.Flatten()(x))))
    opened = load(save(live, tmp_path / "m.h5"), DEFAULT)
    assert_agrees(opened, live)
    assert opened.outputs[0].name == "fire2/out"
    assert "fire2/expand3x3" in {layer.path for layer in opened.layers}


def test_a_frozen_layer_in_a_nested_model_keeps_its_weights(tmp_path):
    inner = functional(L.Dense(4, trainable=False), L.Dense(4), L.BatchNormalization(), shape=(4,))
    live = seeded(functional(inner, L.Dense(2), shape=(4,)))
    assert_agrees(load(save(live, tmp_path / "m.h5"), DEFAULT), live)


def test_a_stateful_layer_forgets_between_samples(tmp_path):
    live = seeded(functional(L.LSTM(3, stateful=True), L.Dense(2), shape=(4, 2), batch_size=2))
    opened = load(save(live, tmp_path / "m.h5"), DEFAULT)
    x = inputs_of(opened)
    first, second = of_opened(opened, x), of_opened(opened, x)
    np.testing.assert_array_equal(first[0][0], second[0][0])
    assert "stateful" in opened.notes[0]
    assert opened.batch == 2


def test_half_precision_is_computed_in_float32_and_said(tmp_path):
    live = seeded(MODELS["half-precision"]())
    opened = load(save(live, tmp_path / "m.h5"), DEFAULT)
    full = functional(L.Dense(5, "relu"), L.Dense(3, "softmax"), shape=(4,))
    full.set_weights(live.get_weights())
    assert_agrees(opened, full)
    assert opened.notes == ("half-precision layers are computed in float32",)


# --- Keras 1 -----------------------------------------------------------------------------------------------


def drawn(*shape, seed=0):
    return np.random.default_rng((*shape, seed)).normal(0, 0.5, shape).astype(np.float32)


def test_keras_1_pictures(tmp_path):
    kernel, bias, w, b = drawn(3, 2, 3, 4), drawn(4), drawn(48, 5), drawn(5)
    gamma, beta, mean, variance = drawn(4, seed=1), drawn(4, seed=2), drawn(4, seed=3), drawn(4, seed=4) ** 2 + 0.1
    convolution = {
        "name": "convolution2d_1", "trainable": True, "batch_input_shape": [None, 8, 7, 3], "input_dtype": "float32",
        "nb_filter": 4, "nb_row": 3, "nb_col": 2, "subsample": [1, 1], "border_mode": "same", "dim_ordering": "tf",
        "init": "glorot_uniform", "activation": "relu", "bias": True, "W_regularizer": None, "b_regularizer": None,
        "activity_regularizer": None, "W_constraint": None, "b_constraint": None,
    }  # fmt: skip
    normal = {
        "name": "batchnormalization_1", "epsilon": 1e-5, "mode": 0, "axis": -1, "momentum": 0.99,
        "gamma_regularizer": None, "beta_regularizer": None,
    }  # fmt: skip
    pool = {"name": "pool", "pool_size": [2, 2], "strides": [2, 2], "border_mode": "valid", "dim_ordering": "tf"}
    last = {"name": "dense_1", "output_dim": 5, "init": "uniform", "activation": "softmax", "input_dim": None,
            "bias": True}  # fmt: skip
    path = keras_1(
        tmp_path / "model",
        [
            ("Convolution2D", convolution, {"c_W": kernel, "c_b": bias}),
            ("BatchNormalization", normal, {"g": gamma, "b": beta, "m": mean, "s": variance}),
            ("MaxPooling2D", pool, {}),
            ("Dropout", {"name": "dropout_1", "p": 0.5}, {}),
            ("Flatten", {"name": "flatten_1"}, {}),
            ("Dense", last, {"d_W": w, "d_b": b}),
        ],
    )
    live = functional(
        L.Conv2D(4, (3, 2), padding="same", activation="relu"), L.BatchNormalization(epsilon=1e-5),
        L.MaxPooling2D(), L.Flatten(), L.Dense(5, "softmax"), shape=(8, 7, 3),
    )  # fmt: skip
    live.set_weights([kernel, bias, gamma, beta, mean, variance, w, b])
    opened = load(path, DEFAULT)
    assert_agrees(opened, live)
    assert opened.writer == "Keras 1.2.2"
    assert "Theano" in opened.notes[0]


@pytest.mark.parametrize("version", ["1.2.2", ""])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
def test_keras_1_recurrent_arrays_are_merged(tmp_path, kind, version):
    gates = {"LSTM": "icfo", "GRU": "zrh", "SimpleRNN": "h"}[kind]
    order = {"LSTM": "ifco", "GRU": "zrh", "SimpleRNN": "h"}[kind]
    parts = {gate: (drawn(3, 4, seed=i), drawn(4, 4, seed=i), drawn(4, seed=i)) for i, gate in enumerate(gates)}
    arrays = {f"{name}_{gate}": part for gate in gates for name, part in zip("WUb", parts[gate], strict=True)}
    config = {
        "name": "rnn", "batch_input_shape": [None, 6, 3], "input_dtype": "float32", "output_dim": 4,
        "init": "uniform", "inner_init": "orthogonal", "activation": "tanh", "return_sequences": False,
        "go_backwards": False, "stateful": False, "unroll": False, "consume_less": "cpu", "input_dim": 3,
        "input_length": 6,
        "dropout_W": 0.1, "dropout_U": 0.2, "W_regularizer": None, "U_regularizer": None, "b_regularizer": None,
    }  # fmt: skip
    if kind != "SimpleRNN":
        config["inner_activation"] = "hard_sigmoid"
    if kind == "LSTM":
        config["forget_bias_init"] = "one"
    live_options = {"GRU": {"reset_after": False}}.get(kind, {})
    if kind != "SimpleRNN":
        live_options["recurrent_activation"] = "hard_sigmoid"
    live = functional(getattr(L, kind)(4, **live_options), shape=(6, 3))
    live.set_weights([np.concatenate([parts[gate][i] for gate in order], -1) for i in range(3)])
    opened = load(keras_1(tmp_path / "m.h5", [(kind, config, arrays)], version=version), DEFAULT)
    assert_agrees(opened, live)
    # The formula of Keras 2, written out: what hard_sigmoid meant when the file was saved.
    if kind == "LSTM":
        x = inputs_of(opened)["rnn_input"]
        (found,), _ = of_opened(opened, {"rnn_input": x})
        np.testing.assert_allclose(found, lstm_by_hand(x, parts), atol=1e-6)


def lstm_by_hand(x, parts):
    def hard_sigmoid(z):
        return np.clip(0.2 * z + 0.5, 0, 1)

    h = c = np.zeros((len(x), 4))
    for t in range(x.shape[1]):
        z = {gate: x[:, t] @ w + h @ u + b for gate, (w, u, b) in parts.items()}
        c = hard_sigmoid(z["f"]) * c + hard_sigmoid(z["i"]) * np.tanh(z["c"])
        h = hard_sigmoid(z["o"]) * np.tanh(c)
    return h


def test_keras_1_branches_merged(tmp_path):
    w1, w2 = drawn(3, 4), drawn(3, 4, seed=1)

    def dense(name, w):
        return "Dense", {"name": name, "output_dim": 4, "bias": False, "activation": "tanh"}, {f"{name}_W": w}

    layers = [
        ("InputLayer", {"name": "x", "batch_input_shape": [None, 3], "input_dtype": "float32", "sparse": False}, {}),
        dense("a", w1),
        dense("b", w2),
        ("Merge", {"name": "merge_1", "mode": "concat", "concat_axis": -1, "mode_type": "raw", "layers": []}, {}),
    ]

    def document(config):
        nodes = {"x": [], "a": [[["x", 0, 0]]], "b": [[["x", 0, 0]]], "merge_1": [[["a", 0, 0], ["b", 0, 0]]]}
        named = [{**layer, "name": layer["config"]["name"], "inbound_nodes": nodes[layer["config"]["name"]]}
                 for layer in config]  # fmt: skip
        inner = {"name": "m", "layers": named, "input_layers": [["x", 0, 0]], "output_layers": [["merge_1", 0, 0]]}
        return {"class_name": "Model", "config": inner}

    opened = load(keras_1(tmp_path / "m.h5", layers, functional_inbound=document), DEFAULT)
    x = drawn(2, 3, seed=5)
    (found,), _ = of_opened(opened, {"x": x})
    np.testing.assert_allclose(found, np.tanh(np.concatenate([x @ w1, x @ w2], -1)), atol=1e-6)


def test_a_layer_that_no_later_keras_has(tmp_path):
    path = keras_1(tmp_path / "m.h5", [("Highway", {"name": "highway_1", "batch_input_shape": [None, 3]}, {})])
    with pytest.raises(ModelError, match="'highway_1' is a Highway layer of Keras 1") as caught:
        load(path, DEFAULT)
    assert caught.value.reason == "gone-layer"


def test_kernels_of_theano_are_turned_around(tmp_path):
    live = seeded(pictures(L.Conv2D(2, 3)))
    path = save(live, tmp_path / "m.h5")
    with h5py.File(path, "r+") as file:
        file.attrs["backend"] = b"theano"
        file.attrs["keras_version"] = b"2.1.0"
        group = file["model_weights"]
        name = next(name for name in group if name.startswith("conv2d"))
        kernel = group[name][name]["kernel:0"]
        kernel[...] = kernel[()][::-1, ::-1]
    assert_agrees(load(path, DEFAULT), live)


def test_keras_1_kernels_of_channels_first_layers(tmp_path):
    kernel = drawn(3, 2, 3, 4)
    options = {
        "name": "c", "batch_input_shape": [None, 3, 8, 7], "nb_filter": 4, "nb_row": 3, "nb_col": 2, "bias": False,
        "border_mode": "valid", "dim_ordering": "th", "activation": "relu",
    }  # fmt: skip
    path = keras_1(tmp_path / "m.h5", [("Convolution2D", options, {"W": kernel.transpose(3, 2, 0, 1)})])
    live = functional(L.Conv2D(4, (3, 2), use_bias=False, activation="relu"), shape=(8, 7, 3))
    live.set_weights([kernel])
    opened = load(path, DEFAULT)
    assert opened.inputs[0].channels == 0
    x = inputs_of(opened)["c_input"]
    (found,), _ = of_opened(opened, {"c_input": x})
    np.testing.assert_allclose(found, live(x.transpose(0, 2, 3, 1)).numpy().transpose(0, 3, 1, 2), atol=1e-5)


def test_keras_1_wrote_the_layers_of_a_nested_model_beside_its_own(tmp_path):
    w1, w2 = drawn(3, 4), drawn(4, 2)
    first = {"name": "a", "output_dim": 4, "bias": False, "activation": "tanh", "batch_input_shape": [None, 3]}
    last = {"name": "b", "output_dim": 2, "bias": False, "activation": "linear"}
    layers = [("Dense", first, {"a_W": w1}), ("Dense", last, {"b_W": w2})]

    def document(config):
        inner = {"class_name": "Sequential", "config": config[:1]}
        return {"class_name": "Sequential", "config": [inner, config[1]]}

    opened = load(keras_1(tmp_path / "m.h5", layers, functional_inbound=document), DEFAULT)
    x = drawn(2, 3, seed=5)
    (found,), _ = of_opened(opened, {opened.inputs[0].name: x})
    np.testing.assert_allclose(found, np.tanh(x @ w1) @ w2, atol=1e-6)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_layers_that_ran_on_a_gpu_only(tmp_path, kind):
    from tf_keras.src.saving.legacy.hdf5_format import _convert_rnn_weights

    live = seeded(functional(getattr(L, kind)(4, name="rnn"), L.Dense(3), shape=(6, 3)))
    path = save(live, tmp_path / "m.h5")
    arrays = _convert_rnn_weights(type(f"CuDNN{kind}", (), {})(), live.layers[1].get_weights())
    with h5py.File(path, "r+") as file:
        group = weights_of(file)["rnn"]
        for name, array in zip([*group.attrs["weight_names"]], arrays, strict=True):
            del group[name]
            group.create_dataset(name, data=array)

    def change(layer):
        if layer["class_name"] == kind:
            names = ("name", "units", "return_sequences", "go_backwards", "stateful", "trainable")
            layer["class_name"] = f"CuDNN{kind}"
            layer["config"] = {name: layer["config"][name] for name in names}

    assert_agrees(load(edit(path, lambda config: each_layer(config, change)), DEFAULT), live)


@pytest.mark.parametrize("written", [lambda node: node, lambda node: node_bytes(node).decode()])
def test_a_graph_operation_as_a_layer(tmp_path, written):
    live = seeded(functional(L.Rescaling(1 / 255, name="mul"), L.Dense(3), shape=(4,)))
    node = {"name": "mul", "op": "Mul", "input": ["input_1", "mul/y"], "attr": {"T": {"type": "DT_FLOAT"}}}

    def change(layer):
        if layer["config"]["name"] == "mul":
            layer["class_name"] = "TensorFlowOpLayer"
            layer["config"] = {"name": "mul", "trainable": True, "dtype": "float32", "node_def": written(node),
                               "constants": {"1": 1 / 255}}  # fmt: skip

    path = save(live, tmp_path / "m.h5")
    opened = load(edit(path, lambda config: each_layer(config, change)), DEFAULT)
    assert_agrees(opened, live)
    (clue,) = next(iter(opened.clues.values()))
    assert (clue.kind, round(clue.scale * 255, 5)) == ("rescaling", 1.0)


def node_bytes(node):
    from google.protobuf import json_format

    return json_format.ParseDict(node, tf.compat.v1.NodeDef()).SerializeToString()


def test_a_model_that_was_built_on_an_example(tmp_path):
    live = tf_keras.Sequential([L.Conv1D(2, 2), L.Flatten(), L.Dense(2)])
    live.build((None, 6, 3))
    opened = load(save(seeded(live), tmp_path / "m.h5"), DEFAULT)
    assert opened.inputs[0].shape == (6, 3)
    assert_agrees(opened, live)


# --- weights ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names", [("net.h5", "net.json"), ("net_weights.h5", "net.json"), ("w.weights.h5", "w.json")]
)
def test_weights_with_their_architecture_beside(tmp_path, names):
    live = seeded(MODELS["convolution"]())
    weights, architecture = tmp_path / names[0], tmp_path / names[1]
    live.save_weights(weights)
    architecture.write_text(live.to_json(), encoding="utf-8")
    opened = load(weights, DEFAULT)
    assert_agrees(opened, live)


def test_weights_of_another_architecture(tmp_path):
    live = seeded(MODELS["convolution"]())
    live.save_weights(tmp_path / "net.h5")
    (tmp_path / "net.json").write_text(MODELS["depthwise"]().to_json(), encoding="utf-8")
    with pytest.raises(ModelError, match=r"don't fit the configuration in '.*net.json'") as caught:
        load(tmp_path / "net.h5", DEFAULT)
    assert caught.value.reason == "weights-mismatch"


def weights_of(file):
    return file["model_weights"]


def drop_layer(file):
    group = weights_of(file)
    names = list(group.attrs["layer_names"])
    group.attrs["layer_names"] = [name for name in names if not name.startswith("dense")]


def drop_weight(file):
    group = weights_of(file)["dense"]
    group.attrs["weight_names"] = list(group.attrs["weight_names"])[:1]


def add_layer(file):
    group = weights_of(file)
    extra = group.create_group("extra")
    extra.create_dataset("kernel:0", data=np.ones(3))
    extra.attrs["weight_names"] = [b"kernel:0"]
    group.attrs["layer_names"] = [*group.attrs["layer_names"], "extra"]


def reshape(file):
    group = weights_of(file)["dense"]["dense"]
    kernel = group["kernel:0"][()]
    del group["kernel:0"]
    group.create_dataset("kernel:0", data=kernel.T)


@pytest.mark.parametrize("damage", [drop_layer, drop_weight, add_layer, reshape])
def test_every_weight_must_find_its_place(tmp_path, damage):
    path = save(seeded(MODELS["convolution"]()), tmp_path / "m.h5")
    with h5py.File(path, "r+") as file:
        damage(file)
    with pytest.raises(ModelError) as caught:
        load(path, DEFAULT)
    assert caught.value.reason == "weights-mismatch"


def test_weights_in_another_order_go_by_their_names(tmp_path):
    live = seeded(MODELS["convolution"]())
    path = save(live, tmp_path / "m.h5")
    with h5py.File(path, "r+") as file:
        group = weights_of(file)["batch_normalization"]
        group.attrs["weight_names"] = [*group.attrs["weight_names"]][::-1]
    assert_agrees(load(path, DEFAULT), live)


@pytest.mark.parametrize("damage", ["left over", "missing"])
def test_every_weight_of_a_zip_must_find_its_place(tmp_path, damage):
    live = seeded(MODELS["convolution"]())
    path = save(live, tmp_path / "m.keras")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "parts")
    with h5py.File(tmp_path / "parts" / "model.weights.h5", "r+") as file:
        top = "_layer_checkpoint_dependencies" if "_layer_checkpoint_dependencies" in file else "layers"
        if damage == "missing":
            del file[top]["dense"]["vars"]["1"]
        else:
            file.create_dataset(f"{top}/stranger/vars/0", data=np.ones(3))
    with zipfile.ZipFile(tmp_path / "n.keras", "w") as archive:
        for name in ("config.json", "metadata.json", "model.weights.h5"):
            archive.write(tmp_path / "parts" / name, name)
    with pytest.raises(ModelError) as caught:
        load(tmp_path / "n.keras", DEFAULT)
    assert caught.value.reason == "weights-mismatch"


def test_the_hash_of_the_weights_is_theirs_alone(tmp_path):
    live = seeded(MODELS["lstm"]())
    first = load(save(live, tmp_path / "a.h5"), DEFAULT)
    second = load(save(live, tmp_path / "b.keras"), DEFAULT)
    other = load(save(seeded(MODELS["lstm"](), 1), tmp_path / "c.h5"), DEFAULT)
    assert first.weights_sha256 == second.weights_sha256 != other.weights_sha256
    assert len(first.sha256) == 64


# --- what a model tells -------------------------------------------------------------------------------------


def test_losses_and_clues_and_layers(tmp_path):
    live = seeded(MODELS["arithmetic"]())
    live.compile(loss=tf_keras.losses.CategoricalCrossentropy(label_smoothing=0.1))
    for name in ("m.h5", "m.keras"):
        opened = load(save(live, tmp_path / name), DEFAULT)
        ((output, loss),) = opened.losses.items()
        assert output == opened.outputs[0].name
        assert keras.losses.get(loss).get_config()["label_smoothing"] == 0.1
        (clue,) = next(iter(opened.clues.values()))
        assert (clue.kind, round(clue.scale * 127.5, 6), clue.offset) == ("rescaling", 1.0, -1.0)


def test_layers_of_nested_models_are_tapped_by_path(tmp_path):
    opened = load(save(seeded(MODELS["nested"]()), tmp_path / "m.h5"), DEFAULT)
    function = Compiled(opened, opened.outputs[0].name, batch=1)
    assert function.facts.head == "softmax"
    assert "model/backbone/conv2d" in function.facts.layers
    assert set(function.facts.layers) <= {layer.path for layer in opened.layers}
    assert sum(layer.parameters for layer in opened.layers) == opened.parameters


@pytest.mark.parametrize("name", ["lstm", "gru-after", "gru-before"])
def test_recurrent_gradients_are_finite_differences(tmp_path, name):
    live = seeded(MODELS[name]())
    opened = load(save(live, tmp_path / "m.h5"), DEFAULT)
    x = inputs_of(opened)
    (key,) = x
    _, found = of_opened(opened, x)
    function = tf.function(lambda value: opened.forward({key: value}).outputs, autograph=False)

    def score(value):
        output = np.concatenate([np.ravel(part) for part in function(tf.constant(value)).values()])
        return float(np.sum(output * np.cos(np.arange(output.size))))

    for index in [(0, 0, 0), (1, 3, 2), (0, 5, 1)]:
        step = np.zeros_like(x[key])
        step[index] = 1e-2
        slope = (score(x[key] + step) - score(x[key] - step)) / 2e-2
        assert abs(slope - found[key][index]) < 1e-2 * np.abs(found[key]).max()


def test_no_recurrent_loop_hides_in_a_function(tmp_path):
    opened = load(save(seeded(MODELS["bidirectional"]()), tmp_path / "m.h5"), DEFAULT)
    specs = {name: tf.TensorSpec(value.shape) for name, value in inputs_of(opened).items()}
    graph = (
        tf.function(lambda named: opened.forward(named).outputs, autograph=False).get_concrete_function(specs).graph
    )
    assert not [operation.name for operation in graph.get_operations() if "PartitionedCall" in operation.type]


def test_the_model_is_left_as_it_was(tmp_path, capfd):
    path = save(seeded(MODELS["lstm"]()), tmp_path / "m.h5")
    capfd.readouterr()
    before = settings()
    opened = load(path, DEFAULT)
    of_opened(opened, inputs_of(opened))
    assert settings() == before
    assert capfd.readouterr() == ("", "")


def settings():
    return [
        (library.backend.floatx(), library.backend.image_data_format(), library.backend.epsilon())
        for library in (tf_keras, keras)
    ] + [tf_keras.mixed_precision.global_policy().name, keras.mixed_precision.dtype_policy().name]


def test_opening_prints_nothing_in_a_fresh_process(tmp_path):
    path = save(seeded(MODELS["dense"]()), tmp_path / "m.h5")
    code = (
        "from pathlib import Path; from saliency_cli.models.legacy.loading import load;"
        f"from saliency_cli.models.options import OpenOptions; load(Path({str(path)!r}), OpenOptions())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


# --- code in a file -----------------------------------------------------------------------------------------

BYTECODE = ["4wEAAAAAAAAAAQAAAAIAAABTAAAAcwgAAAB8AGQBGwBTAA==\n", None, None]


def with_lambda(path, **options):
    live = seeded(functional(L.Activation("linear", name="scale"), L.Dense(3, "softmax"), shape=(4,)))

    def change(layer):
        if layer["config"]["name"] == "scale":
            layer["class_name"] = "Lambda"
            layer["config"] = {
                "name": "scale", "trainable": True, "function": BYTECODE, "function_type": "lambda",
                "output_shape": None, "output_shape_type": "raw", "arguments": {}, **options,
            }  # fmt: skip

    return edit(save(live, path), lambda config: each_layer(config, change)), live


def test_a_lambda_is_refused_by_name_with_one_way_out(tmp_path):
    path, _ = with_lambda(tmp_path / "m.h5")
    with pytest.raises(ModelError, match="layer 'scale' is a Lambda") as caught:
        load(path, DEFAULT)
    assert caught.value.reason == "refused-lambda"
    assert caught.value.hint.endswith("--replace scale=LAYER:KEY=VALUE")


def test_a_lambda_replaced_by_a_stock_layer(tmp_path):
    path, live = with_lambda(tmp_path / "m.h5")
    opened = load(path, OpenOptions(replace=("scale=Rescaling:scale=0.5,offset=-1",)))
    twin = functional(L.Rescaling(0.5, -1.0), L.Dense(3, "softmax"), shape=(4,))
    twin.set_weights(live.get_weights())
    assert_agrees(opened, twin)
    (clue,) = next(iter(opened.clues.values()))
    assert (clue.scale, clue.offset) == (0.5, -1.0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("scale=Reshape:target_shape=[2,2]", "weights-mismatch"), ("scale=Reshape:target_shape=[3]", "unloadable")],
)
def test_a_replacement_of_another_shape(tmp_path, text, reason):
    path, _ = with_lambda(tmp_path / "m.h5")
    with pytest.raises(ModelError) as caught:
        load(path, OpenOptions(replace=(text,)))
    assert caught.value.reason == reason
    assert caught.value.hint == f"does {text} give an output of the shape that the Lambda gave?"
    assert "\n" not in caught.value.message


def test_a_kernel_is_not_turned_until_it_fits(tmp_path):
    path = save(seeded(pictures(L.Conv2D(5, 2))), tmp_path / "m.h5")
    with h5py.File(path, "r+") as file:
        group = weights_of(file)["conv2d"]["conv2d"]
        kernel = group["kernel:0"][()]
        del group["kernel:0"]
        group.create_dataset("kernel:0", data=kernel.transpose(2, 3, 1, 0))
    with pytest.raises(ModelError, match=r"'conv2d' takes no kernel of the shape \(3, 5, 2, 2\)"):
        load(path, DEFAULT)


def test_a_replacement_for_no_layer(tmp_path):
    path, _ = with_lambda(tmp_path / "m.h5")
    with pytest.raises(UsageError, match="no layer 'scales'") as caught:
        load(path, OpenOptions(replace=("scales=Flatten",)))
    assert caught.value.hint == "did you mean 'scale'?"


def test_a_lambda_that_names_a_function_of_the_users_file(tmp_path):
    path, live = with_lambda(tmp_path / "m.h5", function="halve", function_type="function", module="os")
    with pytest.raises(ModelError, match="'scale' is a Lambda"):
        load(path, DEFAULT)
    file = tmp_path / "own_functions.py"
    file.write_text("def halve(x):\n    return x / 2\n", encoding="utf-8")
    twin = functional(L.Rescaling(0.5), L.Dense(3, "softmax"), shape=(4,))
    twin.set_weights(live.get_weights())
    assert_agrees(load(path, OpenOptions(custom_objects=str(file))), twin)


@pytest.mark.parametrize("name", ["m.h5", "m.keras"])
def test_a_lambda_of_a_trusted_file_runs(tmp_path, name):
    live = seeded(functional(L.Lambda(lambda x: x * x, name="square"), L.Dense(3), shape=(4,)))
    path = save(live, tmp_path / name)
    with pytest.raises(ModelError, match="'square' is a Lambda"):
        load(path, DEFAULT)
    assert_agrees(load(path, OpenOptions(trust=True)), live)
    replaced = load(path, OpenOptions(replace=("square=ReLU",)))
    twin = functional(L.ReLU(), L.Dense(3), shape=(4,))
    twin.set_weights(live.get_weights())
    assert_agrees(replaced, twin)


OWN_MODEL = """
import tf_keras as keras

class Pair(keras.Model):
    def __init__(self, units=3, **options):
        super().__init__(**options)
        self.units = units
        self.first = keras.layers.Dense(units, "tanh")
        self.second = keras.layers.Dense(2, "softmax")

    def call(self, x):
        return {"kind": self.second(self.first(x)), "code": self.first(x)}

    def get_config(self):
        return {**super().get_config(), "units": self.units}
"""


def test_a_model_of_the_users_own_class(tmp_path):
    file = tmp_path / "own_models.py"
    file.write_text(OWN_MODEL, encoding="utf-8")
    scope = {}
    exec(OWN_MODEL, scope)
    live = scope["Pair"](4)
    live(np.zeros((1, 5), np.float32))
    opened = load(save(seeded(live), tmp_path / "m.keras"), OpenOptions(custom_objects=str(file)))
    assert [spec.shape for spec in opened.inputs] == [(5,)]
    assert [(output.name, output.shape) for output in opened.outputs] == [("code", (4,)), ("kind", (2,))]
    assert [layer.parameters for layer in opened.layers] == [24, 10]
    assert_agrees(opened, live)


OWN_LAYER = """
import tf_keras as keras

class Doubled(keras.layers.Layer):
    def call(self, x):
        return 2 * x
"""


@pytest.mark.parametrize("name", ["m.h5", "m.keras"])
def test_a_class_of_the_users_own(tmp_path, name):
    file = tmp_path / "own_layers.py"
    file.write_text(OWN_LAYER, encoding="utf-8")
    scope = {}
    exec(OWN_LAYER, scope)
    live = seeded(functional(scope["Doubled"](), L.Dense(3), shape=(4,)))
    path = save(live, tmp_path / name)
    with pytest.raises(ModelError, match="needs 'Doubled'") as caught:
        load(path, DEFAULT)
    assert caught.value.reason == "custom-class"
    assert_agrees(load(path, OpenOptions(custom_objects=str(file))), live)
    file.write_text(OWN_LAYER.replace("tf_keras", "keras"), encoding="utf-8")
    with pytest.raises(UsageError, match="'Doubled' is a layer of Keras 3"):
        load(path, OpenOptions(custom_objects=str(file)))


def test_a_function_with_effects_is_not_called(tmp_path):
    marker = tmp_path / "marker"
    path = save(seeded(MODELS["arithmetic"]()), tmp_path / "m.h5")

    def change(layer):
        if layer["class_name"] == "TFOpLambda" and layer["config"]["function"] == "math.tanh":
            layer["config"]["function"] = "io.write_file"
            layer["inbound_nodes"][0][0] = str(marker)

    edit(path, lambda config: each_layer(config, change))
    with pytest.raises(ModelError, match=r"calls tf.io.write_file; the file was refused"):
        load(path, DEFAULT)
    assert not marker.exists()


# --- files saved by others ----------------------------------------------------------------------------------

REFUSED = {
    "dl4j_model_lambda": "refused-lambda",
    "gpucom_model6": "refused-lambda",
    "pilotnet_lambda": "refused-lambda",
    "slimnet_portrait_seg": "refused-lambda",
}


def wild_files():
    found = [path for path in sorted(WILD.rglob("*")) if path.suffix in (".h5", ".hdf5", ".keras")]
    return [path for path in found if "recorded_outputs" not in path.parts]


@pytest.fixture(scope="session")
def wild():
    if not WILD.is_dir():
        pytest.skip("models saved by others are not beside this project")
    return WILD


@pytest.mark.parametrize("path", wild_files(), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_file_saved_by_others_opens_or_is_refused_for_the_right_reason(path):
    if read_legacy(path) is None:
        pytest.skip("written by Keras 3")
    reason = REFUSED.get(path.parent.name)
    if reason:
        with pytest.raises(ModelError) as caught:
            load(path, DEFAULT)
        assert caught.value.reason == reason
        return
    opened = load(path, DEFAULT)
    inputs = inputs_of(opened, batch=1)
    if path.stem == "tfkeras__misc_0":  # token numbers, given as floats
        with pytest.raises(ModelError, match=r"cast to int32 \(.*embedding"):
            _ = Compiled(opened, opened.outputs[0].name, batch=1).facts
        return
    outputs, found = of_opened(opened, inputs)
    assert all(np.isfinite(output).all() for output in outputs)
    assert all(np.isfinite(gradient).all() for gradient in found.values())
    # A pool or ReLU may give zero on one drawn input, but no whole model of these is dead.
    assert any(np.any(gradient) for gradient in found.values()) or path.stem in MAY_BE_ZERO


MAY_BE_ZERO = ("examples__activations__ReLU_0_model",)


def test_predictions_recorded_by_keras_1(wild):
    opened = load(wild / "dl4j_simple_lstm_tf_keras_1_model" / "simple_lstm_tf_keras_1_model.h5", DEFAULT)
    with h5py.File(wild / "recorded_outputs" / "simple_lstm_tf_keras_1_inputs_and_outputs.h5") as file:
        x, hidden = file["inputs/lstm_input_1"][()], file["activations/lstm_1"][()]
        expected = file["predictions/dense_1"][()]
    traced = tf.function(lambda value: opened.forward({opened.inputs[0].name: value})._asdict(), autograph=False)(
        tf.constant(x, tf.float32)
    )
    assert relative(traced["outputs"]["dense_1"].numpy(), expected) < 1e-5
    assert relative(traced["layers"]["lstm_1"].numpy(), hidden) < 1e-5


def test_pilotnet_opens_with_a_stock_layer_for_its_lambda(wild):
    options = OpenOptions(replace=("lambda_1=Rescaling:scale=0.00784313725,offset=-1",))
    opened = load(wild / "pilotnet_lambda" / "model.h5", options)
    _, found = of_opened(opened, inputs_of(opened, batch=1))
    assert np.isfinite(found["lambda_1_input"]).all()
    assert np.any(found["lambda_1_input"])


@pytest.mark.slow
def test_files_saved_by_others_agree_with_tf_keras_alone(wild):
    from tf_keras.src.saving.serialization_lib import SafeModeScope

    from saliency_cli.models.legacy.runtime import quiet

    compared = 0
    for path in wild_files():
        if read_legacy(path) is None or path.parent.name in REFUSED or path.stem == "tfkeras__misc_0":
            continue
        opened = load(path, DEFAULT)
        try:
            with quiet(), SafeModeScope(safe_mode=True):
                live = tf_keras.models.load_model(path, compile=False)
        except (TypeError, ValueError):
            continue  # Keras 1, and initialisers it doesn't know: only the migration opens these
        inputs = inputs_of(opened)
        outputs, found = of_opened(opened, inputs)
        names = list(inputs)
        expected = gradients(
            lambda named, live=live, names=names: live([named[name] for name in names], training=False), inputs
        )
        assert max(map(relative, outputs, expected[0])) < 1e-5, path
        assert max(map(relative, found.values(), expected[1].values())) < 1e-5, path
        compared += 1
    assert compared >= 60
