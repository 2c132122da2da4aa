"""What an older Keras left in a file: recognised, scanned and migrated, without TensorFlow."""

import json
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest

from saliency_cli.errors import ModelError, UsageError
from saliency_cli.models.legacy.config import Legacy, architecture_beside, nodes, read_legacy, rewritten
from saliency_cli.models.legacy.keras1 import from_keras_1
from saliency_cli.models.legacy.migration import migrate, notes
from saliency_cli.models.legacy.scan import Finding, refuse, scan
from saliency_cli.models.legacy.stock import pure_function
from saliency_cli.models.replace import Replacement, parse_replacement


def layer(kind, **options):
    return {"class_name": kind, "config": {"name": kind.lower(), **options}}


def sequential(*layers):
    return {"class_name": "Sequential", "config": {"name": "s", "layers": list(layers)}}


def hdf5(path, *, config=None, version=None, backend=None, layers=False, inner_version=None, training=None):
    with h5py.File(path, "w") as file:
        for name, value in {"keras_version": version, "backend": backend}.items():
            if value is not None:
                file.attrs[name] = value
        for name, value in {"model_config": config, "training_config": training}.items():
            if value is not None:
                file.attrs[name] = json.dumps(value).encode()
        if layers:
            file.attrs["layer_names"] = [b"dense"]
            file.create_group("dense").attrs["weight_names"] = []
        if inner_version:
            file.create_group("model_weights").attrs["keras_version"] = inner_version
    return path


def archive(path, version="2.15.0", config=None, **members):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("metadata.json", json.dumps({"keras_version": version}))
        file.writestr("config.json", json.dumps(config or sequential(layer("Dense"))))
        for name, content in members.items():
            file.writestr(name, content)
    return path


# --- recognised ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["h5", "hdf5", "model", "keras", "nothing"])
@pytest.mark.parametrize("text", [b"2.2.4-tf", "2.2.4-tf"])
def test_hdf5_of_keras_2_under_any_name(tmp_path, suffix, text):
    path = hdf5(tmp_path / f"m.{suffix}", config=sequential(layer("Dense")), version=text, backend=b"theano")
    found = read_legacy(path)
    assert (found.kind, found.version, found.major, found.backend) == ("legacy-hdf5", "2.2.4-tf", 2, "theano")
    assert found.writer == "Keras 2.2.4-tf"


def test_the_version_may_stand_with_the_weights(tmp_path):
    path = hdf5(tmp_path / "m.h5", config=sequential(), inner_version=b"2.1.3", training={"loss": "mse"})
    found = read_legacy(path)
    assert (found.version, found.training) == ("2.1.3", {"loss": "mse"})


@pytest.mark.parametrize(
    ("options", "major"),
    [({"nb_filter": 3, "border_mode": "same"}, 1), ({"filters": 3, "padding": "same"}, 2)],
)
def test_a_file_without_a_version_is_dated_by_its_arguments(tmp_path, options, major):
    found = read_legacy(hdf5(tmp_path / "m.h5", config=sequential(layer("Convolution2D", **options))))
    assert found.major == major


@pytest.mark.parametrize("version", ["3.0.0", "3.15.1", "10.0"])
def test_files_of_keras_3_and_later_are_not_older(tmp_path, version):
    assert read_legacy(hdf5(tmp_path / "m.h5", config=sequential(), version=version)) is None
    assert read_legacy(archive(tmp_path / "m.keras", version)) is None


@pytest.mark.parametrize("version", ["2.12.0", "2.15.0"])
def test_a_zip_of_keras_2(tmp_path, version):
    config = {**sequential(layer("Dense")), "compile_config": {"loss": "mse"}}
    found = read_legacy(archive(tmp_path / "m.keras", version, config))
    assert (found.kind, found.version, found.training) == ("legacy-zip", version, {"loss": "mse"})
    assert "compile_config" not in found.config


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs", b"<!DOCTYPE html>"])
def test_other_files_are_left_to_others(tmp_path, content):
    path = tmp_path / "m.h5"
    path.write_bytes(content)
    assert read_legacy(path) is None


