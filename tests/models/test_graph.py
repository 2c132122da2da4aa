"""Flat graphs as models: gradients, layers, ends, and what can't be one."""

import numpy as np
import pytest
from graph_tools import assert_same, drawn, gradients, own_gradients

from saliency_cli.autodiff.compiled import Compiled
from saliency_cli.autodiff.runtime import tf
from saliency_cli.errors import ModelError
from saliency_cli.models.graphs import layers as graph_layers
from saliency_cli.models.graphs.flattened import GraphSource, build

RNG = np.random.default_rng(5)
SQUARE = RNG.normal(0, 0.6, (4, 4)).astype(np.float32)
WIDE = RNG.normal(0, 0.1, (4, 300)).astype(np.float32)
ROWS = tf.TensorSpec((None, 4), tf.float32, name="x")


def graph_of(function, *specs):
    """A function's graph, with constants for weights, as (GraphDef, first input, first output)."""
    concrete = tf.function(function, autograph=False).get_concrete_function(*(specs or (ROWS,)))
    return concrete.graph.as_graph_def(), concrete.inputs[0].name, concrete.outputs[0].name


def opened(function, *specs):
    graph, x, y = graph_of(function, *specs)
    return build(GraphSource(graph, {"x": x}, {"y": y}), name="net", kind="test")


def straight(x):
    with tf.name_scope("hidden"):
        x = tf.tanh(x @ SQUARE)
    with tf.name_scope("wide"):
        x = tf.nn.relu(x @ WIDE)
    with tf.name_scope("classes"):
        return tf.nn.softmax(x @ WIDE.T)


@tf.function
def inner(x):
    return tf.tanh(x @ SQUARE)


@tf.function
def outer(x):
    return inner(x) + inner(2.0 * x)


def calls(x):
    return outer(x) * inner(x)


@tf.function
def loop(x):
    for _ in tf.range(3):
        x = outer(x)
    return x


@tf.function
def branch(x):
    return tf.cond(tf.reduce_sum(x) > 0, lambda: outer(x) * 2.0, lambda: inner(inner(x)))


def several_outputs(x):
    first, second = tf.split(x @ SQUARE, 2, axis=1)
    return tf.concat([second, tf.square(first)], axis=1)


@pytest.mark.parametrize("function", [straight, calls, loop, branch, several_outputs])
@pytest.mark.parametrize("batch", [1, 3])
def test_the_gradient_is_the_source_s_own(function, batch):
    model = opened(function)
    inputs = drawn(model, batch)
    expected = own_gradients(lambda x: function(x["x"]), inputs, [1, -2, 3, 0.5])
    assert_same(gradients(model, inputs, [1, -2, 3, 0.5]), expected)


def test_head_layers_and_weights():
    model = opened(straight)
    facts = Compiled(model, "y", batch=2).facts
    assert facts.logits_found
    assert facts.head == "softmax"
    assert facts.connected == ("x",)
    assert [(layer.path, layer.kind, layer.parameters) for layer in model.layers] == [
        ("hidden/Tanh", "Tanh", 16),
        ("wide/Relu", "Relu", 1200),
        ("classes/Softmax", "Softmax", 1200),
    ]
    assert facts.layers == {"hidden/Tanh": (4,), "wide/Relu": (300,), "classes/Softmax": (4,)}
    assert model.parameters == 2416
    assert model.batch is None
    assert model.outputs[0].shape == (4,)


