"""Gradients by the weights, of every row on its own: closed forms, a hand-written tape, both ways, every format."""

import numpy as np
import pytest
from tiny_models import dictionaries, drawn, relative, seeded, two_by_two, with_tokens

from saliency_cli.autodiff import parameters
from saliency_cli.autodiff.compiled import Compiled
from saliency_cli.autodiff.parameters import GRADIENT, SQUARES, WeightGradients
from saliency_cli.autodiff.row_products import NotByRows
from saliency_cli.autodiff.runtime import keras, tf
from saliency_cli.errors import ModelError
from saliency_cli.models.keras3.live import wrap

L = keras.layers
WAYS = ("vectorised", "loop")


class Asked:
    """What an evaluator about the weights tells of a batch: rows by weight name, and what was summed."""

    def __init__(
        self, model, inputs, rows, *, way=None, each=True, top=None, truth=None, all_weights=False, **options
    ):
        model = model if hasattr(model, "forward") else wrap(model)
        inputs = inputs if isinstance(inputs, dict) else {model.inputs[0].name: inputs}
        rows = np.asarray(rows, np.float32)
        n = len(rows)
        output = options.pop("output", model.outputs[0].name)
        compiled = Compiled(model, output, batch=n, by_inputs=False, **options)
        shape = () if truth is None else np.shape(truth)[1:]
        weights = [weight for weight in model.weights if weight.trainable or all_weights]
        self.taken = []
        self.evaluator = WeightGradients(compiled, weights, self.taken.append, truth_shape=shape, each=each, way=way)
        truth = np.zeros(n, np.float32) if truth is None else np.asarray(truth, np.float32)
        top = np.zeros(n, bool) if top is None else np.asarray(top)
        self.found = self.evaluator(inputs, rows, top, truth)

    @property
    def rows(self):
        flat, at, found = self.found.activations[GRADIENT], 0, {}
        for weight in self.evaluator.weights:
            size = int(np.prod(weight.shape))
            found[weight.name] = flat[:, at : at + size].reshape(-1, *weight.shape)
            at += size
        return found

    @property
    def sums(self):
        (summed,) = self.taken
        names = [weight.name for weight in self.evaluator.weights]
        return dict(zip(names, summed.gradients, strict=True))


def by_tape(live, x, score):
    """The gradient that a tape over a live model gives, by every trainable weight, zeros for None."""

    @tf.function(autograph=False)
    def differentiate():
        with tf.GradientTape() as tape:
            value = score(live(tf.nest.map_structure(tf.constant, x), training=False))
        found = tape.gradient(value, live.trainable_weights)
        return [tf.zeros(w.shape) if g is None else g for g, w in zip(found, live.trainable_weights, strict=True)]

    return [tf.convert_to_tensor(g).numpy() for g in differentiate()]