@pytest.mark.parametrize("suffix", ["h5", "keras"])
def test_a_truncated_file(tmp_path, suffix):
    whole = archive(tmp_path / "w.keras") if suffix == "keras" else hdf5(tmp_path / "w.h5", config=sequential())
    path = tmp_path / f"m.{suffix}"
    path.write_bytes(whole.read_bytes()[:150])
    with pytest.raises(ModelError) as caught:
        read_legacy(path)
    assert caught.value.reason == "truncated"


@pytest.mark.parametrize("config", ["[1]", "null", "{", '"text"', "[" * 100_000])
def test_a_configuration_that_is_none(tmp_path, config):
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as file:
        file.writestr("metadata.json", '{"keras_version": "2.15.0"}')
        file.writestr("config.json", config)
    with pytest.raises(ModelError) as caught:
        read_legacy(tmp_path / "m.keras")
    assert caught.value.reason == "truncated"


@pytest.mark.parametrize(
    ("weights", "beside"),
    [("m.h5", "m.json"), ("m_weights.h5", "m.json"), ("m-weights.hdf5", "m.json"), ("m.weights.h5", "m.json")],
)
def test_weights_only_with_its_architecture_beside(tmp_path, weights, beside):
    document = {**sequential(layer("Dense")), "keras_version": "2.2.0", "backend": "tensorflow"}
    (tmp_path / beside).write_text(json.dumps(document), encoding="utf-8")
    path = hdf5(tmp_path / weights, layers=True)
    found = read_legacy(path)
    assert (found.architecture, found.version, found.backend) == (tmp_path / beside, "2.2.0", "tensorflow")
    assert architecture_beside(path) == tmp_path / beside


def test_weights_only_alone_or_beside_other_json(tmp_path):
    path = hdf5(tmp_path / "m.h5", layers=True)
    assert read_legacy(path) is None
    (tmp_path / "m.json").write_text('{"accuracy": 0.9}', encoding="utf-8")
    assert read_legacy(path) is None
    (tmp_path / "m.json").write_text(json.dumps({**sequential(), "keras_version": "3.1"}), encoding="utf-8")
    assert read_legacy(path) is None


def test_nothing_of_this_imports_tensorflow():
    code = (
        "import sys, saliency_cli.models.legacy.config, saliency_cli.models.legacy.migration;"
        "import saliency_cli.models.legacy.scan, saliency_cli.models.replace;"
        "assert not {'tensorflow', 'keras', 'tf_keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- walked -------------------------------------------------------------------------------------------------


def test_nodes_are_found_at_every_depth():
    config = sequential(sequential(layer("TimeDistributed", layer=layer("Dense"))))
    assert [node["class_name"] for node in nodes(config)].count("Dense") == 1
    changed = rewritten(config, lambda node: {**node, "class_name": node["class_name"].lower()})
    assert {node["class_name"] for node in nodes(changed)} == {"sequential", "timedistributed", "dense"}
    assert {node["class_name"] for node in nodes(config)} == {"Sequential", "TimeDistributed", "Dense"}


# --- migrated -----------------------------------------------------------------------------------------------


def migrated(config, version="2.2.4", **replacements):
    config = migrate(Legacy(None, "legacy-hdf5", version, config), replacements)
    return config["config"]["layers"][0]


OLD_INITIALIZER = {"class_name": "GlorotUniform", "config": {"seed": None, "dtype": "float32"}}
HALF = {"class_name": "Policy", "config": {"name": "mixed_float16"}}
PLAIN = {"class_name": "Policy", "config": {"name": "float32"}}


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("Dense", {"kernel_initializer": OLD_INITIALIZER}, {"kernel_initializer": "zeros"}),
        ("Dense", {"kernel_initializer": "kernel_init1"}, {"kernel_initializer": "zeros"}),
        ("Dense", {"kernel_regularizer": {"class_name": "L1L2", "config": {}}}, {"kernel_regularizer": None}),
        ("Dense", {"bias_constraint": {"class_name": "Mine", "config": {}}}, {"bias_constraint": None}),
        ("DepthwiseConv2D", {"groups": 1, "filters": None, "kernel_initializer": "x", "strides": [1, 1]},
         {"strides": [1, 1]}),
        ("DepthwiseConv2D", {"groups": 2}, {"groups": 2}),
        ("SeparableConv2D", {"kernel_initializer": OLD_INITIALIZER, "kernel_regularizer": None}, {}),
        ("GRU", {"units": 3}, {"units": 3, "reset_after": False}),
        ("GRU", {"units": 3, "reset_after": True}, {"units": 3, "reset_after": True}),
        ("LSTM", {"stateful": True, "recurrent_activation": "hard_sigmoid"},
         {"stateful": False, "recurrent_activation": "hard_sigmoid"}),
        ("Dense", {"dtype": HALF}, {"dtype": "float32"}),
        ("Dense", {"dtype": "mixed_bfloat16"}, {"dtype": "float32"}),
        ("Dense", {"dtype": "float64"}, {"dtype": "float64"}),
        ("Embedding", {"input_dim": 9, "output_dim": 3}, {"input_dim": 9, "output_dim": 3}),
    ],
)  # fmt: skip
def test_a_layer_of_keras_2(kind, before, after):
    assert migrated(sequential(layer(kind, **before)))["config"] == {"name": kind.lower(), **after}


