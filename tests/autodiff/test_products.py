"""Products with the first and the second derivative: against central differences in float64, TensorFlow's own
Jacobians, and each other, on models of every kind of operation."""

import functools

import numpy as np
import pytest
from tiny_models import L, dense_output, headed, keras, seeded, table, two_by_two

from saliency_cli.autodiff.compiled import Compiled
from saliency_cli.autodiff.packing import Job, Packer, Query
from saliency_cli.autodiff.runtime import tf
from saliency_cli.differentiable import Ask, Sample, Trace, against
from saliency_cli.errors import ModelError
from saliency_cli.models.keras3.live import wrap
from saliency_cli.models.smoothing import smoothed

JACOBIAN = Trace(product="jacobian", gradient=False)
HESSIAN = Trace(product="hessian")


def sample_of(model, seed=0, dtype=None):
    rng = np.random.default_rng(seed)
    inputs = {
        spec.name: rng.normal(size=[size or 6 for size in spec.shape]).astype(dtype or spec.dtype)
        for spec in model.inputs
    }
    return Sample(inputs, tuple(inputs), lambda kind: {})


def like(sample, seed):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=array.shape).astype(array.dtype) for name, array in sample.inputs.items()}


def asked(compiled, sample, ask, weights=None):
    def program():
        return (yield Query(ask, weights))

    (outcome,) = Packer(compiled, classes=compiled.facts.classes).run([Job(None, sample, program())])
    if outcome.error is not None:
        raise outcome.error
    return outcome.result.answer


def product(compiled, sample, direction, trace, weights=None):
    def point(_, out):
        sample.write(out)
        for name, array in direction.items():
            out[against(0, name)][...] = array

    return asked(compiled, sample, Ask(1, point, np.ones(1), trace=trace, references=1), weights)


def rows(compiled, sample, count, **trace):
    ask = Ask(
        count,
        lambda _, out: sample.write(out),
        np.zeros(count),
        each=True,
        abouts=np.eye(count, dtype=np.float32),
        trace=Trace(whole=True, **trace),
    )
    return asked(compiled, sample, ask)


def gradient_at(compiled, sample, moved, weights):
    there = sample.at(moved)
    return asked(compiled, there, Ask(1, lambda _, out: there.write(out), np.ones(1)), weights).gradients


def output_at(compiled, sample, moved):
    there = sample.at(moved)
    ask = Ask(1, lambda _, out: there.write(out), np.ones(1), trace=Trace(whole=True, gradient=False))
    return asked(compiled, there, ask).activations["output"]


def moved(sample, direction, step):
    return {name: sample.inputs[name] + step * direction[name] for name in sample.inputs}


def stack(*layers, shape=(8, 8, 2)):
    x = keras.Input(shape, dtype="float64")
    h = x
    for layer in layers:
        h = layer(h)
    model = seeded(keras.Model(x, L.Dense(3, dtype="float64")(L.Flatten(dtype="float64")(h))))
    for variable in model.non_trainable_variables:
        variable.assign(np.abs(variable) + 0.5)  # variances of a normalisation are above 0
    return model


F64 = {"dtype": "float64"}
MODELS = {
    "dense": lambda: stack(L.Dense(5, "tanh", **F64), shape=(4,)),
    "convolution": lambda: stack(L.Conv2D(3, 3, activation="gelu", **F64), L.AveragePooling2D(2, **F64)),
    "batch normalisation": lambda: stack(L.Conv2D(3, 3, **F64), L.BatchNormalization(**F64), L.ELU(**F64)),
    "depthwise": lambda: stack(L.DepthwiseConv2D(3, activation="silu", **F64)),
    "transposed": lambda: stack(L.Conv2DTranspose(2, 3, activation="softplus", **F64), L.MaxPooling2D(2, **F64)),
    "bilinear": lambda: stack(
        L.Conv2D(2, 3, activation="tanh", **F64),
        L.UpSampling2D(interpolation="bilinear", **F64),
        L.Conv2D(2, 3, activation="gelu", **F64),
    ),
    "nearest": lambda: stack(L.Conv2D(2, 3, activation="tanh", **F64), L.UpSampling2D(**F64), L.ELU(**F64)),
    "bicubic": lambda: stack(
        L.Conv2D(2, 3, activation="tanh", **F64), L.UpSampling2D(interpolation="bicubic", **F64), L.ELU(**F64)
    ),
    "softsign": lambda: stack(L.Dense(5, "softsign", **F64), shape=(4,)),
    "attention": lambda: stack(Attention(**F64), shape=(5, 4)),
    "layer normalisation": lambda: stack(L.LayerNormalization(**F64), L.Dense(4, "sigmoid", **F64), shape=(6,)),
    "recurrent": lambda: stack(L.LSTM(3, return_sequences=True, **F64), shape=(5, 2)),
    "both ways": lambda: stack(L.Bidirectional(L.GRU(3, **F64), **F64), shape=(5, 2)),
}


