"""Topologies of TensorFlow.js layers-models in every form they are written in, without TensorFlow."""

import json
import subprocess
import sys

import pytest
from tfjs_writer import SHARED, shared

from saliency_cli.errors import ModelError
from saliency_cli.models.screening.names import LAYERS, OLDER
from saliency_cli.models.tfjs.config import convert
from saliency_cli.models.tfjs.document import read_document, recognise
from saliency_cli.models.tfjs.fields import snake
from saliency_cli.models.tfjs.metadata import Metadata, read_metadata
from saliency_cli.models.tfjs.options import OPTIONS


def dense(name="d", **options):
    return {"class_name": "Dense", "config": {"name": name, "units": 2, "batch_input_shape": [None, 3], **options}}


def layer(kind, **options):
    return {"class_name": kind, "config": {"name": "x", "batch_input_shape": [None, 4, 3], **options}}


def model(*layers, name="m"):
    return {"class_name": "Sequential", "config": {"name": name, "layers": list(layers)}}


def converted(described, shapes=(), version="tfjs-layers 4.22.0", **more):
    topology = {**described, "keras_version": version, "backend": "tensor_flow.js"}
    return convert({"modelTopology": topology, "weightsManifest": [], **more}, dict(shapes))


def options(kind, version="tfjs-layers 4.22.0", **written):
    """The Keras 3 options of one layer, its name left out."""
    found = converted(model(layer(kind, **written)), version=version).config["config"]["layers"][1]
    return {key: value for key, value in found["config"].items() if key != "name"}


def refused(described, reason, *words):
    with pytest.raises(ModelError) as caught:
        converted(described)
    assert caught.value.reason == reason, caught.value.message
    assert all(word in caught.value.message for word in words), caught.value.message


PLAIN = converted(model(dense())).config


@pytest.mark.parametrize(
    "document",
    [
        {"modelTopology": model(dense())},
        {"modelTopology": {"model_config": model(dense()), "keras_version": "2.2.4", "backend": "tensorflow"}},
        {"modelTopology": {"modelConfig": model(dense()), "kerasVersion": "2.2.4"}, "format": "layers-model"},
        {"modelTopology": {"model_config": json.dumps(model(dense()))}},
        {"modelTopology": {**model(dense()), "keras_version": "tfjs-layers 1.3.1"}, "generatedBy": "x"},
        {"modelTopology": {"className": "Sequential", "config": {"name": "m", "layers": [
            {"className": "Dense", "config": {"name": "d", "units": 2, "batchInputShape": [None, 3]}}]}}},
        {"modelTopology": model(
            {"class_name": "InputLayer", "config": {"name": "d_input", "batch_input_shape": [7, 3]}}, dense())},
        {"modelTopology": model(dense(batch_input_shape=[32, 3]))},
        {"modelTopology": model(
            dense(trainable=False, kernel_initializer={"class_name": "X"}, kernel_constraint=1, dtype="float16"))},
        {"modelTopology": {"class_name": "Sequential", "config": {"name": "m", "build_input_shape": [None, 3],
            "layers": [{"class_name": "Dense", "config": {"name": "d", "units": 2}}]}}},
    ],
    ids=["top level", "model_config", "modelConfig", "as text", "Teachable Machine", "camel case", "input layer",
         "fixed batch", "options without effect", "build_input_shape"],
)  # fmt: skip
def test_every_form_is_one_form(document):
    assert convert({"weightsManifest": [], **document}, {}).config == PLAIN


def test_that_form_is_keras_3s():
    assert PLAIN["class_name"] == "Sequential"
    first, second = PLAIN["config"]["layers"]
    assert first["config"] == {"name": "d_input", "batch_shape": [None, 3], "dtype": "float32"}
    assert (second["module"], second["class_name"]) == ("keras.layers", "Dense")
    assert second["config"] == {"name": "d", "units": 2}
    assert second["written"] == "d"


def test_a_bare_list_of_layers_is_a_sequential():
    config = converted({"class_name": "Sequential", "config": [dense()]}).config
    assert config["config"]["layers"] == PLAIN["config"]["layers"]


def test_the_input_shape_is_looked_for_inside():
    inner = model({"class_name": "Bidirectional", "config": {"name": "b", "layer": layer("LSTM", units=2)}}, name="i")
    assert converted(model(inner)).config["config"]["layers"][0]["config"]["batch_shape"] == [None, 4, 3]
    refused(model({"class_name": "Dense", "config": {"name": "d", "units": 2}}), "not-built", "'m'")


