"""The gradient of a loss: p − y at the logits, Keras's own values, the model's own loss, a function in a file."""

import numpy as np
import pytest
from asking import ask, compiled
from tiny_models import L, dense_output, drawn, headed, keras, relative, seeded, table, taped, tf

from saliency_cli.errors import ModelError, UsageError
from saliency_cli.models.keras3.loading import load

X = drawn(2, 5)


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def identity_softmax():
    return keras.Sequential([keras.Input((4,)), L.Softmax()])


@pytest.mark.parametrize("loss", ["categorical_crossentropy", "sparse_categorical_crossentropy"])
def test_the_cross_entropy_gradient_at_the_logits_is_p_minus_y(loss):
    z = drawn(2, 4)
    truth = np.eye(4)[[2, 0]] if "sparse" not in loss else [2, 0]
    found = ask(compiled(identity_softmax(), loss=loss), z, truth=truth)
    (gradient,) = found.gradients.values()
    np.testing.assert_allclose(gradient, softmax(z) - np.eye(4)[[2, 0]], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found.values, -np.log(softmax(z)[[0, 1], [2, 0]]), rtol=1e-5)


def test_sparse_is_one_hot_bit_for_bit():
    model, _ = headed("dense softmax")
    x = drawn(2, 6, 6, 2)
    sparse = ask(compiled(model, loss="sparse_categorical_crossentropy"), x, truth=[3, 1])
    plain = ask(compiled(model, loss="categorical_crossentropy"), x, truth=np.eye(4)[[3, 1]])
    np.testing.assert_array_equal(sparse.gradients["picture"], plain.gradients["picture"])
    np.testing.assert_array_equal(sparse.values, plain.values)