def test_layers_for_a_gpu_only():
    found = migrated(sequential(layer("CuDNNGRU", units=3)))
    assert (found["class_name"], found["config"]["reset_after"]) == ("GRU", True)
    assert migrated(sequential(layer("CuDNNLSTM", units=3)))["config"]["recurrent_activation"] == "sigmoid"


def test_a_wrapped_layer_is_migrated_too():
    found = migrated(sequential(layer("Bidirectional", layer=layer("GRU", kernel_initializer=OLD_INITIALIZER))))
    assert found["config"]["layer"]["config"] == {"name": "gru", "kernel_initializer": "zeros", "reset_after": False}


def test_bare_lists_at_every_depth():
    config = {"class_name": "Sequential", "config": [{"class_name": "Sequential", "config": [layer("Dense")]}]}
    inner = migrated(config)
    assert inner["config"] == {"name": "sequential", "layers": [layer("Dense")]}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"module": "keras.layers.core", "class_name": "Dense"}, {"module": "keras.layers", "class_name": "Dense"}),
        ({"module": "keras.engine.functional", "class_name": "Functional", "registered_name": "Functional"},
         {"module": "keras.src.engine.functional", "class_name": "Functional"}),
        ({"module": "mine", "class_name": "Mine", "registered_name": "Mine"},
         {"module": "mine", "class_name": "Mine", "registered_name": "Mine"}),
    ],
)  # fmt: skip
def test_a_private_module_becomes_the_public_one(before, after):
    assert migrated(sequential({**before, "config": {}})) == {**after, "config": {}}


def test_a_users_own_class_is_left_alone():
    own = {"class_name": "Custom>Mine", "config": {"kernel_initializer": "odd", "dtype": "mixed_float16"}}
    config = migrate(Legacy(None, "legacy-hdf5", "2.4.0", sequential(own)), {}, {"Mine"})
    assert config["config"]["layers"][0]["config"]["kernel_initializer"] == "odd"


def test_what_a_user_should_know():
    said = notes(sequential(layer("Dense", dtype=HALF), layer("LSTM", stateful=True)))
    assert said[0].startswith("half-precision")
    assert "stateful" in said[1]
    assert notes(sequential(layer("Dense", dtype="float32"), layer("Dense", dtype=PLAIN), layer("LSTM"))) == ()


