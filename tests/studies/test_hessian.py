"""Second derivatives by closed forms, by the whole matrix, and against central differences in float64."""

import io
import json

import numpy as np
import pytest
from derived_tools import SAMPLES, hessian, in_float64, numbers_for, opened

from saliency_cli.autodiff.runtime import keras, tf
from saliency_cli.errors import InputError, ModelError, UsageError
from saliency_cli.studies import hessian_asking

L = keras.layers


def of(function, size=1):
    x = keras.Input((size,), name="x")

    class Formula(L.Layer):
        def call(self, x):
            return function(x)

    return keras.Model(x, Formula(name="y")(x))


def written(inquired):
    stream = io.BytesIO()
    inquired.findings.files["arrays"].data(stream)
    stream.seek(0)
    return np.load(stream)


def test_a_square_and_a_cube():
    square = hessian(of(lambda x: x**2), np.float32([3]))
    assert square.found.gradient.tolist() == [6]
    assert square.found.matrix.tolist() == [[2]]
    cube = hessian(of(lambda x: x**3), np.float32([3]))
    assert cube.found.gradient == pytest.approx(27)
    assert cube.found.matrix == pytest.approx(18)
    results = cube.findings.results
    assert results["eigenvalues"] == pytest.approx([18])
    assert results["curvature_along_gradient"] == pytest.approx(18)
    assert results["trace"] == pytest.approx(18)
    assert results["diagonal"] == "exact"


def test_a_sum_of_squares_from_the_command(saliency):
    np.save("x.npy", np.float32([1, 2, 3]))
    told = saliency("hessian", SAMPLES / "quadratic.keras", "x.npy", "--json")
    assert told.code == 0, told.err
    document = json.loads(told.out)
    (item,) = document["items"]
    assert item["files"] == {"grid": "x.hessian.png", "arrays": "x.hessian.npz"}
    assert item["results"]["eigenvalues"] == pytest.approx([2, 2, 2])
    assert item["results"]["trace"] == pytest.approx(6)
    assert item["results"]["asymmetry"] == 0
    with np.load("x.hessian.npz") as found:
        assert np.array_equal(found["hessian/numbers/numbers"], 2 * np.eye(3))
        assert np.array_equal(found["gradient/numbers"], [2, 4, 6])
        assert np.array_equal(found["product/numbers"], [4, 8, 12])
        assert np.array_equal(found["diagonal/numbers"], [2, 2, 2])
        assert found["eigenvectors/numbers"].shape == (3, 3)
    assert document["options"]["matrix"] == "auto"


def test_two_inputs_have_mixed_derivatives():
    model = keras.saving.load_model(SAMPLES / "product.keras", compile=False)
    found = hessian(model, {"first": np.float32([5]), "second": np.float32([7])})
    assert found.found.matrix.tolist() == [[0, 1], [1, 0]]
    assert sorted(found.findings.results["eigenvalues"]) == pytest.approx([-1, 1])
    arrays = written(found)
    assert arrays["hessian/first/second"].tolist() == [[1]]
    assert arrays["hessian/first/first"].tolist() == [[0]]


def test_rows_are_of_the_first_input_and_columns_of_the_second():
    a, b = keras.Input((2,), name="a"), keras.Input((3,), name="b")
    weights = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)

    class Form(L.Layer):
        def call(self, a, b):
            return tf.einsum("ni,ij,nj->n", a, weights, b)[:, None]

    found = hessian(keras.Model([a, b], Form()(a, b)), {"a": np.ones(2, "f4"), "b": np.ones(3, "f4")})
    arrays = written(found)
    assert np.allclose(arrays["hessian/a/b"], weights)
    assert np.allclose(arrays["hessian/b/a"], weights.T)


