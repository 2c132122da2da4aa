"""TensorFlow.js graph-models: recorded outputs and gradients, and small ones written by hand."""

import base64
import json

import numpy as np
import pytest
from google.protobuf import json_format
from graph_tools import assert_same, drawn, gradients, own_gradients, recorded, recorded_targets, shared

from saliency_cli.autodiff.compiled import Compiled
from saliency_cli.autodiff.runtime import tf
from saliency_cli.errors import ModelError
from saliency_cli.models.graphs.tfjs_graph import load, recognise
from saliency_cli.models.options import OpenOptions

PLAIN = OpenOptions()
# Relative to the largest value, and an absolute floor for values that float32 rounds away.
AGREE, FLOOR = 2e-6, 1e-9


@pytest.mark.parametrize("name", ["k2_cnn", "k3_cnn_u8", "k2_rnn"])
def test_agrees_with_what_tensorflow_js_computed(name):
    folder = shared("reference", "tfjs_graph", name)
    reference = json.loads((folder / "ref.json").read_text())
    model = load(folder, PLAIN)
    inputs = [recorded(entry) for entry in reference["inputs"]]
    outputs, targets = recorded_targets(model, inputs)
    for found, entry in zip(outputs, reference["outputs"], strict=True):
        expected = recorded(entry)
        assert np.abs(found - expected).max() <= AGREE * np.abs(expected).max() + FLOOR
    for target, entries in reference["targets"].items():
        if "error" in entries:
            continue
        for found, entry in zip(targets[target], entries, strict=True):
            expected = recorded(entry)
            assert np.abs(found - expected).max() <= AGREE * np.abs(expected).max() + FLOOR, target


@pytest.mark.parametrize("name", ["k2_rnn", "k3_rnn"])
def test_loops_that_tensorflow_js_cannot_differentiate_agree_with_differences(name):
    model = load(shared("reference", "tfjs_graph", name), PLAIN)
    compiled = Compiled(model, model.outputs[0].name, batch=1)
    spec = model.inputs[0]
    x = np.random.default_rng(0).normal(size=(1, *spec.shape)).astype(np.float32)
    rows, top, truth = np.array([[1.0, -2.0, 0.5]], np.float32), np.zeros(1, bool), np.zeros(1, np.float32)

    def value(at):
        return compiled({spec.name: at}, rows, top, truth).values[0]

    gradient = compiled({spec.name: x}, rows, top, truth).gradients[spec.name][0]
    assert compiled.facts.logits_found
    for place in np.ndindex(*spec.shape):
        if sum(place) % 5:
            continue
        step = np.zeros_like(x)
        step[(0, *place)] = 1e-2
        difference = (value(x + step) - value(x - step)) / 2e-2
        assert abs(difference - gradient[place]) < 2e-3 * np.abs(gradient).max() + 1e-5


def test_inputs_and_outputs_keep_their_names():
    model = load(shared("reference", "tfjs_graph", "k2_twoio"), PLAIN)
    assert [spec.name for spec in model.inputs] == ["a", "b"]
    assert [output.name for output in model.outputs] == ["o1", "o2"]
    found = gradients(model, drawn(model), [1.0], "o2")
    assert all(np.any(value) for value in found.values())


def graph_of(function, *specs):
    """The GraphDef of a function in JSON, its constants' values moved out of it."""
    concrete = tf.function(function, autograph=False).get_concrete_function(*specs)
    graph = concrete.graph.as_graph_def()
    weights = {}
    for node in graph.node:
        if node.op == "Const":
            weights[node.name] = tf.make_ndarray(node.attr["value"].tensor)
            for field in ("tensor_content", "float_val", "int_val"):
                node.attr["value"].tensor.ClearField(field)
    signature = {
        "inputs": {tensor.op.name: {"name": tensor.name} for tensor in concrete.inputs},
        "outputs": {"y": {"name": concrete.outputs[0].name}},
    }
    return json_format.MessageToDict(graph), weights, signature


def write(folder, graph, weights, signature, **changed):
    """Write a graph-model with its weights in one shard, as floats or quantised."""
    content, entries = b"", []
    for name, value in weights.items():
        entry = {"name": name, "shape": list(value.shape), "dtype": value.dtype.name}
        kind = changed.get("quantise")
        if kind and value.dtype == np.float32 and value.size > 1:
            if kind == "float16":
                value, entry["quantization"] = value.astype(np.float16), {"dtype": "float16"}
            else:
                steps = np.iinfo(kind).max
                low, scale = float(value.min()), float(np.ptp(value)) / steps
                value = np.round((value - low) / scale).astype(kind)
                entry["quantization"] = {"dtype": kind, "min": low, "scale": scale}
        content += value.tobytes()
        entries.append(entry)
    folder.mkdir(exist_ok=True)
    (folder / "shard.bin").write_bytes(content)
    manifest = [{"paths": changed.get("paths", ["shard.bin"]), "weights": entries}]
    description = {"format": "graph-model", "modelTopology": graph, "weightsManifest": manifest}
    if signature:
        description["signature"] = signature
    (folder / "model.json").write_text(json.dumps(description))
    return folder