def test_the_cross_entropy_does_not_vanish_where_the_head_is_saturated():
    z = np.float32([[100, 0, 0, 0], [0, 200, 0, 0]])
    found = ask(compiled(identity_softmax(), loss="categorical_crossentropy"), z, truth=np.eye(4)[[1, 1]])
    (gradient,) = found.gradients.values()
    np.testing.assert_allclose(gradient[0], [1, -1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(found.values, [100, 0], atol=1e-4)


@pytest.mark.parametrize(("units", "truth"), [(1, [[1], [0]]), (3, [[1, 0, 1], [0, 0, 1]])])
def test_the_binary_cross_entropy(units, truth):
    model, twin = table(units, "sigmoid")
    found = ask(compiled(model, loss="binary_crossentropy"), X, truth=truth)
    y = np.float32(truth)
    expected = taped(
        twin, X, lambda z: tf.reduce_sum(tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(y, z), -1))
    )
    (gradient,) = found.gradients.values()
    assert relative(gradient, expected) < 2e-6
    p = model(X).numpy()
    np.testing.assert_allclose(found.values, -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean(-1), rtol=1e-4)


@pytest.mark.parametrize("dtype", [None, "float64"])
@pytest.mark.parametrize(
    ("loss", "keras_loss"),
    [
        ("mse", "MeanSquaredError"),
        ("mean_squared_error", "MeanSquaredError"),
        ("mae", "MeanAbsoluteError"),
        ("mean_absolute_error", "MeanAbsoluteError"),
        ("huber", "Huber"),
    ],
)
def test_the_losses_of_a_regression_are_keras_s(loss, keras_loss, dtype):
    model, _ = table(3, dtype=dtype)
    truth = np.float32([[0.1, -2, 3], [5, 0, 0.5]])
    found = ask(compiled(model, loss=loss), X, truth=truth)
    reference = getattr(keras.losses, keras_loss)(reduction="none")
    x = X.astype(dtype or "float32")
    (gradient,) = found.gradients.values()
    assert relative(gradient, taped(model, x, lambda y: tf.reduce_sum(reference(truth, y)))) < 1e-6
    np.testing.assert_allclose(found.values, reference(truth, model(X)).numpy(), rtol=1e-5)


@pytest.mark.parametrize("loss", ["categorical_crossentropy", "sparse_categorical_crossentropy"])
def test_the_cross_entropy_of_a_dense_output_is_a_mean_over_places(loss):
    """Batch and width are equal, so that a truth laid along the wrong axis would not be refused."""
    model = dense_output("softmax", (3, 4, 2))
    x = drawn(4, 3, 4, 2)
    labels = [0, 1, 2, 3]
    full = np.broadcast_to(np.eye(4, dtype=np.float32)[labels][:, None, None], (4, 3, 4, 4))
    truth = labels if "sparse" in loss else full
    found = ask(compiled(model, loss=loss, batch=4), x, truth=truth)
    p = model(x).numpy()
    np.testing.assert_allclose(found.values, -np.log((p * full).sum(-1)).mean((1, 2)), rtol=1e-5)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Files of models compiled with different losses."""
    folder = tmp_path_factory.mktemp("compiled")

    def save(name, model, **compiling):
        model.compile("sgd", **compiling)
        model.save(folder / f"{name}.keras")
        return folder / f"{name}.keras"

    def classifier():
        x = keras.Input((5,))
        return seeded(keras.Model(x, L.Dense(3, "softmax")(x)))

    def of_two():
        x = keras.Input((5,))
        return seeded(keras.Model(x, {"u": L.Dense(3, "softmax", name="u")(x), "v": L.Dense(1, name="v")(x)}))

    def listed():
        x = keras.Input((5,))
        return seeded(keras.Model(x, [L.Dense(3, "softmax", name="u")(x), L.Dense(1, name="v")(x)]))

    return {
        "sparse": save("sparse", classifier(), loss="sparse_categorical_crossentropy"),
        "smoothed": save("smoothed", classifier(), loss=keras.losses.CategoricalCrossentropy(label_smoothing=0.2)),
        "none": save("none", classifier()),
        "dictionary": save("dictionary", of_two(), loss={"u": "categorical_crossentropy", "v": "mae"}),
        "list": save("list", listed(), loss=["categorical_crossentropy", keras.losses.MeanSquaredError()]),
        "partial": save("partial", of_two(), loss={"u": "categorical_crossentropy"}),
    }


def compiled_loss(path, output=None, loss="compiled"):
    from saliency_cli.autodiff.compiled import Compiled

    model = load(path)
    return Compiled(model, output or model.outputs[0].name, batch=2, loss=loss)


def test_the_compiled_loss_of_a_saved_model(saved):
    function = compiled_loss(saved["sparse"])
    assert function.loss_name == "sparse_categorical_crossentropy"
    own = compiled_loss(saved["sparse"], loss="sparse_categorical_crossentropy")
    found, expected = ask(function, X, truth=[2, 0]), ask(own, X, truth=[2, 0])
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-5)
    for name, gradient in expected.gradients.items():
        assert relative(found.gradients[name], gradient) < 1e-5


def test_the_options_of_a_compiled_loss_are_kept(saved):
    found = ask(compiled_loss(saved["smoothed"]), X, truth=np.eye(3)[[2, 0]])
    model = keras.saving.load_model(saved["smoothed"])
    smoothed = 0.8 * np.eye(3)[[2, 0]] + 0.2 / 3
    np.testing.assert_allclose(found.values, -(smoothed * np.log(model(X).numpy())).sum(-1), rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "output", "loss"),
    [
        ("dictionary", "u", "categorical_crossentropy"),
        ("dictionary", "v", "mae"),
        ("list", "u", "categorical_crossentropy"),
        ("list", "v", "mse"),
    ],
)
def test_every_output_has_its_own_compiled_loss(saved, name, output, loss):
    function = compiled_loss(saved[name], output)
    truth = np.eye(3)[[2, 0]] if output == "u" else [[9.0], [-9.0]]
    found = ask(function, X, truth=truth)
    y = dict(zip("uv", keras.tree.flatten(keras.saving.load_model(saved[name])(X)), strict=True))[output].numpy()
    expected = {
        "categorical_crossentropy": lambda: -(truth * np.log(y)).sum(-1),
        "mae": lambda: abs(y - truth)[:, 0],
        "mse": lambda: ((y - truth) ** 2)[:, 0],
    }[loss]()
    np.testing.assert_allclose(found.values, expected, rtol=1e-5)


@pytest.mark.parametrize(("name", "output"), [("none", None), ("partial", "v")])
def test_a_model_saved_without_a_loss(saved, name, output):
    with pytest.raises(ModelError, match="was saved without a loss for the output") as caught:
        compiled_loss(saved[name], output)
    assert caught.value.reason == "no-compiled-loss"
    assert "--loss categorical_crossentropy, mse" in caught.value.hint


LOSS_FILE = """
import tensorflow as tf
def per_sample(truth, output):
    return tf.reduce_sum(tf.square(output - truth) * [1.0, 2.0, 3.0], axis=-1)
def per_value(truth, output):
    return tf.square(output - truth)
def whole(truth, output):
    return tf.reduce_mean(tf.square(output - truth))
def wrong(truth, output):
    return tf.reduce_sum(output, axis=0)
"""


@pytest.fixture
def loss_file(tmp_path):
    path = tmp_path / "losses.py"
    path.write_text(LOSS_FILE)
    return path


def test_a_function_in_a_file(loss_file):
    model, _ = table(3)
    truth = np.float32([[0, 1, 2], [3, 4, 5]])
    function = compiled(model, loss=f"{loss_file}:per_sample")
    assert function.loss_name == f"{loss_file}:per_sample"
    found = ask(function, X, truth=truth)
    w = np.float32([1, 2, 3])
    np.testing.assert_allclose(found.values, ((model(X).numpy() - truth) ** 2 * w).sum(-1), rtol=1e-5)
    expected = taped(model, X, lambda y: tf.reduce_sum(tf.square(y - truth) * w))
    assert relative(next(iter(found.gradients.values())), expected) < 1e-6


def test_further_axes_of_a_function_s_loss_are_averaged(loss_file):
    model, _ = table(3)
    truth = np.float32([[0, 1, 2], [3, 4, 5]])
    found = ask(compiled(model, loss=f"{loss_file}:per_value"), X, truth=truth)
    np.testing.assert_array_equal(found.values, ask(compiled(model, loss="mse"), X, truth=truth).values)


def refused(loss, model=None, error=UsageError):
    with pytest.raises(error) as caught:
        _ = compiled(model or table(3)[0], loss=loss).facts
    return caught.value


def test_a_loss_of_the_whole_batch_is_refused(loss_file):
    error = refused(f"{loss_file}:whole")
    assert "returned one number for the whole batch" in error.message
    assert "one value per sample" in error.hint


def test_a_loss_that_is_not_one_value_a_sample_is_refused(loss_file):
    error = refused(f"{loss_file}:wrong")
    assert "returned an array of shape (3,), and the batch is 2" in error.message
    assert "one value per sample" in error.hint


@pytest.mark.parametrize(
    ("tail", "message", "hint"),
    [
        ("losses.py:per_smaple", "has no function 'per_smaple'", "did you mean 'per_sample'?"),
        ("nothing.py:per_sample", "there is no file", "--loss FILE.py:function"),
        ("broken.py:f", "can't be run: SyntaxError", "--loss FILE.py:function"),
        ("raising.py:f", "can't be run: ZeroDivisionError", "--loss FILE.py:function"),
        ("text.txt:f", "is not a Python file", "--loss FILE.py:function"),
    ],
)
def test_a_file_that_gives_no_loss(loss_file, tail, message, hint):
    (loss_file.parent / "broken.py").write_text("def f(:")
    (loss_file.parent / "raising.py").write_text("1 / 0")
    (loss_file.parent / "text.txt").write_text("words")
    error = refused(f"{loss_file.parent}/{tail}")
    assert message in error.message
    assert hint in error.hint


@pytest.mark.parametrize(
    ("name", "hint"),
    [("categorical_crosentropy", "did you mean 'categorical_crossentropy'?"), ("xyzzy", "there are: ")],
)
def test_an_unknown_loss(name, hint):
    error = refused(name)
    assert f"no loss is called '{name}'" in error.message
    assert hint in error.hint
    assert error.reason == "unknown-loss"


def test_classes_that_do_not_exclude_each_other_have_no_categorical_loss():
    assert "this head is a sigmoid" in refused("categorical_crossentropy", table(3, "sigmoid")[0]).message
