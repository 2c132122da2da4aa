"""Frozen graphs: their ends guessed or named, their gradients those of the source."""

import numpy as np
import pytest
from graph_tools import assert_same, drawn, gradients, own_gradients, shared

from saliency_cli.autodiff.compiled import Compiled
from saliency_cli.autodiff.runtime import tf
from saliency_cli.errors import ModelError
from saliency_cli.models.graphs.frozen_graph import load, recognise
from saliency_cli.models.options import OpenOptions

PLAIN = OpenOptions()
RNG = np.random.default_rng(2)
HIDDEN = RNG.normal(0, 0.5, (16, 6)).astype(np.float32)
CLASSES = RNG.normal(0, 0.5, (6, 3)).astype(np.float32)


def network(x):
    with tf.name_scope("hidden"):
        h = tf.tanh(tf.reshape(x, (-1, 16)) @ HIDDEN)
    return h @ CLASSES


def freeze(path, emit, shape=(None, 4, 4, 1), name="picture"):
    """Write a TensorFlow 1 graph, as a script of 2017 would have."""
    graph = tf.Graph()
    with graph.as_default():
        emit(tf.compat.v1.placeholder(tf.float32, shape, name=name))
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


def with_choice(x):
    probabilities = tf.nn.softmax(network(x), name="probabilities")
    tf.identity(tf.argmax(probabilities, -1), name="choice")
    with tf.name_scope("loss"):
        tf.reduce_mean(x, name="mean")


def test_the_scores_are_the_output_and_not_the_choice(tmp_path):
    path = freeze(tmp_path / "net.pb", with_choice)
    assert recognise(path)
    model = load(path, PLAIN)
    assert [(spec.name, spec.shape, spec.channels) for spec in model.inputs] == [("picture", (4, 4, 1), 2)]
    assert [output.name for output in model.outputs] == ["probabilities"]
    assert Compiled(model, "probabilities", batch=2).facts.logits_found
    inputs = drawn(model)
    expected = own_gradients(lambda x: tf.nn.softmax(network(x["picture"])), inputs, [1, -2, 0.5])
    assert_same(gradients(model, inputs, [1, -2, 0.5]), expected)
    assert "hidden/Tanh" in [layer.path for layer in model.layers]
    assert len(model.sha256) == 64


def test_ends_can_be_named(tmp_path):
    path = freeze(tmp_path / "net.pb", with_choice)
    model = load(path, OpenOptions(input_tensors=("hidden/Tanh:0",), output_tensors=("probabilities",)))
    assert [spec.name for spec in model.inputs] == ["hidden/Tanh"]
    inputs = drawn(model)
    expected = own_gradients(lambda x: tf.nn.softmax(x["hidden/Tanh"] @ CLASSES), inputs, [1, -2, 0.5])
    assert_same(gradients(model, inputs, [1, -2, 0.5]), expected)


def test_names_that_are_not_there(tmp_path):
    path = freeze(tmp_path / "net.pb", with_choice)
    with pytest.raises(ModelError, match="no operation 'hidden/Tan'") as caught:
        load(path, OpenOptions(output_tensors=("hidden/Tan",)))
    assert "hidden/Tanh" in caught.value.hint


def test_a_switch_of_training_is_no_input(tmp_path):
    def emit(x):
        keep = tf.compat.v1.placeholder(tf.float32, (), name="keep_prob")
        tf.nn.softmax(network(x) / keep)

    model = load(freeze(tmp_path / "net.pb", emit), PLAIN)
    assert [spec.name for spec in model.inputs] == ["picture"]
    assert model.notes == ("keep_prob is held at 1.0",)


def test_an_unknown_shape_is_told_by_the_graph_or_said(tmp_path):
    assert load(freeze(tmp_path / "net.pb", network, None), PLAIN).inputs[0].shape == (16,)
    with pytest.raises(ModelError, match="shape of the input 'picture' is not known") as caught:
        load(freeze(tmp_path / "bare.pb", tf.tanh, None), PLAIN)
    assert caught.value.reason == "unknown-shape"


def test_candidates_are_listed_where_the_ends_can_not_be_told(tmp_path):
    def many(x):
        for i in range(20):
            tf.tanh(x, name=f"end{i}")

    with pytest.raises(ModelError, match=r"20 operations could be outputs.*end0, end1, ") as caught:
        load(freeze(tmp_path / "many.pb", many), PLAIN)
    assert "--output-tensor" in caught.value.hint
    graph = tf.Graph()
    with graph.as_default():
        tf.tanh(tf.ones((2, 3)), name="end")
    (tmp_path / "none.pb").write_bytes(graph.as_graph_def().SerializeToString())
    with pytest.raises(ModelError, match=r"no placeholder.*end") as caught:
        load(tmp_path / "none.pb", PLAIN)
    assert "--input-tensor" in caught.value.hint


def test_files_are_not_touched(tmp_path):
    marker = tmp_path / "marker"

    def emit(x):
        with tf.control_dependencies([tf.io.write_file(str(marker), "marker")]):
            tf.tanh(x)

    with pytest.raises(ModelError, match="WriteFile") as caught:
        load(freeze(tmp_path / "net.pb", emit), PLAIN)
    assert caught.value.reason == "refused-operation"
    assert not marker.exists()


def test_loops_of_tensorflow_1_are_said(tmp_path):
    tf.compat.v1.disable_control_flow_v2()
    try:
        path = freeze(
            tmp_path / "loop.pb",
            lambda x: tf.while_loop(lambda i, _: i < 3, lambda i, v: (i + 1, tf.tanh(v)), (0, x)),
            (None, 4),
        )
    finally:
        tf.compat.v1.enable_control_flow_v2()
    with pytest.raises(ModelError, match="loop of TensorFlow 1") as caught:
        load(path, OpenOptions(output_tensors=("while/Exit_1",)))
    assert caught.value.reason == "old-loop"


def test_what_is_no_graph_is_not_recognised(tmp_path):
    for content in (
        b"",
        b"hello",
        b"\x0a\x00",
        b"\n\x05hello",
        b"\x08\x01\x12\x00",
        b"\x89HDF\r\n\x1a\n",
        b"\n" * 50,
    ):
        (tmp_path / "x.pb").write_bytes(content)
        assert not recognise(tmp_path / "x.pb")
    whole = freeze(tmp_path / "net.pb", with_choice).read_bytes()
    (tmp_path / "cut.pb").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError) as caught:
        load(tmp_path / "cut.pb", PLAIN)
    assert caught.value.reason == "truncated"
    assert not recognise(tmp_path)


def test_a_lenet_of_2018():
    path = shared("wild", "dl4j_frozen_lenet_pb", "lenet_frozen.pb")
    assert recognise(path)
    guessed = load(path, PLAIN)
    assert guessed.inputs[0].shape == (28, 28, 1)
    assert [output.name for output in guessed.outputs] == ["Lenet/fc9_1/Relu"]
    model = load(path, OpenOptions(output_tensors=("Lenet/fc9_1/BiasAdd",)))
    inputs = drawn(model)
    weights = np.arange(10, dtype=np.float32)
    graph = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    wrapped = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph, name=""), [])
    pruned = wrapped.prune("input:0", "Lenet/fc9_1/BiasAdd:0")

    def call(x):
        return tf.ensure_shape(pruned(x["input"]), (2, 10))

    assert_same(gradients(model, inputs, weights), own_gradients(call, inputs, weights))