# --- Keras 1 ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "before", "new", "after"),
    [
        ("Dense", {"output_dim": 3, "init": "uniform", "bias": True, "input_dim": 5, "W_constraint": None}, "Dense",
         {"units": 3, "use_bias": True}),
        ("Convolution2D", {"nb_filter": 4, "nb_row": 3, "nb_col": 2, "subsample": [2, 2], "border_mode": "same",
                           "dim_ordering": "th"},
         "Conv2D", {"filters": 4, "kernel_size": [3, 2], "strides": [2, 2], "padding": "same",
                    "data_format": "channels_first"}),
        ("Convolution1D", {"nb_filter": 4, "filter_length": 3, "subsample_length": 2}, "Conv1D",
         {"filters": 4, "kernel_size": 3, "strides": 2}),
        ("Convolution3D", {"kernel_dim1": 1, "kernel_dim2": 2, "kernel_dim3": 3, "dim_ordering": "tf"}, "Conv3D",
         {"kernel_size": [1, 2, 3], "data_format": "channels_last"}),
        ("AtrousConvolution2D", {"atrous_rate": [2, 2]}, "Conv2D", {"dilation_rate": [2, 2]}),
        ("Deconvolution2D", {"nb_filter": 2, "output_shape": [None, 4, 4, 2]}, "Conv2DTranspose", {"filters": 2}),
        ("LSTM", {"output_dim": 4, "inner_init": "orthogonal", "forget_bias_init": "one",
                  "inner_activation": "hard_sigmoid", "dropout_W": 0.1, "dropout_U": 0.2, "consume_less": "gpu",
                  "input_length": 3},
         "LSTM", {"units": 4, "recurrent_activation": "hard_sigmoid", "dropout": 0.1, "recurrent_dropout": 0.2}),
        ("Embedding", {"input_dim": 9, "output_dim": 3, "input_length": 2, "dropout": 0.0}, "Embedding",
         {"input_dim": 9, "output_dim": 3, "input_length": 2}),
        ("Dropout", {"p": 0.5}, "Dropout", {"rate": 0.5}),
        ("GaussianNoise", {"sigma": 0.1}, "GaussianNoise", {"stddev": 0.1}),
        ("MaxPooling1D", {"pool_length": 2, "stride": 2}, "MaxPooling1D", {"pool_size": 2, "strides": 2}),
        ("UpSampling1D", {"length": 2}, "UpSampling1D", {"size": 2}),
        ("BatchNormalization", {"mode": 0, "axis": 1, "gamma_init": "one"}, "BatchNormalization", {"axis": 1}),
        ("InputLayer", {"batch_input_shape": [None, 3], "input_dtype": "float32"}, "InputLayer",
         {"batch_input_shape": [None, 3], "dtype": "float32"}),
    ],
)  # fmt: skip
def test_a_layer_of_keras_1(kind, before, new, after):
    assert from_keras_1(layer(kind, **before)) == {
        "class_name": new, "config": {"name": kind.lower(), **after}
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "kind", "config"),
    [
        ({"mode": "sum"}, "Add", {}),
        ({"mode": "concat", "concat_axis": 3}, "Concatenate", {"axis": 3}),
        ({"mode": "mul"}, "Multiply", {}),
        ({"mode": "ave"}, "Average", {}),
        ({"mode": "max"}, "Maximum", {}),
        ({"mode": "dot", "dot_axes": 1}, "Dot", {"axes": 1, "normalize": False}),
        ({"mode": "cos", "dot_axes": 1}, "Dot", {"axes": 1, "normalize": True}),
    ],
)
def test_a_merge_of_keras_1(options, kind, config):
    assert from_keras_1(layer("Merge", **options)) == {"class_name": kind, "config": {"name": "merge", **config}}


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("Highway", {}, "Highway layer"),
        ("MaxoutDense", {}, "MaxoutDense layer"),
        ("BatchNormalization", {"mode": 1}, "mode 1"),
        ("Convolution2D", {"border_mode": "full"}, "border_mode='full'"),
        ("Merge", {"layers": [{}]}, "whole branches"),
        ("Merge", {"mode": "odd"}, "mode odd"),
    ],
)
def test_what_no_later_keras_has_is_named(kind, options, message):
    with pytest.raises(ModelError, match=message) as caught:
        from_keras_1(layer(kind, **options))
    assert caught.value.reason == "gone-layer"