@pytest.mark.parametrize("way", WAYS)
def test_a_matrix_product_in_closed_form(way):
    """s = z_c with z = x W + b: ∂s/∂W is x in column c, ∂s/∂b is 1 at c."""
    live = seeded(keras.Sequential([keras.Input((4,)), L.Dense(3, name="d")]))
    x, rows = drawn(5, 4), np.eye(3)[[0, 1, 2, 1, 0]]
    found = Asked(live, x, rows, way=way)
    assert found.evaluator.way == way
    np.testing.assert_allclose(found.rows["d/kernel"], x[:, :, None] * rows[:, None, :], rtol=1e-6)
    np.testing.assert_allclose(found.rows["d/bias"], rows)
    np.testing.assert_allclose(found.sums["d/kernel"], x.T @ rows, rtol=1e-6)
    squares = found.found.activations[SQUARES]
    np.testing.assert_allclose(squares, np.stack([(x**2).sum(1), np.ones(5)], axis=1), rtol=1e-6)
    np.testing.assert_allclose(found.taken[0].squares, squares)
    z = x @ live.get_weights()[0] + live.get_weights()[1]
    np.testing.assert_allclose(found.found.values, (rows * z).sum(1), rtol=1e-5)
    np.testing.assert_allclose(found.found.logits, z, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("way", WAYS)
def test_the_top_class_is_each_row_s_own(way):
    live = seeded(keras.Sequential([keras.Input((4,)), L.Dense(3, "softmax", name="d")]))
    x = drawn(6, 4)
    found = Asked(live, x, np.zeros((6, 3)), top=np.ones(6, bool), way=way)
    tops = live.predict(x, verbose=0).argmax(1)
    assert len(set(tops)) > 1
    assert list(found.found.tops) == list(tops)
    np.testing.assert_allclose(found.rows["d/kernel"], x[:, :, None] * np.eye(3)[tops][:, None, :], rtol=1e-6)


@pytest.mark.parametrize("way", WAYS)
def test_a_cross_entropy_in_closed_form(way):
    """∂/∂W of −ln p_c is x ⊗ (p − e_c)."""
    live = seeded(keras.Sequential([keras.Input((4,)), L.Dense(3, "softmax", name="d")]))
    x, truth = drawn(5, 4), np.eye(3)[[0, 1, 2, 1, 0]]
    found = Asked(live, x, np.ones((5, 3)), loss="categorical_crossentropy", truth=truth, way=way)
    error = live.predict(x, verbose=0) - truth
    np.testing.assert_allclose(found.rows["d/kernel"], x[:, :, None] * error[:, None, :], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.sums["d/bias"], error.sum(0), rtol=1e-4, atol=1e-6)


def net(shape, *layers, **options):
    live = seeded(keras.Sequential([keras.Input(shape, **options), *layers]))
    for variable in live.weights:
        if "variance" in variable.name:
            variable.assign(np.abs(variable.numpy()) + 0.5)
    return live


def shared():
    x = keras.Input((4,))
    layer = L.Dense(4, "tanh", name="shared")
    return seeded(keras.Model(x, L.Dense(3)(L.Concatenate()([layer(layer(x)), L.Multiply()([layer(x), x])]))))


@keras.saving.register_keras_serializable("tests")
class Scaled(L.Layer):
    """Weights that meet the data by every elementwise operation, and one that is no axis of its own."""

    def build(self, shape):
        self.a = self.add_weight(shape=(shape[-1],), name="a")
        self.b = self.add_weight(shape=(1, shape[-1]), name="b")
        self.c = self.add_weight(shape=(), name="c")

    def call(self, x):
        return (self.a - x) * self.b * self.c - self.a * keras.ops.exp(self.c) + self.b


NETS = {
    "convolution": lambda: net((8, 9, 3), L.Conv2D(4, 3, activation="tanh"), L.Flatten(), L.Dense(3)),
    "strided, padded": lambda: net((8, 9, 3), L.Conv2D(4, (3, 2), 2, "same"), L.MaxPool2D(), L.Flatten(), L.Dense(3)),
    "padded beforehand": lambda: net((7, 7, 2), L.ZeroPadding2D(), L.Conv2D(3, 5, padding="same"), L.Flatten()),
    "one place": lambda: net((4, 4, 2), L.Conv2D(3, 1, 2), L.GlobalAveragePooling2D(), L.Dense(3, use_bias=False)),
    "of a series": lambda: net((9, 3), L.Conv1D(4, 3, activation="relu"), L.GlobalMaxPooling1D(), L.Dense(2)),
    "depthwise": lambda: net((6, 6, 3), L.DepthwiseConv2D(3, 2, "same", depth_multiplier=2), L.Flatten(), L.Dense(2)),
    "separable": lambda: net((6, 6, 3), L.SeparableConv2D(4, 3), L.ReLU(6.0), L.Flatten(), L.Dense(2)),
    "normalised": lambda: net((6, 6, 3), L.Conv2D(4, 3), L.BatchNormalization(), L.ReLU(), L.Flatten(), L.Dense(2)),
    "layer norm": lambda: net((6,), L.Dense(5, "gelu"), L.LayerNormalization(), L.Dense(3, "softmax")),
    "activations": lambda: net((5,), L.Dense(4, "elu"), L.Dense(4, "selu"), L.Dense(4, "softplus"), L.Dense(2)),
    "swish": lambda: net((5,), L.Dense(4, "silu"), L.PReLU(), L.LeakyReLU(), L.Dense(2, "sigmoid")),
    "elementwise": lambda: net((5,), L.Dense(4, "sigmoid"), Scaled(), L.Dense(2)),
    "a layer three times": shared,
    "scaled": lambda: net((6, 6, 3), L.Rescaling(0.1, -1), L.Normalization(mean=[0.0, 1, 2], variance=[1.0, 2, 3]),
                          L.Conv2D(2, 3), L.Flatten(), L.Dense(2)),
}  # fmt: skip
LOOPED = {
    "recurrent": lambda: net((5, 3), L.LSTM(4, return_sequences=True), L.GRU(3), L.Dense(2)),
    "unrolled": lambda: net((4, 3), L.LSTM(3, unroll=True), L.Dense(2)),
    "transposed": lambda: net((4, 4, 2), L.Conv2DTranspose(2, 3), L.Flatten(), L.Dense(2)),
    "volume": lambda: net((4, 4, 4, 1), L.Conv3D(2, 2), L.Flatten(), L.Dense(2)),
    "dilated": lambda: net((8, 8, 2), L.Conv2D(2, 3, dilation_rate=2), L.Flatten(), L.Dense(2)),
    "dense on a series": lambda: net((5, 3), L.Dense(4, "tanh"), L.Flatten(), L.Dense(2)),
    "words": lambda: net((6,), L.Embedding(10, 3), L.Flatten(), L.Dense(2), dtype="int32"),
    "turned": lambda: net((4, 6), L.Permute((2, 1)), L.Conv1D(2, 3), L.Flatten(), L.Dense(2)),
}


def inputs_of(live, n, seed=1):
    rng = np.random.default_rng(seed)
    shape = (n, *live.input_shape[1:])
    return rng.integers(0, 10, shape).astype(np.int32) if "int" in live.inputs[0].dtype else drawn(*shape, seed=seed)


@pytest.mark.parametrize("name", [*NETS, *LOOPED])
def test_every_row_is_what_a_tape_gives_for_it_alone(name):
    live = {**NETS, **LOOPED}[name]()
    n = 4
    x = inputs_of(live, n)
    model = wrap(live)
    classes = Compiled(model, model.outputs[0].name, batch=1, by_inputs=False, space="output").facts.classes
    rows = np.linspace(1, 2, n * classes).reshape(n, classes)
    expected = [
        by_tape(live, x[i : i + 1], lambda y, i=i: tf.reduce_sum(y * rows[i].astype(np.float32))) for i in range(n)
    ]
    for way in WAYS if name in NETS else ("loop",):
        found = Asked(model, x, rows, way=way, space="output")
        assert list(found.rows) == [weight.name for weight in model.weights if weight.trainable]
        for k, (weight, gradients) in enumerate(found.rows.items()):
            whole = np.stack([each[k] for each in expected])
            scale = np.abs(whole).max() + 1e-3
            assert np.abs(gradients - whole).max() < 1e-5 * scale, (way, weight)
            assert np.abs(found.sums[weight] - whole.sum(0)).max() < 1e-5 * scale * n
    if name in LOOPED:
        assert Asked(model, x, rows, space="output").evaluator.way == "loop"
        with pytest.raises(NotByRows):
            Asked(model, x, rows, way="vectorised", space="output")
    else:
        assert Asked(model, x, rows, space="output").evaluator.way == "vectorised"


def test_weights_that_training_leaves_as_they_are():
    """Moving statistics: ∂/∂mean and ∂/∂variance go through what a normalisation makes of its weights."""
    live = NETS["normalised"]()
    x, rows = inputs_of(live, 3), np.eye(2)[[0, 1, 1]]
    once, again = (Asked(live, x, rows, way=way, all_weights=True) for way in WAYS)
    assert len(once.rows) == len(live.weights) > len(live.trainable_weights)
    for name, gradients in again.rows.items():
        assert np.abs(gradients).max() > 0, name
        assert relative(once.rows[name], gradients) < 1e-5, name


def test_frozen_layers_are_left_out():
    live = net((4,), L.Dense(3, name="first"), L.Dense(2, name="last"))
    live.layers[0].trainable = False
    assert list(Asked(live, drawn(2, 4), np.ones((2, 2))).rows) == ["last/kernel", "last/bias"]
    assert len(Asked(live, drawn(2, 4), np.ones((2, 2)), all_weights=True).rows) == 4


@pytest.mark.parametrize("way", WAYS)
def test_rows_that_are_about_nothing_are_told_and_not_summed(way):
    live = NETS["convolution"]()
    x = inputs_of(live, 4)
    rows = np.eye(3)[[0, 1, 2, 1]]
    whole = Asked(live, x[:2], rows[:2], way=way)
    padded = Asked(live, np.concatenate([x[:2], 0 * x[2:]]), np.concatenate([rows[:2], 0 * rows[2:]]), way=way)
    for name, total in whole.sums.items():
        np.testing.assert_allclose(padded.sums[name], total, rtol=1e-5, atol=1e-6)
    assert len(padded.taken[0].squares) == 2


@pytest.mark.parametrize("way", WAYS)
def test_a_padded_row_of_a_loss_is_not_summed(way):
    """With zeros for its input and its truth it has a loss of its own."""
    live = net((4,), L.Dense(3, name="d"))
    x, truth = drawn(3, 4), drawn(3, 3, seed=5)
    rows = np.ones((3, 3))
    rows[2] = 0
    found = Asked(live, x, rows, loss="mse", truth=truth, way=way)
    error = 2 / 3 * (live.predict(x, verbose=0) - truth)[:2]
    np.testing.assert_allclose(found.sums["d/bias"], error.sum(0), rtol=1e-4)


@pytest.mark.parametrize("way", WAYS)
def test_a_row_that_is_not_finite_spoils_no_other(way):
    x = keras.Input((4,))
    live = seeded(keras.Model(x, L.Dense(2, name="d")(keras.ops.sqrt(L.Dense(3, use_bias=False, name="first")(x)))))
    live.set_weights([np.abs(w) for w in live.get_weights()])
    points = np.abs(drawn(4, 4)) + 0.1
    alone = Asked(live, points[[0, 3]], np.ones((2, 2)), way=way)
    points[1], points[2] = 0, -1  # a root at 0 has no finite slope, one of a negative number is none
    found = Asked(live, points, np.ones((4, 2)), way=way)
    finite = np.isfinite(found.found.activations[SQUARES].sum(1)) & np.isfinite(found.found.values)
    assert list(finite) == [True, False, False, True]
    assert len(found.taken[0].squares) == 2
    for name, total in alone.sums.items():
        np.testing.assert_allclose(found.sums[name], total, rtol=1e-5)
    nothing = Asked(live, -np.ones((4, 4)), np.ones((4, 2)), way=way)
    assert nothing.taken == []


def test_a_row_in_the_loop_does_not_know_its_companions():
    live = LOOPED["recurrent"]()
    x, rows = inputs_of(live, 5), np.eye(2)[[0, 1, 0, 1, 1]]
    whole = Asked(live, x, rows).found.activations[GRADIENT]
    part = Asked(live, x[[3, 1]], rows[[3, 1]]).found.activations[GRADIENT]
    np.testing.assert_array_equal(whole[[3, 1]], part)


def test_several_inputs_and_outputs():
    live, _ = two_by_two()
    x = {"left": drawn(3, 5), "right": drawn(3, 5, seed=1)}
    for way in WAYS:
        found = Asked(live, x, np.eye(3)[[0, 1, 2]], output="kind", space="output", way=way)
        assert found.evaluator.disconnected == ("alarm/kernel", "alarm/bias")
        assert list(found.rows) == ["shared/kernel", "shared/bias", "kind/kernel", "kind/bias"]
        expected = by_tape(live, [x["left"], x["right"]], lambda y: tf.reduce_sum(y[0] * np.eye(3, dtype=np.float32)))
        for total, whole in zip(found.sums.values(), expected, strict=False):
            assert relative(total, whole) < 1e-5


def test_dictionaries_and_integer_inputs():
    named, _ = dictionaries()
    x = {"a": drawn(2, 3), "b": drawn(2, 2)}
    found = Asked(named, x, np.ones((2, 2)), output="v")
    names = [weight.name for weight in wrap(named).weights]
    expected = dict(zip(names, by_tape(named, x, lambda y: tf.reduce_sum(y["v"])), strict=True))
    assert (
        set(names) - set(found.sums)
        == set(found.evaluator.disconnected)
        == {n for n in names if not expected[n].any()}
    )
    for name, total in found.sums.items():
        assert relative(total, expected[name]) < 1e-5
    tokens = with_tokens()
    x = {"x": drawn(2, 4), "tokens": np.array([[1, 2, 2], [0, 9, 1]], np.int32)}
    found = Asked(tokens, x, np.ones((2, 3)))
    expected = by_tape(tokens, [x["x"], x["tokens"]], tf.reduce_sum)
    for total, whole in zip(found.sums.values(), expected, strict=True):
        assert relative(total, whole) < 1e-5


def test_float64_is_kept():
    x = keras.Input((3,), dtype="float64")
    live = keras.Model(x, L.Dense(2, dtype="float64", name="d")(x))
    points = np.random.default_rng(0).normal(size=(2, 3)) * (1 + 1e-9)
    for way in WAYS:
        found = Asked(live, points, np.eye(2), way=way)
        assert found.rows["d/kernel"].dtype == np.float64
        np.testing.assert_array_equal(found.rows["d/kernel"][0][:, 0], points[0])


def test_a_model_that_insists_on_a_batch_size():
    live = net((4,), L.Dense(3, name="d"), batch_size=3)
    x, rows = drawn(3, 4), np.eye(3)
    for way in WAYS:
        np.testing.assert_allclose(Asked(live, x, rows, way=way).rows["d/kernel"][1], x[1][:, None] * rows[1])


def test_inputs_of_any_size_go_by_the_loop():
    x = keras.Input((None, None, 2))
    live = seeded(keras.Model(x, L.Dense(2)(L.GlobalAveragePooling2D()(L.Conv2D(3, 3, activation="tanh")(x)))))
    points = drawn(2, 6, 7, 2)
    found = Asked(live, points, np.eye(2))
    assert found.evaluator.way == "loop"
    expected = by_tape(live, points, lambda y: tf.reduce_sum(y * np.eye(2, dtype=np.float32)))
    for total, whole in zip(found.sums.values(), expected, strict=True):
        assert relative(total, whole) < 1e-5


def test_weights_are_read_at_every_batch():
    """A live model that is trained on gives the gradient at what its weights are by then."""
    live = net((4,), L.Dense(3, "tanh", name="first"), L.Dense(2, use_bias=False, name="last"))
    model = wrap(live)
    taken = []
    compiled = Compiled(model, model.outputs[0].name, batch=2)
    evaluator = WeightGradients(compiled, model.weights, taken.append)
    arguments = (
        {model.inputs[0].name: drawn(2, 4)},
        np.eye(2, dtype=np.float32),
        np.zeros(2, bool),
        np.zeros(2, np.float32),
    )
    evaluator(*arguments)
    live.set_weights([2 * w for w in live.get_weights()])
    evaluator(*arguments)
    expected = by_tape(live, drawn(2, 4), lambda y: tf.reduce_sum(y * np.eye(2, dtype=np.float32)))
    assert relative(taken[1].gradients[0], expected[0]) < 1e-5
    assert relative(taken[0].gradients[0], expected[0]) > 1e-2


def test_a_large_model_s_rows_go_by_the_loop_and_fewer_at_once(monkeypatch):
    live = NETS["convolution"]()
    x, rows = inputs_of(live, 4), np.eye(3)[[0, 1, 2, 0]]
    size = 4 * sum(int(np.prod(w.shape)) for w in live.trainable_weights)
    monkeypatch.setattr(parameters, "_ROOM", 2 * size)
    compiled = Compiled(wrap(live), wrap(live).outputs[0].name, batch=4)
    assert WeightGradients(compiled, compiled.model.weights, list.append).way == "loop"
    assert WeightGradients(compiled, compiled.model.weights, list.append, each=True).batch == 2
    monkeypatch.setattr(parameters, "_ROOM", 100 * size)
    assert WeightGradients(compiled, compiled.model.weights, list.append).way == "vectorised"
    monkeypatch.setattr(parameters, "_BUSY", 1)
    assert WeightGradients(compiled, compiled.model.weights, list.append).way == "loop"
    assert Asked(live, x, rows, way="vectorised").evaluator.way == "vectorised"


def test_models_without_weights_or_of_which_none_is_on_the_way():
    x = keras.Input((4,))
    plain = keras.Model(x, keras.ops.tanh(x))
    with pytest.raises(ModelError, match="the model has no weights that are trained") as caught:
        Asked(plain, drawn(2, 4), np.ones((2, 4)))
    assert caught.value.reason == "disconnected"
    two = keras.Model(x, [L.Dense(2, name="a")(x), keras.ops.tanh(x)])
    with pytest.raises(ModelError, match="the target doesn't depend on any of the weights"):
        Asked(two, drawn(2, 4), np.ones((2, 4)), output=wrap(two).outputs[1].name)


def opened(tmp_path, kind):
    """A convolutional network with a normalisation in a file of some format, and the live model."""
    from saliency_cli.models.graphs import frozen_graph, saved_model
    from saliency_cli.models.legacy import loading
    from saliency_cli.models.opening import open_model
    from saliency_cli.models.options import OpenOptions

    if kind == "keras 2":
        from saliency_cli.models.legacy.runtime import import_tf_keras, quiet

        tf_keras = import_tf_keras()
        k = tf_keras.layers
        layers = [k.Conv2D(4, 3), k.BatchNormalization(), k.ReLU(), k.Flatten(), k.Dense(2)]
        live = tf_keras.Sequential([k.InputLayer((6, 6, 3)), *layers])
        rng = np.random.default_rng(0)
        live.set_weights([np.abs(rng.normal(0.5, 0.3, w.shape)).astype(np.float32) for w in live.get_weights()])
        with quiet():
            live.save(tmp_path / "model.h5")
        return live, loading.load(tmp_path / "model.h5", OpenOptions())
    live = NETS["normalised"]()
    if kind == "keras":
        live.save(tmp_path / "model.keras")
        return live, open_model(tmp_path / "model.keras", OpenOptions(), lambda: None)
    live.export(tmp_path / "exported", verbose=False)
    if kind == "saved model":
        return live, saved_model.load(tmp_path / "exported", OpenOptions())
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    function = tf.function(lambda x: live(x, training=False)).get_concrete_function(tf.TensorSpec((None, 6, 6, 3)))
    graph = convert_variables_to_constants_v2(function).graph.as_graph_def()
    (tmp_path / "frozen.pb").write_bytes(graph.SerializeToString())
    return live, frozen_graph.load(tmp_path / "frozen.pb", OpenOptions())


@pytest.mark.parametrize("kind", ["keras", "keras 2", "saved model", "frozen graph"])
def test_formats(tmp_path, kind):
    live, model = opened(tmp_path, kind)
    x, rows = drawn(3, 6, 6, 3, seed=1), np.eye(2)[[0, 1, 1]]
    expected = by_tape(live, x, lambda y: tf.reduce_sum(y * rows.astype(np.float32)))
    for way in (None, "loop"):
        found = Asked(model, x, rows, way=way)
        totals = list(found.sums.values())
        if kind.startswith("keras"):
            assert len(totals) == len(expected)
        for i, whole in enumerate(expected):
            # A graph's constants have names of their own: each is found by its shape and values.
            here = [totals[i]] if kind.startswith("keras") else totals
            alike = [total for total in here if total.shape == whole.shape and relative(total, whole) < 1e-4]
            assert alike, (kind, way, whole.shape)