class Attention(L.Layer):
    def __init__(self, **options):
        super().__init__(**options)
        self.inner = L.MultiHeadAttention(2, 3, **options)

    def call(self, x):
        return self.inner(x, x)


@functools.cache
def opened(kind):
    model = wrap(MODELS[kind]())
    return Compiled(model, model.outputs[0].name, batch=2)


@pytest.mark.parametrize("kind", MODELS)
def test_products_agree_with_central_differences_in_float64(kind):
    compiled = opened(kind)
    sample = sample_of(compiled.model)
    # TensorFlow resizes by these two in float32, whatever it is given.
    step, exact = (1e-3, 1e-3) if kind in ("bilinear", "bicubic") else (1e-5, 1e-7)
    direction, weights = like(sample, 1), np.float32([1, -2, 0.5])
    there = [moved(sample, direction, sign * step) for sign in (1, -1)]

    first = [output_at(compiled, sample, at) for at in there]
    along = product(compiled, sample, direction, JACOBIAN).activations["output"]
    assert np.abs(along - (first[0] - first[1]) / (2 * step)).max() < exact * max(1, np.abs(along).max())

    second = [gradient_at(compiled, sample, at, weights) for at in there]
    curved = product(compiled, sample, direction, HESSIAN, weights).gradients
    for name, found in curved.items():
        expected = (second[0][name] - second[1][name]) / (2 * step)
        assert np.abs(expected).max() > 1e-6, "a flat model tells nothing"
        assert np.abs(found - expected).max() < 10 * exact * max(1, np.abs(expected).max())


@pytest.mark.parametrize("kind", ["convolution", "attention", "recurrent"])
def test_rows_and_columns_are_the_same_jacobian(kind):
    compiled = opened(kind)
    sample = sample_of(compiled.model)
    (name,) = sample.floating
    jacobian = rows(compiled, sample, 3).each[name].reshape(3, -1)
    assert jacobian.dtype == np.float64
    for place in range(0, jacobian.shape[1], 7):
        unit = np.zeros(jacobian.shape[1])
        unit[place] = 1
        column = product(compiled, sample, {name: unit.reshape(sample.inputs[name].shape)}, JACOBIAN)
        assert np.allclose(column.activations["output"], jacobian[:, place], rtol=1e-10, atol=1e-12)


def test_rows_agree_with_tensorflow_s_own_jacobian():
    model, _ = headed("dense softmax")
    opened = wrap(model)
    for space in (None, "probability"):
        compiled = Compiled(opened, opened.outputs[0].name, batch=4, space=space)
        sample = sample_of(opened)
        x = tf.constant(sample.inputs["picture"][None])
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = model(x) if space else _logits(x)
        expected = tape.batch_jacobian(y, x)[0].numpy()
        found = rows(compiled, sample, 4)
        assert np.abs(found.each["picture"] - expected).max() < 1e-6 * np.abs(expected).max()
        assert np.allclose(found.values, y[0], atol=1e-6)


def _logits(x):
    return headed("dense softmax")[1](x)


def test_every_place_of_an_output_has_its_row():
    model = dense_output()
    opened = wrap(model)
    compiled = Compiled(opened, opened.outputs[0].name, batch=8)
    sample = sample_of(opened)
    x = tf.constant(next(iter(sample.inputs.values()))[None])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = model(x)
    expected = tape.batch_jacobian(y, x)[0].numpy().reshape(-1, *x.shape[1:])
    assert y.shape[1:] == (6, 6, 4)
    found = rows(compiled, sample, 144)
    assert np.abs(found.each[sample.floating[0]] - expected).max() < 1e-6 * np.abs(expected).max()
    assert np.allclose(found.values, y[0].numpy().reshape(-1), atol=1e-6)


