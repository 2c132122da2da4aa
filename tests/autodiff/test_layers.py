"""Layers of a trace: what they give out, the target's gradient there, and the part of a model behind them."""

import numpy as np
import pytest
from asking import compiled, one
from tiny_models import CLASSES, SHAPE, L, any_size, drawn, headed, keras, seeded, table, two_by_two

from saliency_cli.autodiff.compiled import Compiled
from saliency_cli.autodiff.packing import Job, Packer, Query, placed
from saliency_cli.autodiff.runtime import tf
from saliency_cli.differentiable import GRADIENT, Ask, Sample, Trace
from saliency_cli.errors import ModelError, UsageError
from saliency_cli.models.graphs.saved_model import load
from saliency_cli.models.keras3.live import wrap
from saliency_cli.models.keras3.taps import layer_paths
from saliency_cli.models.options import OpenOptions

X = drawn(2, *SHAPE)


def evaluate(function, x, trace, index=1, **written):
    inputs = x if isinstance(x, dict) else {function.floating[0]: x}
    inputs = inputs | {placed(path): array for path, array in written.items()}
    n = function.batch
    rows = np.tile(one(index, function.facts.classes), (n, 1))
    return function(inputs, rows, np.zeros(n, bool), np.zeros(n, np.float32), trace)


def the(function, part):
    (path,) = [path for path in function.layers.paths() if path.split("/")[-1].startswith(part)]
    return path


def by_hand(model, x, index=1):
    """The convolution's output, and a hand-written tape's gradient of one class's logit there."""
    layers = {layer.name.split("_")[0]: layer for layer in layer_paths(model).values()}
    rescaled = x * 0.5 if "rescaling" in layers else x
    with tf.GradientTape() as tape:
        activation = layers["conv2d"](tf.constant(rescaled))
        tape.watch(activation)
        dense = layers["dense"]
        hidden = tf.reshape(activation, (len(x), -1))
        score = tf.matmul(hidden, dense.kernel.value)[:, index] + dense.bias.value[index]
    return activation.numpy(), tape.gradient(score, activation).numpy()


@pytest.mark.parametrize("kind", ["dense softmax", "sequential", "nested", "deeply nested"])
def test_what_a_layer_gives_out_and_its_gradient(kind):
    model, _ = headed(kind)
    function = compiled(model)
    path = the(function, "conv2d")
    found = evaluate(function, X, Trace(layer=(path,)))
    activation, gradient = by_hand(model, X)
    np.testing.assert_allclose(found.activations[path], activation, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.gradients[path], gradient, rtol=1e-5, atol=1e-6)
    assert found.depends == {path: function.floating}
    plain = evaluate(function, X, GRADIENT)
    np.testing.assert_array_equal(found.values, plain.values)
    assert not plain.activations


def test_a_subclassed_model():
    model, _ = headed("subclassed")
    function = compiled(model)
    path = the(function, "conv2d")
    assert path in function.layers.paths()
    found = evaluate(function, X, Trace(layer=(path,)))
    assert found.activations[path].shape == found.gradients[path].shape == (2, 4, 4, 3)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    model, _ = headed("nested")
    folder = tmp_path_factory.mktemp("exported") / "model"
    model.export(folder, verbose=False)
    opened = load(folder, OpenOptions())
    return model, Compiled(opened, opened.outputs[0].name, batch=2)


def test_a_flattened_graph(exported):
    model, function = exported
    activation, gradient = by_hand(model, X)
    (path,) = [path for path in function.layers.paths() if function.layers.facts(path).shape == (4, 4, 3)]
    found = evaluate(function, X, Trace(layer=(path,)))
    np.testing.assert_allclose(found.activations[path], activation, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.gradients[path], gradient, rtol=1e-5, atol=1e-6)
    assert function.layers.with_space({2}).paths == (path,)
    assert_cut(function, path)


@pytest.mark.parametrize("kind", ["dense softmax", "sequential", "subclassed", "nested", "deeply nested"])
def test_a_model_cut_at_a_layer(kind):
    function = compiled(headed(kind)[0])
    assert_cut(function, the(function, "conv2d"))


def assert_cut(function, path):
    """Written as it was, a layer changes nothing; written otherwise, the values follow the gradient."""
    found = evaluate(function, X, Trace(layer=(path,)))
    trace = Trace(layer=(path,), cut=True)
    same = evaluate(function, X, trace, **{path: found.activations[path]})
    np.testing.assert_array_equal(same.values, found.values)
    np.testing.assert_array_equal(same.gradients[path], found.gradients[path])
    # Behind it all is linear: the change is the gradient times what was changed.
    step = drawn(*found.activations[path].shape, seed=5)
    moved = evaluate(function, X, trace, **{path: found.activations[path] + step})
    change = (step * found.gradients[path]).sum((1, 2, 3))
    np.testing.assert_allclose(moved.values - found.values, change, rtol=1e-4, atol=1e-5)