# --- scanned ------------------------------------------------------------------------------------------------

LAMBDA = layer("Lambda", function=["4w", None, None], function_type="lambda")
WRITES = {"name": "w", "op": "WriteFile"}
PYTHON = "\n\x01w\x12\x03Mul\x12\x06PyFunc"  # of two operations in one message the last counts
EVAL = {"class_name": "function", "module": "builtins", "config": "eval", "registered_name": "function"}


@pytest.mark.parametrize(
    ("found", "kind", "name", "what"),
    [
        (LAMBDA, "lambda", "lambda", "a Lambda layer"),
        (layer("TimeDistributed", layer=LAMBDA), "lambda", "lambda", "a Lambda layer"),
        (sequential(LAMBDA), "lambda", "lambda", "a Lambda layer"),
        ({"class_name": "Sequential", "config": [LAMBDA]}, "lambda", "lambda", "a Lambda layer"),
        (layer("Merge", mode="x", mode_type="lambda"), "lambda", "merge", "a Lambda layer"),
        (layer("Activation", activation={"class_name": "__lambda__", "config": {}}), "lambda", "activation", "a Lam"),
        (layer("SelfAttention"), "custom", "selfattention", "SelfAttention"),
        (layer("RNN", cell=layer("MyCell")), "custom", "mycell", "MyCell"),
        ({**layer("Dense"), "module": "os"}, "custom", "dense", "Dense"),
        ({**layer("Dense"), "module": "kerasx"}, "custom", "dense", "Dense"),
        (
            layer("Dense", kernel_initializer={"class_name": "X", "module": "os", "config": {}}),
            "custom",
            "dense",
            "X",
        ),
        (layer("Dense", activation="my_swish"), "custom", "dense", "my_swish"),
        (layer("Activation", activation=EVAL), "custom", "activation", "eval"),
        (layer("TFOpLambda", function="io.write_file"), "code", "tfoplambda", "calls tf.io.write_file"),
        (layer("TensorFlowOpLayer", node_def=WRITES), "code", "tensorflowoplayer", "runs WriteFile"),
        (layer("TensorFlowOpLayer", node_def=PYTHON), "code", "tensorflowoplayer", "runs PyFunc"),
        (layer("TensorFlowOpLayer", node_def='{"op": "Mul"}'), "code", "tensorflowoplayer", "runs an operation that"),
        (layer("InstanceProperty", attr_name="graph"), "code", "instanceproperty", "takes 'graph'"),
        (layer("Dense", spec={"class_name": "__typespec__", "module": "os", "config": []}), "code", "dense", "holds"),
        (layer("StringLookup", vocabulary="/etc/passwd"), "file", "stringlookup", "reads the file"),
    ],
)
def test_what_is_not_stock_keras_is_found(found, kind, name, what):
    (finding,) = scan(sequential(layer("Dense"), found))
    assert (finding.kind, finding.name) == (kind, name)
    assert finding.what.startswith(what)


@pytest.mark.parametrize(
    "fine",
    [
        layer("Convolution2D", nb_filter=3, activation="relu"),
        layer("Bidirectional", layer=layer("LSTM", recurrent_activation="hard_sigmoid")),
        layer("Dense", kernel_initializer=OLD_INITIALIZER, dtype=HALF),
        layer("Dense", activation={"class_name": "LeakyReLU", "module": "keras.layers", "config": {}}),
        layer("TFOpLambda", function="math.multiply"),
        layer("TFOpLambda", function="__operators__.add"),
        layer("SlicingOpLambda", function="__operators__.getitem"),
        layer("TensorFlowOpLayer", node_def={"name": "m", "op": "Mul"}),
        layer("TensorFlowOpLayer", node_def="\n\x01m\x12\x03Mul"),
        layer("StringLookup", vocabulary=["a", "b"]),
        {"module": "keras.src.engine.functional", **sequential(layer("Dense"))},
    ],
)
def test_stock_keras_passes(fine):
    assert scan(sequential(fine)) == []