def test_another_output_than_the_run_s_and_every_input():
    model, twin = two_by_two()
    opened = wrap(model)
    compiled = Compiled(opened, "kind", batch=4)
    sample = sample_of(opened)
    tensors = [tf.constant(sample.inputs[name][None]) for name in ("left", "right")]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(tensors)
        kind, alarm = twin(tensors)
    for output, y in (("kind", kind), ("alarm", alarm)):
        found = rows(compiled, sample, y.shape[1], output=output)
        for name, tensor in zip(("left", "right"), tensors, strict=True):
            expected = tape.batch_jacobian(y, tensor, experimental_use_pfor=False)[0].numpy()
            assert np.abs(found.each[name] - expected).max() < 1e-6
        direction = like(sample, 3)
        along = product(compiled, sample, direction, Trace(output=output, product="jacobian", gradient=False))
        by_rows = sum(found.each[name] @ direction[name] for name in direction)
        assert np.allclose(along.activations["output"], by_rows, atol=1e-6)


def test_an_output_a_product_is_not_about_leaves_it_as_it_is():
    model, _ = two_by_two()
    opened = wrap(model)
    compiled = Compiled(opened, "kind", batch=4)
    sample = sample_of(opened)
    weights = np.float32([1, 2, 3])
    before = asked(compiled, sample, Ask(1, lambda _, out: sample.write(out), np.ones(1)), weights)
    rows(compiled, sample, 1, output="alarm")
    after = asked(compiled, sample, Ask(1, lambda _, out: sample.write(out), np.ones(1)), weights)
    assert all(np.array_equal(before.gradients[name], after.gradients[name]) for name in before.gradients)


def test_a_hessian_of_the_whole_output_has_its_own_weights():
    compiled = opened("dense")
    sample = sample_of(compiled.model)
    direction = like(sample, 1)
    by_class = product(compiled, sample, direction, HESSIAN, np.float32([0, 1, 0])).gradients
    whole = product(
        compiled, sample, direction, Trace(product="hessian", whole=True), np.float32([0, 1, 0])
    ).gradients
    (name,) = sample.floating
    assert np.allclose(by_class[name], whole[name], rtol=1e-12)


def test_a_hessian_of_a_loss():
    model, _ = table(3)
    opened = wrap(model)
    compiled = Compiled(opened, opened.outputs[0].name, batch=2, loss="mse")
    sample = sample_of(opened)
    (name,) = sample.floating
    truth = np.float32([0.5, -1, 2])

    def program(direction):
        def point(_, out):
            sample.write(out)
            out[against(0, name)][...] = direction

        ask = Ask(1, point, np.ones(1), trace=HESSIAN, references=1)
        return (yield Query(ask, truth=truth)).answer.gradients[name]

    x = tf.constant(sample.inputs[name][None])
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            loss = tf.reduce_mean(tf.square(model(x) - truth))
        slope = inner.gradient(loss, x)
    expected = outer.jacobian(slope, x).numpy().reshape(5, 5)
    for place in range(5):
        jobs = [Job(None, sample, program(np.eye(5, dtype=np.float32)[place]))]
        (outcome,) = Packer(compiled, classes=3, truth_shape=(3,)).run(jobs)
        assert np.allclose(outcome.result, expected[:, place], atol=1e-5)


def test_a_second_derivative_that_tensorflow_lacks_is_named_not_left_out():
    x = keras.Input((8, 8, 2))

    class Response(L.Layer):
        def call(self, x):
            return tf.nn.local_response_normalization(x)

    model = wrap(keras.Model(x, L.Dense(3)(L.Flatten()(Response()(x)))))
    compiled = Compiled(model, model.outputs[0].name, batch=1)
    sample = sample_of(model)
    with pytest.raises(ModelError, match="LRNGrad") as caught:
        product(compiled, sample, like(sample, 1), HESSIAN, np.float32([1, 0, 0]))
    assert caught.value.reason == "no-second-derivative"


def test_kinks_are_counted_on_the_way_to_the_target():
    x = keras.Input((8, 8, 2))
    h = L.MaxPooling2D()(L.ReLU(6.0)(L.Conv2D(3, 3, activation="relu")(x)))
    aside = L.Dense(2, activation="relu", name="aside")(L.Flatten()(x))
    model = wrap(keras.Model(x, {"main": L.Dense(3)(L.Flatten()(h)), "aside": aside}))
    assert dict(Compiled(model, "main", batch=1).kinks) == {"Relu": 1, "Relu6": 1, "MaxPool": 1}
    assert dict(Compiled(model, "aside", batch=1).kinks) == {"Relu": 1}


def relus(kind):
    x = keras.Input((6,), dtype="float64")
    last = {"dtype": "float64"}
    layer = {
        "relu": L.ReLU(**last),
        "relu6": L.ReLU(6.0, **last),
        "leaky": L.LeakyReLU(negative_slope=0.2, **last),
    }[kind]
    return seeded(keras.Model(x, L.Dense(3, **last)(layer(L.Dense(8, **last)(x)))))