def test_what_goes_around_a_cut_is_as_in_the_sample():
    x = keras.Input((4,), name="x")
    branch = L.Dense(4, "tanh", name="branch")(x)
    model = seeded(keras.Model(x, L.Dense(2, name="end")(L.Add(name="sum")([x, branch]))))
    function = compiled(model)
    points = drawn(2, 4)
    silent = evaluate(function, points, Trace(layer=("branch",), cut=True), branch=np.zeros((2, 4), np.float32))
    kernel, bias = model.get_layer("end").get_weights()
    np.testing.assert_allclose(silent.values, (points @ kernel + bias)[:, 1], rtol=1e-5)


def test_a_shared_layer_has_an_output_for_each_call():
    model, _ = two_by_two()
    function = compiled(model, "kind")
    inputs = {"left": drawn(2, 5), "right": drawn(2, 5, seed=1)}
    with pytest.raises(UsageError, match="'shared' is shared: it is called 2 times") as refused:
        evaluate(function, inputs, Trace(layer=("shared",)))
    assert refused.value.hint == "shared#1 … shared#2 say which call is meant"
    found = evaluate(function, inputs, Trace(layer=("shared#1", "shared#2")))
    kernel, bias = model.get_layer("shared").get_weights()
    for call, name in (("shared#1", "left"), ("shared#2", "right")):
        np.testing.assert_allclose(
            found.activations[call], np.tanh(inputs[name] @ kernel + bias), rtol=1e-4, atol=1e-6
        )
        assert found.depends[call] == (name,)
    ahead = model.get_layer("kind").get_weights()[0][:4, 1]
    np.testing.assert_allclose(found.gradients["shared#1"], np.tile(ahead, (2, 1)), rtol=1e-5)


def test_a_layer_off_the_way_is_named():
    function = compiled(two_by_two()[0], "kind")
    inputs = {"left": drawn(2, 5), "right": drawn(2, 5, seed=1)}
    with pytest.raises(ModelError, match="the layer 'alarm' is not on the way to the target"):
        evaluate(function, inputs, Trace(layer=("alarm",)))
    with pytest.raises(ModelError, match="'alarm' is not on the way"):
        evaluate(function, inputs, Trace(layer=("alarm",), cut=True))
    with pytest.raises(UsageError, match="no layer 'shard'") as refused:
        function.layers.require_leading("shard")
    assert "did you mean 'shared'?" in refused.value.hint


def test_a_layer_behind_the_logits_is_off_the_way():
    function = compiled(table(3, "softmax")[0])
    behind = function.layers.paths()[-1]
    with pytest.raises(ModelError, match=f"'{behind}' is not on the way to the target"):
        evaluate(function, drawn(2, 5), Trace(layer=(behind,)))
    linear = compiled(table(3)[0])
    assert linear.layers.facts(linear.layers.paths()[-1]).leads


def test_channels_come_last_whatever_their_order():
    x = keras.Input(SHAPE)
    hidden = L.Conv2D(3, 3, name="plain")(x)
    model = seeded(keras.Model(x, L.Dense(CLASSES)(L.Flatten()(L.Permute((3, 1, 2), name="turned")(hidden)))))
    function = compiled(model)
    assert function.layers.facts("turned").laid.order == (0, 2, 3, 1)
    assert function.layers.facts("turned").shape == (4, 4, 3)
    found = evaluate(function, X, Trace(layer=("plain", "turned")))
    np.testing.assert_array_equal(found.activations["plain"], found.activations["turned"])
    np.testing.assert_array_equal(found.gradients["plain"], found.gradients["turned"])
    same = evaluate(function, X, Trace(layer=("turned",), cut=True), turned=found.activations["turned"])
    np.testing.assert_array_equal(same.values, found.values)