@pytest.mark.parametrize("name", ["binary", "quadratic", "product"])
def test_central_differences_in_float64(name):
    model = in_float64(name)
    known = opened(model)
    inputs = numbers_for(known)
    found = hessian(known, inputs, target="0", matrix="yes").found
    space, size = found.space, found.space.size

    def gradient(vector):
        at = {key: tf.constant(part[None]) for key, part in space.parts(vector).items()}
        with tf.GradientTape() as tape:
            tape.watch(at)
            y = model(at if len(at) > 1 else next(iter(at.values())))[:, 0]
            if name == "binary":
                y = tf.math.log1p(-y) - tf.math.log(y)  # the logit of class 0
        return space.flat({key: g.numpy()[0] for key, g in tape.gradient(y, at).items()})

    x = space.flat(inputs)
    for place in range(size):
        step = np.zeros(size)
        step[place] = 1e-5
        expected = (gradient(x + step) - gradient(x - step)) / 2e-5
        assert np.abs(found.matrix[place] - expected).max() < 1e-6


def test_differences_of_the_gradients_of_a_sample_model_in_float64():
    from saliency_cli.autodiff.compiled import Compiled
    from saliency_cli.autodiff.packing import Job, Packer, Query
    from saliency_cli.differentiable import Ask, Sample

    known = opened(in_float64("table"))
    inputs = numbers_for(known)
    found = hessian(known, inputs, target="1", matrix="yes").found
    compiled = Compiled(known, "class", batch=1)
    (name,) = inputs

    def gradient(x):
        sample = Sample({name: x}, (name,), lambda kind: {})

        def program():
            return (yield Query(Ask(1, lambda _, out: sample.write(out), np.ones(1)), np.float32([0, 1, 0])))

        (outcome,) = Packer(compiled, classes=3).run([Job(None, sample, program())])
        return outcome.result.answer.gradients[name]

    for place in range(inputs[name].size):
        step = np.zeros(inputs[name].size)
        step[place] = 1e-5
        expected = (gradient(inputs[name] + step) - gradient(inputs[name] - step)) / 2e-5
        assert np.abs(found.matrix[place] - expected).max() < 1e-7 * max(1, np.abs(found.matrix).max())


@pytest.fixture(scope="module")
def curved():
    rng = np.random.default_rng(0)
    x = keras.Input((30,), name="x")
    model = keras.Model(x, L.Dense(3, name="y")(L.Dense(20, "tanh")(x)))
    model.set_weights([rng.normal(0, 0.4, w.shape) for w in model.get_weights()])
    return opened(model), rng.normal(size=30).astype(np.float32)


def test_lanczos_and_the_matrix_have_the_same_top(curved):
    model, x = curved
    whole = hessian(model, x, top=4, matrix="yes").found
    searched = hessian(model, x, top=4, matrix="no", probes=0).found
    assert np.allclose(searched.eigen.values, whole.eigen.values, rtol=1e-4)
    assert searched.eigen.settled
    assert searched.diagonal is None
    overlap = np.abs(np.sum(searched.eigen.vectors * whole.eigen.vectors, axis=1))
    assert np.allclose(overlap, 1, atol=1e-3)
    assert whole.asymmetry < 1e-5


def test_products_are_the_matrix_times_the_vector(curved):
    model, x = curved
    whole = hessian(model, x, matrix="yes", direction="random").found
    assert np.allclose(whole.product, whole.matrix @ whole.direction, atol=1e-5)
    g = whole.gradient
    assert whole.along == pytest.approx(g @ whole.matrix @ g / (g @ g), rel=1e-4)


@pytest.mark.parametrize("chunk", [1, 16 << 20])
def test_the_estimated_diagonal_lies_within_its_standard_error(curved, chunk, monkeypatch):
    monkeypatch.setattr(hessian_asking, "_CHUNK", chunk)
    model, x = curved
    exact = hessian(model, x, matrix="yes").found
    found = hessian(model, x, matrix="no", probes=400, top=0).found.diagonal
    score = (found.values - np.diagonal(exact.matrix)) / found.error
    assert 0.6 < np.sqrt(np.mean(np.square(score))) < 1.4
    assert abs(found.trace - np.trace(exact.matrix)) < 4 * found.trace_error
    few = hessian(model, x, matrix="no", probes=100, top=0).found.diagonal
    assert np.median(few.error / found.error) == pytest.approx(2, rel=0.25)