def curve(z, beta):
    return np.log1p(np.exp(-np.abs(beta * z))) / beta + np.maximum(z, 0)


CURVES = {
    "relu": lambda z, beta: curve(z, beta),
    "relu6": lambda z, beta: curve(z, beta) - curve(z - 6, beta),
    "leaky": lambda z, beta: 0.2 * z + 0.8 * curve(z, beta),
}


@pytest.mark.parametrize("kind", CURVES)
def test_a_smoothed_model_is_the_formula(kind):
    live = relus(kind)
    model = wrap(live)
    weights = [np.asarray(weight) for weight in live.get_weights()]
    for beta in (1.5, 20.0):
        found = smoothed(model, beta)
        assert sum(found.replaced.values()) == 1
        compiled = Compiled(found.model, model.outputs[0].name, batch=2)
        sample = sample_of(model)
        (x,) = sample.inputs.values()
        z = x @ weights[0] + weights[1]
        expected = CURVES[kind](z, beta) @ weights[2] + weights[3]
        assert np.allclose(output_at(compiled, sample, {}), expected, rtol=1e-6 if kind == "leaky" else 1e-12)


def test_a_smoothed_model_curves_and_the_model_itself_is_left_as_it_was():
    live = relus("relu")
    model = wrap(live)
    sample = sample_of(model)
    direction, weights = like(sample, 1), np.float32([1, -2, 0.5])
    plain = Compiled(model, model.outputs[0].name, batch=2)
    assert not any(g.any() for g in product(plain, sample, direction, HESSIAN, weights).gradients.values())
    smooth = Compiled(smoothed(model, 3.0).model, model.outputs[0].name, batch=2)
    curved = product(smooth, sample, direction, HESSIAN, weights).gradients
    (name,) = sample.floating
    step = 1e-5
    up, down = (gradient_at(smooth, sample, moved(sample, direction, s * step), weights)[name] for s in (1, -1))
    assert np.abs(curved[name] - (up - down) / (2 * step)).max() < 1e-7
    again = Compiled(model, model.outputs[0].name, batch=2)
    assert not any(g.any() for g in product(again, sample, direction, HESSIAN, weights).gradients.values())


def test_relus_within_a_loop_are_smoothed_too():
    x = keras.Input((5, 2), dtype="float64")
    layer = L.SimpleRNN(4, activation="relu", **F64)
    model = wrap(seeded(keras.Model(x, L.Dense(3, **F64)(layer(x)))))
    sample, weights, step = sample_of(model), np.float32([1, -2, 0.5]), 1e-5
    direction = like(sample, 1)
    compiled = Compiled(smoothed(model, 3.0).model, model.outputs[0].name, batch=2)
    (name,) = sample.floating
    curved = product(compiled, sample, direction, HESSIAN, weights).gradients[name]
    up, down = (gradient_at(compiled, sample, moved(sample, direction, s * step), weights)[name] for s in (1, -1))
    assert np.abs(curved).max() > 1e-3
    assert np.abs(curved - (up - down) / (2 * step)).max() < 1e-6


def test_nothing_to_smooth_is_an_error():
    model, _ = table(3)
    with pytest.raises(ModelError, match="no ReLU") as caught:
        smoothed(wrap(model), 10.0)
    assert caught.value.reason == "nothing-to-smooth"


@pytest.mark.parametrize("seed", [0, 1])
def test_points_of_other_widths_share_a_run(seed):
    model, _ = two_by_two()
    opened = wrap(model)
    compiled = Compiled(opened, "kind", batch=4)
    sample = sample_of(opened, seed)

    def program():
        first = yield Query(sample.itself())
        ask = Ask(1, lambda _, out: sample.write(out), np.ones(1), abouts=np.ones((1, 1), np.float32),
                  trace=Trace(output="alarm", whole=True))  # fmt: skip
        other = yield Query(ask)
        third = yield Query(sample.itself(), weights=np.float32([0, 0, 1]))
        return first, other, third

    jobs = [Job(i, sample, program()) for i in range(5)]
    results = [outcome.result for outcome in Packer(compiled, classes=3).run(jobs)]
    assert len(results) == 5
    (alarm,) = output_at(compiled.other("alarm"), sample, {})
    for first, other, third in results:
        assert first.answer.values[0] == pytest.approx(first.logits.max())
        assert third.answer.values[0] == pytest.approx(first.logits[2])
        assert other.answer.values[0] == pytest.approx(alarm, abs=1e-6)