def test_a_unit_of_a_layer():
    function = compiled(headed("nested")[0])
    path = the(function, "conv2d")
    outputs = evaluate(function, X, Trace(layer=(path,))).activations[path]
    mean = evaluate(function, X, Trace(unit=(path, (2,))))
    np.testing.assert_allclose(mean.values, outputs[..., 2].mean((1, 2)), rtol=1e-5)
    single = evaluate(function, X, Trace(unit=(path, (1, 0, 2))))
    np.testing.assert_allclose(single.values, outputs[:, 1, 0, 2], rtol=1e-5)
    (gradient,) = single.gradients.values()
    assert np.any(gradient[:, 1:4, :3])
    assert not np.any(gradient[:, 4:])  # outside what the unit sees
    for wrong in ((3,), (4, 0, 0), (0, 0)):
        with pytest.raises(UsageError, match="has no unit"):
            evaluate(function, X, Trace(unit=(path, wrong)))


def test_sums_and_every_single_answer_of_layers_through_the_packer():
    model, _ = headed("nested")
    path, answers = None, []
    for batch in (1, 2, 8):
        function = compiled(model, batch=batch)
        path = the(function, "conv2d")
        sample = Sample({function.floating[0]: X[0]}, function.floating, lambda _: {})
        weights = np.linspace(-1, 2, 5)

        def point(i, out, name=function.floating[0]):
            out[name][...] = X[0] * (i + 1)

        def program(path=path, weights=weights, point=point):
            trace = Trace(layer=(path,))
            rows = one(1, CLASSES)
            first = yield Query(Ask(5, point, weights, each=True, squares=True, trace=trace), weights=rows)

            def behind(i, out):
                out[path][...] = first.answer.each_activation[path][i]

            cut = Ask(5, behind, weights, trace=Trace(layer=(path,), cut=True), shapes={path: (4, 4, 3)})
            second = yield Query(cut, weights=rows)
            third = yield Query(Ask(2, behind, np.ones(2), trace=Trace(layer=(path,), cut=True, gradient=False),
                                    shapes={path: (4, 4, 3)}), weights=rows)  # fmt: skip
            return first.answer, second.answer, third.answer

        (outcome,) = Packer(function, classes=CLASSES).run([Job("x", sample, program())])
        assert outcome.error is None
        whole, cut, values = outcome.result
        each, gradients = whole.each_activation[path].astype(float), whole.each[path].astype(float)
        np.testing.assert_allclose(whole.activations[path], np.tensordot(weights, each, (0, 0)), rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(whole.gradients[path], np.tensordot(weights, gradients, (0, 0)), atol=1e-9)
        np.testing.assert_allclose(whole.squares[path], np.tensordot(weights, gradients**2, (0, 0)), atol=1e-9)
        np.testing.assert_allclose(cut.gradients[path], whole.gradients[path], rtol=1e-6, atol=1e-9)
        np.testing.assert_array_equal(values.values, cut.values[:2])
        np.testing.assert_allclose(cut.values, whole.values, rtol=1e-6)
        assert not values.gradients
        answers.append(whole)
    np.testing.assert_allclose(answers[0].gradients[path], answers[-1].gradients[path], rtol=1e-5, atol=1e-7)


def test_samples_of_two_sizes_share_a_run():
    function = compiled(any_size(), batch=4)
    path = the(function, "conv2d")
    trace, name = Trace(layer=(path,)), function.floating[0]

    def program(sample):
        ask = Ask(3, lambda _, out: sample.write(out), np.ones(3), trace=trace)
        return (yield Query(ask, weights=one(0, CLASSES))).answer

    samples = [Sample({name: drawn(*shape)}, (name,), lambda _: {}) for shape in ((6, 6, 3), (9, 5, 3), (6, 6, 3))]
    found = {o.key: o.result for o in Packer(function, classes=CLASSES).run(
        Job(i, sample, program(sample)) for i, sample in enumerate(samples))}  # fmt: skip
    assert found[0].gradients[path].shape == (6, 6, 3)
    assert found[1].activations[path].shape == (9, 5, 3)
    np.testing.assert_array_equal(found[0].activations[path], found[2].activations[path])


def test_randomised_weights_reach_a_layer():
    function = compiled(headed("nested")[0])
    path = the(function, "conv2d")
    before = evaluate(function, X, Trace(layer=(path,)))
    head = evaluate(function, X, Trace(layer=(path,), randomised=(3, 1)))
    all_ = evaluate(function, X, Trace(layer=(path,), randomised=(3, 2)))
    np.testing.assert_array_equal(before.activations[path], head.activations[path])
    assert np.abs(before.gradients[path] - head.gradients[path]).max() > 0.1
    assert np.abs(before.activations[path] - all_.activations[path]).max() > 0.1


def picture_model(*layers, shape=(8, 8, 3)):
    return seeded(keras.Sequential([keras.Input(shape), *layers]))


def last(model, axes):
    found = compiled(model).layers.with_space(axes)
    return found.paths, found.around, found.attention


def test_the_last_layer_with_places():
    convolution = L.Conv2D(4, 3, name="last")
    end = L.Dense(2)
    assert last(picture_model(convolution, L.MaxPooling2D(), L.GlobalAveragePooling2D(), end), {2}) == (
        ("last",),
        False,
        "",
    )
    flat = picture_model(L.Conv2D(4, 3, name="last"), L.Dropout(0.5), L.Flatten(), L.Dense(5), L.Dense(2))
    assert last(flat, {2})[0] == ("last",)
    kept = picture_model(
        L.Conv2D(4, 3, name="last"), L.GlobalAveragePooling2D(keepdims=True), L.Conv2D(3, 1), L.Flatten()
    )
    assert last(kept, {2})[0] == ("last",)
    signal = picture_model(
        L.Conv1D(4, 3, name="steps"), L.MaxPooling1D(), L.GlobalMaxPooling1D(), L.Dense(2), shape=(12, 2)
    )
    assert last(signal, {1})[0] == ("steps",)
    assert last(table(3)[0], {1, 2}) == ((), True, "")
    # Nothing has looked at the input before its places are gone.
    assert last(picture_model(L.Rescaling(0.5), L.ZeroPadding2D(), L.Flatten(), L.Dense(2)), {2})[0] == ()


def test_layers_side_by_side_and_ways_around():
    x = keras.Input((8, 8, 3))
    pool = L.GlobalAveragePooling2D
    sides = [pool()(L.Conv2D(2, 3, name=name)(x)) for name in ("a", "b")]
    paths, around, _ = last(seeded(keras.Model(x, L.Dense(2)(L.Concatenate()(sides)))), {2})
    assert (set(paths), around) == ({"a", "b"}, False)
    around = L.Concatenate()([sides[0], L.Flatten()(x)])
    assert last(seeded(keras.Model(x, L.Dense(2)(around))), {2}) == (("a",), True, "")


def test_attention_behind_the_last_layer_with_places_is_told():
    x = keras.Input((8, 8, 3))
    tokens = L.Reshape((16, 4))(L.Conv2D(4, 2, 2, name="patches")(x))
    mixed = L.MultiHeadAttention(1, 4, name="attention")(tokens, tokens)
    model = seeded(keras.Model(x, L.Dense(2)(L.GlobalAveragePooling1D()(mixed))))
    paths, _, attention = last(model, {2})
    assert paths[0].startswith("attention/")  # heads of tokens, which are no places: never chosen, as that is told
    assert "attention" in attention


def test_wrapping_leaves_the_model_as_it_was():
    model, _ = headed("nested")
    function = Compiled(wrap(model), "output" if len(model.output_names) != 1 else model.output_names[0], batch=2)
    path = the(function, "conv2d")
    evaluate(function, X, Trace(layer=(path,), cut=True), **{path: np.zeros((2, 4, 4, 3), np.float32)})
    assert all("call" not in vars(layer) for layer in layer_paths(model).values())


@pytest.mark.parametrize("rule", ["lrp:epsilon=0.01", "lrp:dense=zplus,convolution=zplus,start=one", "guided"])
def test_a_rule_goes_back_from_a_unit(rule):
    x = keras.Input((6, 6, 2), name="x")
    middle = L.Conv2D(3, 3, name="middle")(L.Conv2D(4, 2, activation="relu")(x))
    model = seeded(keras.Model(x, L.Dense(2)(L.Flatten()(L.ReLU()(middle)))))
    unit = Trace(rule=rule, unit=("middle", (1, 2, 1)))
    rows = drawn(2, 6, 6, 2)
    found = evaluate(compiled(model), rows, unit)
    ending = keras.Model(x, L.Flatten()(middle[:, 1, 2]))
    alone = evaluate(compiled(ending), rows, Trace(rule=rule))
    np.testing.assert_allclose(found.values, alone.values, rtol=1e-6)
    np.testing.assert_allclose(found.gradients["x"], alone.gradients["x"], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("options", [{}, {"cut": True}])
def test_a_layer_behind_a_unit_is_told(options):
    x = keras.Input((6, 6, 2), name="x")
    hidden = L.Conv2D(3, 3, name="second")(L.Conv2D(4, 2, activation="relu", name="first")(x))
    function = compiled(seeded(keras.Model(x, L.Dense(2)(L.Flatten()(hidden)))))
    with pytest.raises(ModelError, match="'second' is not on the way to 'first'") as caught:
        function.function(Trace(layer=("second",), unit=("first", (0,)), **options))
    assert caught.value.reason == "layer-off-path"