RNG = np.random.default_rng(3)
KERNEL = RNG.normal(0, 0.5, (3, 3, 2, 4)).astype(np.float32)
DEPTHWISE = RNG.normal(0, 0.5, (3, 3, 4, 1)).astype(np.float32)
DENSE = RNG.normal(0, 0.5, (64, 3)).astype(np.float32)
BIAS = RNG.normal(size=4).astype(np.float32)
PICTURE = tf.TensorSpec((None, 4, 4, 2), tf.float32, name="picture")


def network(x):
    h = tf.nn.relu6(tf.nn.bias_add(tf.nn.conv2d(x, KERNEL, 1, "SAME"), BIAS))
    h = tf.nn.elu(tf.nn.bias_add(tf.nn.depthwise_conv2d(h, DEPTHWISE, (1, 1, 1, 1), "SAME"), BIAS))
    return tf.nn.softmax(tf.reshape(h, (-1, 64)) @ DENSE)


def fused(graph, kinds):
    """Fuse each chain (heart, BiasAdd, activation) of a JSON graph the way TensorFlow.js's converter does."""
    nodes = {node["name"]: node for node in graph["node"]}
    for last, (steps, kind) in kinds.items():
        chain = [nodes[last]]
        while chain[0]["op"] not in ("Conv2D", "DepthwiseConv2dNative", "MatMul"):
            chain.insert(0, nodes[chain[0]["input"][0]])
        extra = [node["input"][1] for node in chain[1:] if len(node["input"]) > 1]
        heart = dict(chain[0]["attr"])
        heart["fused_ops"] = {"list": {"s": [base64.b64encode(step.encode()).decode() for step in steps]}}
        heart["num_args"] = {"i": str(len(extra))}
        for node in chain:
            graph["node"].remove(node)
        graph["node"].append({"name": last, "op": kind, "input": [*chain[0]["input"][:2], *extra], "attr": heart})
    return graph


def test_fused_operations_are_taken_apart(tmp_path):
    graph, weights, signature = graph_of(network, PICTURE)
    graph = fused(
        graph,
        {
            "Relu6": (["BiasAdd", "Relu6"], "_FusedConv2D"),
            "Elu": (["BiasAdd", "Elu"], "FusedDepthwiseConv2dNative"),
        },
    )
    model = load(write(tmp_path / "m", graph, weights, signature), PLAIN)
    inputs = drawn(model)
    expected = own_gradients(lambda x: network(x["picture"]), inputs, [1, -2, 0.5])
    assert_same(gradients(model, inputs, [1, -2, 0.5]), expected)
    assert "Relu6" in [layer.path for layer in model.layers]
    assert Compiled(model, "y", batch=1).facts.logits_found


@pytest.mark.parametrize("kind", ["float16", "uint8", "uint16"])
def test_quantised_weights_are_the_values_they_stand_for(tmp_path, kind):
    graph, weights, signature = graph_of(lambda x: tf.reshape(x, (-1, 32)) @ DENSE[:32], PICTURE)
    model = load(write(tmp_path / "m", graph, weights, signature, quantise=kind), PLAIN)
    found = gradients(model, drawn(model), [0, 1, 0])["picture"][0].ravel()
    step = {"float16": 2e-3, "uint8": np.ptp(DENSE) / 255, "uint16": np.ptp(DENSE) / 65535}[kind]
    assert np.abs(found - DENSE[:32, 1]).max() <= step


def test_prelu_with_its_slope_as_an_input(tmp_path):
    slope = np.array([0.1, 0.5, 0.0, 2.0], np.float32)

    def twin(x):
        h = tf.nn.bias_add(tf.nn.conv2d(x, KERNEL, 1, "SAME"), BIAS)
        return tf.reduce_sum(tf.nn.relu(h) - slope * tf.nn.relu(-h), (1, 2))

    def before(x):
        h = tf.nn.bias_add(tf.nn.conv2d(x, KERNEL, 1, "SAME"), BIAS)
        h = tf.raw_ops.Mul(x=h, y=tf.constant(slope), name="prelu")
        return tf.reduce_sum(h, (1, 2))

    graph, weights, signature = graph_of(before, PICTURE)
    next(node for node in graph["node"] if node["name"] == "prelu")["op"] = "Prelu"
    model = load(write(tmp_path / "alone", graph, weights, signature), PLAIN)
    inputs = drawn(model)
    expected = own_gradients(lambda x: twin(x["picture"]), inputs, [1, 2, 3, 4])
    assert_same(gradients(model, inputs, [1, 2, 3, 4]), expected)
    fused(graph, {"prelu": (["BiasAdd", "Prelu"], "_FusedConv2D")})
    model = load(write(tmp_path / "fused", graph, weights, signature), PLAIN)
    assert_same(gradients(model, inputs, [1, 2, 3, 4]), expected)