def test_signs_depend_on_the_seed_and_nothing_else(curved):
    model, x = curved
    options = {"matrix": "no", "probes": 6, "top": 0}
    first, again, other = (hessian(model, x, seed=s, **options).found.diagonal.values for s in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)
    batched = hessian(model, x, batch_size=8, **options).found.diagonal.values
    assert np.allclose(first, batched, rtol=1e-4, atol=1e-6)


def relus():
    x = keras.Input((6,), name="x")
    model = keras.Model(x, L.Dense(3, name="y")(L.Dense(8, "relu")(x)))
    model.set_weights([np.random.default_rng(0).normal(size=w.shape) for w in model.get_weights()])
    return model


def test_a_network_of_relus_is_flat_and_says_so():
    found = hessian(relus(), np.ones(6, np.float32))
    assert found.findings.flags == ("flat",)
    assert found.findings.results["flat"]
    assert found.findings.results["kinks"] == {"Relu": 1}
    assert found.findings.results["eigenvalues"] == [0, 0, 0]
    assert not found.found.matrix.any()
    assert not written(found)["product/x"].any()
    stream = io.BytesIO()
    found.findings.files["grid"].data(stream)
    assert stream.getvalue().startswith(b"\x89PNG")


def test_probabilities_of_relus_curve_by_their_softmax():
    x = keras.Input((6,), name="x")
    model = keras.Model(x, L.Dense(3, "softmax", name="y")(L.Dense(8, "relu")(x)))
    assert not hessian(model, np.ones(6, np.float32), space="probability").found.flat
    assert hessian(model, np.ones(6, np.float32)).found.flat


def test_a_linear_model_is_linear():
    found = hessian(of(lambda x: 2 * x + 1), np.float32([3]))
    assert found.findings.flags == ("linear",)


def test_smoothed_relus_curve_by_the_formula():
    beta = 4.0
    model = relus()
    x = np.random.default_rng(5).normal(size=6).astype(np.float32)
    found = hessian(model, x, target="1", smooth=beta, matrix="yes")
    w, b, v, c = (np.float64(each) for each in model.get_weights())
    z = x @ w + b
    s = 1 / (1 + np.exp(-beta * z))
    expected = (w * (v[:, 1] * beta * s * (1 - s))) @ w.T
    assert np.allclose(found.found.matrix, expected, atol=1e-4 * np.abs(expected).max())
    assert np.allclose(found.found.gradient, w @ (v[:, 1] * s), atol=1e-4)
    told = found.findings.results["smoothed"]
    assert (told["beta"], told["replaced"], told["operations"]) == (4.0, {"Relu": 1}, 1)
    assert told["value"] == pytest.approx(np.log1p(np.exp(beta * z)) / beta @ v[:, 1] + c[1], rel=1e-4)
    assert found.findings.results["target"].value == pytest.approx(np.maximum(z, 0) @ v[:, 1] + c[1], rel=1e-4)
    assert found.findings.flags == ()


def test_nothing_to_smooth_ends_the_run(saliency):
    np.save("x.npy", np.float32([1, 2, 3]))
    told = saliency("hessian", SAMPLES / "quadratic.keras", "x.npy", "--smooth-relu", "10")
    assert told.code == 4
    assert "the model has no ReLU to smooth" in told.err