@pytest.mark.parametrize(("kind", "written", "expected"), [
    ("LeakyReLU", {"alpha": 0.1}, {"negative_slope": 0.1}),
    ("BatchNormalization", {"axis": [2], "epsilon": 0.1, "fused": None}, {"axis": 2, "epsilon": 0.1}),
    ("Dense", {"units": 1, "activation": "logSoftmax", "useBias": False},
     {"units": 1, "activation": "log_softmax", "use_bias": False}),
    ("Reshape", {"target_shape": [None, 2]}, {"target_shape": [-1, 2]}),
    ("DepthwiseConv2D", {"kernel_size": [2, 2], "groups": 3, "filters": 9}, {"kernel_size": [2, 2]}),
    ("MaxPooling1D", {"pool_size": [2], "padding": "same"}, {"pool_size": [2], "padding": "same"}),
    ("Flatten", {"dataFormat": "channelsFirst"}, {"data_format": "channels_first"}),
    ("Dropout", {"rate": 0.5, "noise_shape": None, "seed": 3}, {"rate": 0.5}),
    ("RandomFlip", {"mode": "horizontal"}, {}),
    ("BatchNormalizationV1", {"axis": -1, "fused": True}, {"axis": -1}),
])  # fmt: skip
def test_options_are_named_as_keras_3_names_them(kind, written, expected):
    assert options(kind, **written) == expected


OWN_SIGMOID = {
    "class_name": "function",
    "config": "tfjs_hard_sigmoid",
    "module": "builtins",
    "registered_name": "tfjs_hard_sigmoid",
}


def test_what_tensorflow_js_means_is_kept():
    assert options("LSTM", units=2) == {"units": 2, "recurrent_activation": OWN_SIGMOID}
    assert options("GRU", units=2, recurrent_activation="sigmoid") == {
        "units": 2, "recurrent_activation": "sigmoid", "reset_after": False,
    }  # fmt: skip
    assert options("GRU", units=2, recurrent_activation="tanh", reset_after=True)["reset_after"] is True
    assert options("Activation", activation="hardSigmoid") == {"activation": OWN_SIGMOID}
    assert options("Activation", "2.2.4", activation="hard_sigmoid") == {"activation": OWN_SIGMOID}
    assert options("Activation", "3.5.0", activation="hard_sigmoid") == {"activation": OWN_SIGMOID}
    # Without `batch_input_shape` TensorFlow.js can't open what Keras 3 wrote, so it means what Keras 3 means.
    described = json.loads(
        json.dumps(model(layer("Activation", activation="hard_sigmoid"))).replace("input_shape", "shape")
    )
    described["config"]["layers"].insert(0, {"class_name": "InputLayer", "config": {"batch_shape": [None, 3]}})
    assert (
        converted(described, version="3.5.0").config["config"]["layers"][1]["config"]["activation"] == "hard_sigmoid"
    )


def test_layers_of_our_own_are_named_and_told():
    found = converted(model(layer("UpSampling2D", size=[2, 2], interpolation="bilinear")))
    assert found.config["config"]["layers"][1]["class_name"] == "TfjsUpSampling2D"
    assert "half-pixel" in found.notes[0]
    assert converted(model(layer("UpSampling2D", interpolation="nearest"))).notes == ()
    masked = converted(model(layer("Masking", mask_value=0), layer("GlobalAveragePooling1D")))
    assert masked.config["config"]["layers"][2]["class_name"] == "TfjsGlobalAveragePooling1D"
    dilated = converted(model(layer("DepthwiseConv2D", kernel_size=3, dilation_rate=[2, 2])))
    assert "dilated" in dilated.notes[0]


def test_the_depth_multiplier_is_read_off_the_kernel():
    described = model(layer("SeparableConv2D", filters=2, kernel_size=[3, 3]))
    for name in ("x/depthwise_kernel", "sequential/x/depthwise_kernel"):
        found = converted(described, {name: (3, 3, 2, 4)}).config["config"]["layers"][1]
        assert found["config"]["depth_multiplier"] == 4


def test_whole_numbers_stay_so_only_where_they_are_looked_up():
    tokens = converted(model(layer("Embedding", input_dim=9, output_dim=2, dtype="float32")))
    assert tokens.config["config"]["layers"][0]["config"]["dtype"] == "int32"
    numbers = {"class_name": "InputLayer", "config": {"name": "i", "batch_input_shape": [None, 3], "dtype": "int32"}}
    assert converted(model(numbers, dense())).config["config"]["layers"][0]["config"]["dtype"] == "float32"


def node(kind, name, calls, **config):
    return {"class_name": kind, "name": name, "config": {"name": name, **config}, "inbound_nodes": calls}


def functional(*layers, ends=("i", "o")):
    config = {"name": "f", "layers": [node("InputLayer", "i", [], batch_input_shape=[None, 3]), *layers]}
    return {
        "class_name": "Model",
        "config": {**config, "input_layers": [[ends[0], 0, 0]], "output_layers": [[ends[1], 0, 0]]},
    }