def test_ends_are_guessed_without_a_signature(tmp_path):
    folder = write(tmp_path / "m", *graph_of(network, PICTURE)[:2], None)
    assert recognise(folder)
    assert recognise(folder / "model.json")
    model = load(folder / "model.json", PLAIN)
    assert [spec.name for spec in model.inputs] == ["picture"]
    assert [output.name for output in model.outputs] == ["Softmax"]


@pytest.mark.parametrize(
    "path", ["../shard.bin", "/etc/hostname", "a/../../x", "https://example.com/x", "a\\b", "%2e%2e/x", "", ".", 3]
)
def test_weight_files_outside_the_folder_are_refused(tmp_path, path):
    (tmp_path / "shard.bin").write_bytes(b"\0" * 10000)
    folder = write(tmp_path / "m", *graph_of(network, PICTURE), paths=[path])
    with pytest.raises(ModelError) as caught:
        load(folder, PLAIN)
    assert caught.value.reason == "refused-path"


def test_a_linked_weight_file_that_leaves_the_folder_is_refused(tmp_path):
    folder = write(tmp_path / "m", *graph_of(network, PICTURE))
    (folder / "shard.bin").rename(tmp_path / "elsewhere.bin")
    (folder / "shard.bin").symlink_to(tmp_path / "elsewhere.bin")
    with pytest.raises(ModelError) as caught:
        load(folder, PLAIN)
    assert caught.value.reason == "refused-path"


def spoilt(change):
    def spoil(folder):
        description = json.loads((folder / "model.json").read_text())
        change(description, folder)
        (folder / "model.json").write_text(json.dumps(description))

    return spoil


def first_weight(**changed):
    return spoilt(lambda description, _: description["weightsManifest"][0]["weights"][0].update(changed))


def last_node(**changed):
    return spoilt(lambda description, _: description["modelTopology"]["node"][-1].update(changed))


SPOILT = {
    "missing shard": (spoilt(lambda _, folder: (folder / "shard.bin").unlink()), "missing-weights"),
    "short shard": (spoilt(lambda _, folder: (folder / "shard.bin").write_bytes(b"\0" * 12)), "truncated"),
    "bytes left": (
        spoilt(lambda _, f: (f / "shard.bin").write_bytes((f / "shard.bin").read_bytes() + b"1")),
        "broken-weights",
    ),
    "weight missing": (spoilt(lambda d, f: _without_weight(d, f)), "missing-weights"),
    "weight unknown": (
        spoilt(lambda d, _: d["weightsManifest"][0]["weights"][0].update(name="x")),
        "missing-weights",
    ),
    "negative shape": (
        spoilt(lambda d, _: d["weightsManifest"][0]["weights"][0].update(shape=[-1])),
        "broken-weights",
    ),
    "unknown dtype": (
        spoilt(lambda d, _: d["weightsManifest"][0]["weights"][0].update(dtype="int3")),
        "unsupported-weights",
    ),
    "no manifest": (spoilt(lambda d, _: d.pop("weightsManifest")), "missing-weights"),
    "file operation": (
        last_node(op="ReadFile"),
        "refused-operation",
    ),
    "table": (spoilt(lambda d, _: d.update(modelInitializer={"node": [{"op": "NoOp"}]})), "unsupported-format"),
    "node without op": (spoilt(lambda d, _: d["modelTopology"]["node"][-1].pop("op")), "truncated"),
}


def _without_weight(description, folder):
    first = description["weightsManifest"][0]["weights"].pop(0)
    size = int(np.prod(first["shape"])) * np.dtype(first["dtype"]).itemsize
    (folder / "shard.bin").write_bytes((folder / "shard.bin").read_bytes()[size:])


@pytest.mark.parametrize("name", SPOILT)
def test_broken_models_say_what_is_wrong(tmp_path, name):
    spoil, reason = SPOILT[name]
    folder = write(tmp_path / "m", *graph_of(network, PICTURE))
    spoil(folder)
    with pytest.raises(ModelError) as caught:
        load(folder, PLAIN)
    assert caught.value.reason == reason
    assert caught.value.hint


def test_only_graph_models_are_recognised(tmp_path):
    (tmp_path / "model.json").write_text('{"modelTopology": {"model_config": {}}, "weightsManifest": []}')
    assert not recognise(tmp_path)
    (tmp_path / "model.json").write_text("{" * 100000)
    assert not recognise(tmp_path)
    assert not recognise(tmp_path / "absent")