def test_gradients_reach_layers_in_the_middle():
    model = opened(straight)

    @tf.function
    def differentiate(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            traced = model.forward({"x": x})
            total = tf.reduce_sum(traced.outputs["y"][:, 0])
        return tape.gradient(total, traced.layers["wide/Relu"]), traced.layers["wide/Relu"]

    x = tf.constant(drawn(model)["x"])
    found, hidden = differentiate(x)
    with tf.GradientTape() as tape:
        tape.watch(hidden)
        total = tf.reduce_sum(tf.nn.softmax(hidden @ WIDE.T)[:, 0])
    assert_same({"h": found.numpy()}, {"h": tape.gradient(total, hidden).numpy()})


def test_layers_are_the_same_when_traced_again_beside_another():
    model = opened(straight)

    @tf.function
    def twice(x):
        first = model.forward({"x": x})
        second = model.forward({"x": 2.0 * x})
        return first.outputs["y"], second.outputs["y"]

    x = tf.constant(drawn(model)["x"])
    first, second = twice(x)
    np.testing.assert_allclose(first, straight(x), rtol=1e-5)
    np.testing.assert_allclose(second, straight(2.0 * x), rtol=1e-5)


def test_the_hash_is_of_the_weights():
    def other(x):
        return tf.nn.softmax(tf.nn.relu(tf.tanh(x @ (2 * SQUARE)) @ WIDE) @ WIDE.T)

    assert opened(straight).weights_sha256 == opened(straight).weights_sha256
    assert opened(straight).weights_sha256 != opened(other).weights_sha256


def test_several_inputs_one_of_integers():
    graph = tf.function(
        autograph=False, func=lambda x, i: tf.gather(x, 0, axis=1) * tf.cast(i, tf.float32)
    ).get_concrete_function(ROWS, tf.TensorSpec((None,), tf.int32, name="i"))
    source = GraphSource(graph.graph.as_graph_def(), {"x": "x:0", "i": "i:0"}, {"y": graph.outputs[0].name})
    model = build(source, name="net", kind="test")
    assert [(spec.name, spec.shape, spec.dtype) for spec in model.inputs] == [
        ("x", (4,), "float32"),
        ("i", (), "int32"),
    ]
    inputs = {"x": drawn(model)["x"], "i": np.array([2, 5], np.int32)}
    compiled = Compiled(model, "y", batch=2)
    found = compiled(inputs, np.ones((2, 1), np.float32), np.zeros(2, bool), np.zeros(2, np.float32))
    np.testing.assert_array_equal(found.gradients["x"], [[2, 0, 0, 0], [5, 0, 0, 0]])


def test_a_fixed_batch_is_the_model_s_own():
    model = opened(straight, tf.TensorSpec((3, 4), tf.float32, name="x"))
    assert model.batch == 3
    assert np.any(gradients(model, drawn(model, 3), [1, 2, 3, 4])["x"])


def test_a_placeholder_s_fixed_batch_written_into_shapes_is_forgotten():
    graph, x, y = graph_of(straight, tf.TensorSpec((1, 4), tf.float32, name="x"))
    for node in graph.node:
        if node.name == "x":
            node.attr["shape"].shape.dim[0].size = -1
            node.attr.pop("_user_specified_name", None)
        node.attr["_output_shapes"].list.shape.add().dim.add().size = 1
    model = build(GraphSource(graph, {"x": x}, {"y": y}), name="net", kind="test")
    assert model.batch is None
    assert gradients(model, drawn(model, 5), [1, 2, 3, 4])["x"].shape == (5, 4)


@pytest.mark.parametrize(
    ("function", "shape"),
    [
        (lambda x: tf.reshape(x, (-1, 2, 2, 1)), (2, 2, 1)),
        (lambda x: tf.raw_ops.MatMul(a=tf.identity(x), b=SQUARE), (4,)),
        (lambda x: tf.nn.conv2d(x, np.ones((1, 1, 3, 2), np.float32), 1, "SAME"), (None, None, 3)),
    ],
)
def test_an_unknown_shape_is_told_by_the_first_operation(function, shape):
    model = opened(function, tf.TensorSpec(None, tf.float32, name="x"))
    assert model.inputs[0].shape == shape


def test_bytes_are_fed_behind_their_cast():
    model = opened(lambda x: tf.cast(x, tf.float32) @ SQUARE, tf.TensorSpec((None, 4), tf.uint8, name="x"))
    assert model.inputs[0].dtype == "float32"
    assert "behind its cast" in model.notes[0]
    np.testing.assert_allclose(gradients(model, drawn(model), [1, 0, 0, 0])["x"][0], SQUARE[:, 0], rtol=1e-6)


def test_half_precision_inputs_are_given_as_float32():
    model = opened(lambda x: tf.cast(x, tf.float32) @ SQUARE, tf.TensorSpec((None, 4), tf.float16, name="x"))
    assert model.inputs[0].dtype == "float32"
    assert gradients(model, drawn(model), [1, 0, 0, 0])["x"].dtype == np.float32


def test_any_tensor_can_be_the_input():
    graph, _, y = graph_of(straight)
    model = build(GraphSource(graph, {"h": "hidden/Tanh"}, {"y": y}), name="net", kind="test")
    inputs = drawn(model)
    expected = own_gradients(lambda x: tf.nn.softmax(tf.nn.relu(x["h"] @ WIDE) @ WIDE.T), inputs, [1, -2, 3, 0.5])
    assert_same(gradients(model, inputs, [1, -2, 3, 0.5]), expected)


def test_switches_of_training_are_held():
    def function(x, is_training, keep_prob):
        return tf.where(is_training, 0.0, 1.0) * x / keep_prob

    concrete = tf.function(function, autograph=False).get_concrete_function(
        ROWS, tf.TensorSpec((), tf.bool, name="is_training"), tf.TensorSpec((), tf.float32, name="keep_prob")
    )
    source = GraphSource(concrete.graph.as_graph_def(), {"x": "x:0"}, {"y": concrete.outputs[0].name})
    model = build(source, name="net", kind="test")
    np.testing.assert_array_equal(gradients(model, drawn(model), [1, 1, 1, 1])["x"], np.ones((2, 4)))
    assert len(model.notes) == 2


def test_a_gradient_of_the_model_s_own_is_not_used_and_that_is_said():
    @tf.custom_gradient
    def reversed_square(x):
        return x * x, lambda upstream: -upstream

    model = opened(lambda x: tf.identity(reversed_square(x)))
    inputs = drawn(model)
    np.testing.assert_allclose(gradients(model, inputs, [1, 1, 1, 1])["x"], 2 * inputs["x"], rtol=1e-6)
    assert "differentiated as computed" in model.notes[0]


def test_names_that_tensorflow_writes_but_does_not_read():
    graph, x, y = graph_of(loop)
    for function in graph.library.function:
        if not any(node.op == "AddV2" for node in function.node_def):
            continue
        node = next(node for node in function.node_def if node.op == "AddV2")
        old, node.name = node.name, "__inference_body/" + node.name
        for other in function.node_def:
            renamed = [name.replace(old + ":", node.name + ":") for name in other.input]
            del other.input[:]
            other.input.extend(renamed)
        for key, value in list(function.ret.items()):
            function.ret[key] = value.replace(old + ":", node.name + ":")
    model = build(GraphSource(graph, {"x": x}, {"y": y}), name="net", kind="test")
    inputs = drawn(model)
    expected = own_gradients(lambda x: loop(x["x"]), inputs, [1, -2, 3, 0.5])
    assert_same(gradients(model, inputs, [1, -2, 3, 0.5]), expected)


def test_a_long_list_of_layers_is_shortened(monkeypatch):
    def deep(x):
        for block in range(30):
            for part in ("a", "b"):
                with tf.name_scope(f"block{block}/{part}"):
                    x = tf.tanh(x @ SQUARE)
        return x

    assert len(opened(deep).layers) == 60
    monkeypatch.setattr(graph_layers, "MOST_LAYERS", 40)
    assert [layer.path for layer in opened(deep).layers][-1] == "block29/b/Tanh"
    assert len(opened(deep).layers) == 30


def reason_of(call):
    with pytest.raises(ModelError) as caught:
        call()
    return caught.value.reason


def test_what_can_not_be_a_model_is_said():
    strings = tf.TensorSpec((None,), tf.string, name="x")
    assert reason_of(lambda: opened(tf.strings.to_number, strings)) == "integer-input"
    assert reason_of(lambda: opened(tf.as_string)) == "no-output"
    unknown = tf.TensorSpec(None, tf.float32, name="x")
    assert reason_of(lambda: opened(tf.tanh, unknown)) == "unknown-shape"
    assert reason_of(lambda: opened(tf.tanh, tf.TensorSpec((), tf.float32, name="x"))) == "no-batch-axis"
    graph, x, _ = graph_of(straight)
    missing = GraphSource(graph, {"x": x}, {"y": "clases/Softmax"})
    with pytest.raises(ModelError, match="no operation 'clases/Softmax'") as caught:
        build(missing, name="net", kind="test")
    assert "classes/Softmax" in caught.value.hint
    add = tf.function(tf.add, autograph=False)
    concrete = add.get_concrete_function(ROWS, tf.TensorSpec((), tf.float32, name="z"))
    unfed = GraphSource(concrete.graph.as_graph_def(), {"x": "x:0"}, {"y": concrete.outputs[0].name})
    assert reason_of(lambda: build(unfed, name="net", kind="test")) == "unfed-input"


def test_integers_alone_have_no_gradient():
    model = opened(lambda x: tf.gather(SQUARE, x), tf.TensorSpec((None,), tf.int32, name="x"))
    with pytest.raises(ModelError, match="integers have no gradient") as caught:
        _ = Compiled(model, "y", batch=2).facts
    assert caught.value.reason == "disconnected"


def test_an_operation_that_nobody_gave_a_gradient_is_an_error():
    def function(x):
        return (
            x
            + tf.raw_ops.Dilation2DBackpropInput(
                input=x[:, :, None, None],
                filter=np.zeros((1, 1, 1), np.float32),
                out_backprop=x[:, :, None, None],
                strides=(1, 1, 1, 1),
                rates=(1, 1, 1, 1),
                padding="SAME",
            )[:, :, 0, 0]
        )

    with pytest.raises(ModelError, match="Dilation2DBackpropInput") as caught:
        _ = Compiled(opened(function), "y", batch=2).facts
    assert caught.value.reason == "no-gradient"