def calls_of(described, name):
    layers = converted(described).config["config"]["layers"]
    calls = next(found for found in layers if found["name"] == name)["inbound_nodes"]
    return [[tensor["config"]["keras_history"] for tensor in call["args"]] for call in calls]


def keras3(*history):
    return {
        "class_name": "__keras_tensor__",
        "config": {"shape": [], "dtype": "float32", "keras_history": list(history)},
    }


@pytest.mark.parametrize(
    "calls",
    [
        [[["i", 0, 0, {}]]],
        [[["i", 0, 0]]],
        [["i", 0, 0, {}]],
        [[["i", 0, 0, {"training": False, "mask": None}]]],
        [{"args": [keras3("i", 0, 0)], "kwargs": {"training": None}}],
        [{"args": [[keras3("i", 0, 0)]], "kwargs": {}}],
    ],
)
def test_calls_of_every_keras_are_one_form(calls):
    assert calls_of(functional(node("Dense", "o", calls, units=1)), "o") == [[["i", 0, 0]]]


@pytest.mark.parametrize("first", [0, 1])
def test_calls_of_nested_models_are_counted_from_0_or_1(first):
    inner = functional(node("Dense", "o", [[["i", 0, 0, {}]]], units=3))["config"] | {"name": "n"}
    nested = {
        "class_name": "Model",
        "name": "n",
        "config": inner,
        "inbound_nodes": [[["i", 0, 0, {}]], [["i", 0, 0, {}]]],
    }
    both = [[["n", first, 0, {}], ["n", first + 1, 0, {}]]]
    assert calls_of(functional(nested, node("Add", "o", both)), "o") == [[["n", 0, 0], ["n", 1, 0]]]


def test_further_tensors_of_a_recurrent_layer_are_its_states():
    state = [node("InputLayer", name, [], batch_input_shape=[None, 2]) for name in "hc"]
    lstm = node("LSTM", "o", [[["i", 0, 0, {}], ["h", 0, 0, {}], ["c", 0, 0, {}]]], units=2)
    layers = converted(functional(*state, lstm)).config["config"]["layers"]
    (call,) = layers[-1]["inbound_nodes"]
    assert len(call["args"]) == 1
    assert [t["config"]["keras_history"][0] for t in call["kwargs"]["initial_state"]] == ["h", "c"]


def test_names_become_ones_that_keras_3_accepts():
    config = converted(model(dense("a/b"), dense("a_b"), dense("b (1)"), dense("_c"))).config["config"]
    assert [found["config"]["name"] for found in config["layers"]] == [
        "a_b_input",
        "a_b",
        "a_b_1",
        "b__1_",
        "layer_c",
    ]
    assert [found["written"] for found in config["layers"]][1:] == ["a/b", "a_b", "b (1)", "_c"]


@pytest.mark.parametrize(
    "kind",
    [
        "Lambda", "TFOpLambda", "TFSMLayer", "Custom>Thing", "MyLayer", "TextVectorization", "StringLookup",
        "Hashing", "TorchModuleWrapper", "os.system", "RandomWidth", "MultiHeadAttention", "CuDNNLSTM", "",
    ],
)  # fmt: skip
def test_other_classes_are_refused_by_name(kind):
    for described in (
        model(layer(kind)),
        model(dense(), layer("TimeDistributed", layer=layer(kind))),
        model(model(layer(kind))),
    ):
        reason = "refused-code" if kind in ("Lambda", "TFOpLambda") else "unsupported-layer"
        refused(described, reason, "'x'", kind)


def test_the_allow_list_holds_stock_layers_only():
    assert set(OPTIONS) <= LAYERS | OLDER


@pytest.mark.parametrize(
    ("described", "reason", "word"),
    [
        (model(dense(activation="__import__")), "unsupported-layer", "__import__"),
        (model(dense(activation={"class_name": "Lambda", "config": {}})), "unsupported-layer", "'d'"),
        (model(dense(vocabulary="/etc/passwd")), "unsupported-layer", "vocabulary"),
        (functional(node("Dense", "o", [[["i", 0, 0, {"scale": 3}]]], units=1)), "unsupported-layer", "scale"),
        (functional(node("Add", "o", [{"args": [keras3("i", 0, 0), 3], "kwargs": {}}])), "unsupported-layer", "3"),
        (functional(node("Dense", "o", [[["nobody", 0, 0, {}]]], units=1)), "broken-topology", "nobody"),
        (functional(), "broken-topology", "'o'"),
        ({"class_name": "MyModel", "config": {}}, "unsupported-layer", "MyModel"),
        ({"class_name": "Sequential", "config": {}}, "broken-topology", "layers"),
        ({"class_name": "Sequential", "config": {"layers": [3]}}, "broken-topology", "3"),
        (model(dense(name=None), {"class_name": "Dense", "config": "x"}), "broken-topology", "'x'"),
    ],
)  # fmt: skip
def test_what_can_not_be_read_is_an_error(described, reason, word):
    refused(described, reason, word)