def test_a_direction_of_one_s_own(saliency, curved):
    model, x = curved
    np.save("v.npy", np.arange(30, dtype=np.float32))
    found = hessian(model, x, direction="v.npy", matrix="yes").found
    assert np.allclose(found.product, found.matrix @ np.arange(30), rtol=1e-4, atol=1e-3)
    np.save("short.npy", np.ones(3, np.float32))
    with pytest.raises(InputError, match="has 3 for the input 'x', which is 30"):
        hessian(model, x, direction="short.npy")
    with pytest.raises(UsageError, match="no file 'missing"):
        hessian(model, x, direction="missing.npy")
    size = x.size
    np.save("hole.npy", np.where(np.arange(size) == 1, np.nan, 1).reshape(x.shape))
    with pytest.raises(InputError, match="--direction holds values that are NaN or infinite"):
        hessian(model, x, direction="hole.npy")
    np.savez("more.npz", **{opened(model).inputs[0].name: x, "mask": x})
    with pytest.raises(InputError, match="--direction holds an array 'mask'"):
        hessian(model, x, direction="more.npz")


def test_several_targets_are_refused():
    with pytest.raises(UsageError, match="one target"):
        hessian(relus(), np.ones(6, np.float32), target="top:2")
    with pytest.raises(UsageError, match="standard error"):
        hessian(relus(), np.ones(6, np.float32), probes=1)
    with pytest.raises(UsageError, match="above 0"):
        hessian(relus(), np.ones(6, np.float32), smooth=-1.0)


def test_a_loss_curves_where_its_output_is_linear():
    x = keras.Input((2,), name="x")
    model = keras.Model(x, L.Dense(1, use_bias=False, name="y")(x))
    model.set_weights([np.float32([[2], [3]])])
    found = hessian(model, np.float32([1, 1]), loss="mse", label="0")
    assert np.allclose(found.found.matrix, 2 * np.outer([2, 3], [2, 3]))


def test_eigenvalues_that_have_not_settled_are_flagged(curved):
    model, x = curved
    found = hessian(model, x, matrix="no", probes=0, top=3, steps=3)
    assert found.findings.flags == ("eigenvalues-unsettled",)


def test_a_disconnected_input_has_no_part_in_it():
    a, b = keras.Input((2,), name="a"), keras.Input((3,), name="b")
    model = keras.Model([a, b], L.Dot(1, name="y")([a, a]))
    found = hessian(model, {"a": np.ones(2, np.float32), "b": np.ones(3, np.float32)})
    assert np.array_equal(found.found.matrix, 2 * np.eye(2))
    assert "disconnected" in found.findings.flags


def test_a_second_derivative_that_is_missing_stops_the_run():
    def normalised(x):
        return tf.reshape(tf.nn.local_response_normalization(tf.reshape(x, (-1, 1, 1, 4))), (-1, 4))

    with pytest.raises(ModelError, match="LRNGrad"):
        hessian(of(normalised, 4), np.ones(4, np.float32))


def test_a_picture_has_its_diagonal_drawn(saliency):
    picture = SAMPLES.parent / "sample_images" / "shapes_star.png"
    told = saliency(
        "hessian", SAMPLES / "shapes.keras", picture, "--probes", "4", "--top", "1", "--steps", "14", "--json"
    )
    assert told.code == 0, told.err
    (item,) = json.loads(told.out)["items"]
    assert item["results"]["diagonal"] == "estimate"
    assert item["results"]["trace_error"] > 0
    with np.load("shapes_star.hessian.npz") as found:
        assert found["diagonal_error/picture"].shape == (64, 64, 3)


def test_what_random_signs_miss_is_not_called_flat():
    """(x₀ − x₁)² where its gradient is zero, or along it: of all signs half are taken to zero by H."""
    sloped = of(lambda x: x[:, :1] + x[:, 1:] + (x[:, :1] - x[:, 1:]) ** 2, size=2)
    level = of(lambda x: (x[:, :1] - x[:, 1:]) ** 2, size=2)
    for seed in range(6):
        for model in (level, sloped):
            told = hessian(model, np.ones(2, np.float32), target="0", seed=seed)
            assert not told.found.flat
            assert told.findings.flags == ()
            assert told.findings.results["eigenvalues"] == pytest.approx([4, 0], abs=1e-6)