def test_names_the_user_defines_pass():
    config = sequential(layer("Custom>Mine", activation="odd"), layer("Dense", activation="odd"))
    assert scan(config, {"Mine", "odd"}) == []
    assert [finding.what for finding in scan(config)] == ["Custom>Mine", "odd"]


@pytest.mark.parametrize(
    ("symbol", "pure"),
    [("math.add", True), ("nn.relu", True), ("concat", True), ("compat.v1.transpose", True), ("reshape", True),
     ("io.write_file", False), ("py_function", False), ("numpy_function", False), ("io.read_file", False),
     ("saved_model.load", False), ("keras.utils.get_file", False), ("print", False), ("math.x.y", False),
     ("", False)],
)  # fmt: skip
def test_functions_without_effects(symbol, pure):
    assert pure_function(symbol) is pure


def test_a_refusal_names_all_layers_of_its_kind_and_what_to_type_for_each(tmp_path):
    legacy = Legacy(tmp_path / "m.h5", "legacy-hdf5", "2.2.4", {})
    found = [Finding("lambda", "first", ""), Finding("lambda", "second", "")]
    with pytest.raises(ModelError, match=r"layer 'first' \(and 'second'\)") as caught:
        refuse(legacy, found, [])
    assert caught.value.hint.endswith("--replace first=LAYER:KEY=VALUE --replace second=LAYER:KEY=VALUE")
    with pytest.raises(ModelError, match="layer 'second' is a Lambda"):
        refuse(legacy, found, ["first"])
    refuse(legacy, found, ["first", "second"])
    with pytest.raises(ModelError, match="'Mine', 'odd'") as caught:
        refuse(legacy, [Finding("custom", "a", "Mine"), Finding("custom", "b", "odd")], [])
    assert caught.value.reason == "custom-class"


# --- replaced -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("l=Flatten", Replacement("l", "Flatten")),
        ("lambda_1=Rescaling:scale=0.00784,offset=-1",
         Replacement("lambda_1", "Rescaling", {"scale": 0.00784, "offset": -1})),
        ("l=Reshape:target_shape=[4, 4,3]", Replacement("l", "Reshape", {"target_shape": [4, 4, 3]})),
        ("l=Resizing:height=8,width=9,interpolation=nearest",
         Replacement("l", "Resizing", {"height": 8, "width": 9, "interpolation": "nearest"})),
        ("l=Cropping2D:cropping=[[1,2],[3,4]],data_format=channels_last",
         Replacement("l", "Cropping2D", {"cropping": [[1, 2], [3, 4]], "data_format": "channels_last"})),
        ("l=Activation:activation=tanh", Replacement("l", "Activation", {"activation": "tanh"})),
        ("l=Softmax:axis=-1,x=True", Replacement("l", "Softmax", {"axis": -1, "x": True})),
    ],
)  # fmt: skip
def test_a_replacement_is_read(text, expected):
    assert parse_replacement(text) == expected


@pytest.mark.parametrize(
    "text", ["", "x", "x=", "=Flatten", "x=Lambda:function=f", "x=Flaten", "x=Flatten:a", "x=Flatten:a="]
)
def test_a_replacement_that_cannot_be_read(text):
    with pytest.raises(UsageError) as caught:
        parse_replacement(text)
    assert caught.value.hint


def test_a_replacement_keeps_the_layers_name_shape_and_place():
    before = {
        **layer("Lambda", batch_input_shape=[None, 3], function=["x"]),
        "name": "lambda",
        "inbound_nodes": [[1]],
    }
    found = migrated(sequential(before), **{"lambda": Replacement("lambda", "Rescaling", {"scale": 2})})
    assert found == {
        "class_name": "Rescaling", "name": "lambda", "inbound_nodes": [[1]],
        "config": {"name": "lambda", "batch_input_shape": [None, 3], "scale": 2},
    }  # fmt: skip


def test_numbers_of_a_configuration_stay_what_they_are():
    config = sequential(layer("Dense", units=3, other=np.pi))
    assert migrated(config)["config"] == {"name": "dense", "units": 3, "other": np.pi}