def test_nesting_without_end_is_an_error():
    described = model(dense())
    for _ in range(300):
        described = model(described)
    refused(described, "broken-topology")
    inside = layer("Dense", units=1)
    for _ in range(50):
        inside = layer("TimeDistributed", layer=inside)
    refused(model(inside), "broken-topology")


def test_the_writer_and_the_loss_are_told():
    training = {"loss": "categoricalCrossentropy", "metrics": []}
    found = converted(model(dense()), generatedBy="TensorFlow.js tfjs-layers v2.0.1", trainingConfig=training)
    assert found.writer == "TensorFlow.js tfjs-layers v2.0.1"
    assert found.loss == "categoricalCrossentropy"
    assert converted(model(dense()), version="tfjs-layers 1.3.1").writer == "tfjs-layers 1.3.1"
    told = converted(model(dense()), version="2.7.0", convertedBy="TensorFlow.js Converter v3.9.0").writer
    assert told == "keras v2.7.0, TensorFlow.js Converter v3.9.0"


# ---- telling files apart ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"modelTopology": model(dense()), "weightsManifest": []}, "layers"),
        ({"modelTopology": {"model_config": model(dense())}}, "layers"),
        ({"modelTopology": {"className": "Sequential", "config": []}}, "layers"),
        ({"modelTopology": {"node": [], "versions": {}}, "format": "graph-model"}, "graph"),
        ({"modelTopology": {"node": []}}, "graph"),
        (model(dense()), None),
        ({"model_config": model(dense())}, None),
        ({"modelTopology": "x"}, None),
        ({"modelTopology": {}}, None),
        ({}, None),
        ([1], None),
    ],
)
def test_recognise(tmp_path, document, expected):
    (tmp_path / "model.json").write_text(json.dumps(document))
    (tmp_path / "another_name").write_text(json.dumps(document))
    assert (
        recognise(tmp_path) == recognise(tmp_path / "model.json") == recognise(tmp_path / "another_name") == expected
    )


@pytest.mark.parametrize(
    "content", [b"", b"{", b"PK\x03\x04", b"\x89HDF", b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe{"]
)
def test_what_is_no_json_is_none(tmp_path, content):
    (tmp_path / "model.json").write_bytes(content)
    assert recognise(tmp_path) is None
    assert recognise(tmp_path / "nothing") is None
    with pytest.raises(ModelError) as caught:
        read_document(tmp_path)
    assert caught.value.reason == "truncated"


def test_a_document_without_weights_or_topology_says_so(tmp_path):
    for document, reason in (({"modelTopology": model(dense())}, "missing-weights"), (model(dense()), "not-a-model")):
        (tmp_path / "model.json").write_text(json.dumps(document))
        with pytest.raises(ModelError) as caught:
            read_document(tmp_path)
        assert caught.value.reason == reason
    with pytest.raises(ModelError, match="no file"):
        read_document(tmp_path / "nothing")


def test_reference_and_wild_models_are_told_apart():
    shared("reference/tfjs")
    for folder, expected in (("tfjs", "layers"), ("tfjs_converted", "layers"), ("tfjs_graph", "graph")):
        assert {recognise(path) for path in (SHARED / "reference" / folder).iterdir()} == {expected}
    assert {recognise(path) for path in (SHARED / "wild").glob("*_tfjs")} == {"layers"}


def test_teachable_machines_metadata(tmp_path):
    assert read_metadata(tmp_path) == Metadata()
    file = tmp_path / "metadata.json"
    said = {"tmVersion": "2.4.5", "packageName": "@teachablemachine/image", "labels": ["a", "b"], "imageSize": 224}
    file.write_text(json.dumps(said))
    assert read_metadata(tmp_path) == Metadata(("a", "b"), 224, 1 / 127.5, -1.0)
    file.write_text(json.dumps(said | {"packageName": "@teachablemachine/pose"}))
    assert read_metadata(tmp_path) == Metadata(("a", "b"))
    for other in ({"labels": ["a"]}, [], 3, said | {"labels": [1]}, said | {"imageSize": "big", "labels": None}):
        file.write_text(json.dumps(other))
        assert read_metadata(tmp_path).class_names == ()
    file.write_text("{")
    assert read_metadata(tmp_path) == Metadata()


def test_snake_case():
    assert [snake(name) for name in ("batchInputShape", "class_name", "relu6", "gelu_new")] == [
        "batch_input_shape", "class_name", "relu6", "gelu_new",
    ]  # fmt: skip


def test_nothing_of_tensorflow_is_imported():
    program = (
        "import sys; from saliency_cli.models.tfjs import config, document, metadata, weights;"
        "assert not {'tensorflow', 'keras', 'h5py'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
