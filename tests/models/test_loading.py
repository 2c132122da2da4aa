"""Saved models loaded: what comes through, what is refused, and that nothing in a file is run."""

import textwrap

import numpy as np
import pytest
from saved_models import L, keras, tiny

import saliency_cli as sal
from saliency_cli.errors import ModelError, UsageError

X = np.float32([0.5, -1, 2, 0.25])


def logit_gradient(index=1):
    """∂z/∂x of the tiny model, by hand."""
    first, bias, second, _ = tiny().get_weights()
    h = np.tanh(X @ first + bias)
    return first @ ((1 - h**2) * second[:, index])


@pytest.mark.parametrize("name", ["tiny.keras", "tiny.h5", "compiled.keras", "compiled.h5"])
def test_both_formats_give_the_gradient_of_the_model_that_was_saved(saved, name):
    found = sal.load(str(saved / name)).attribute(X, target=1)
    np.testing.assert_allclose(found.values, logit_gradient(), rtol=1e-5)


@pytest.mark.parametrize("suffix", ["", ".bin", ".keras", ".h5", ".hdf5", ".KERAS", ".model.old"])
@pytest.mark.parametrize("name", ["tiny.keras", "tiny.h5"])
def test_a_strange_suffix_loads_all_the_same(saved, tmp_path, name, suffix):
    path = tmp_path / f"model{suffix}"
    path.write_bytes((saved / name).read_bytes())
    found = sal.load(str(path)).attribute(X, target=1)
    np.testing.assert_allclose(found.values, logit_gradient(), rtol=1e-5)


@pytest.mark.parametrize("name", ["compiled.keras", "compiled.h5"])
def test_the_compiled_loss_comes_along(saved, name):
    found = sal.load(str(saved / name)).attribute(X, loss="compiled", label="1")
    assert found.record.target.loss == "sparse_categorical_crossentropy"
    p = tiny()(X[None]).numpy()[0]
    assert found.record.target.value == pytest.approx(-np.log(p[1]), rel=1e-5)


def load_error(path, **options):
    with pytest.raises(ModelError) as caught:
        sal.load(str(path), **options)
    assert caught.value.exit_code == 4
    return caught.value


def test_the_facts_of_a_file(saved):
    from saliency_cli.models.keras3.loading import load

    model = load(saved / "tiny.keras")
    assert (model.name, model.format, model.parameters) == ("tiny", "keras-zip", 43)
    assert model.writer == f"Keras {keras.__version__}"
    assert [(spec.name, spec.shape, spec.dtype) for spec in model.inputs] == [("features", (4,), "float32")]
    assert [(output.name, output.shape) for output in model.outputs] == [("classes", (3,))]
    assert [(layer.path, layer.kind, layer.parameters) for layer in model.layers] == [
        ("hidden", "Dense", 25),
        ("classes", "Dense", 18),
    ]
    assert len(model.sha256) == len(model.weights_sha256) == 64


@pytest.fixture
def marker(tmp_path, monkeypatch):
    """A path that appears if the code in a Lambda is run."""
    path = tmp_path / "run"
    monkeypatch.setenv("MARKER", str(path))
    return path


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("nested", [False, True])
def test_a_lambda_is_refused_and_not_run(tmp_path, marker, suffix, nested):
    leave_a_mark = lambda x: __import__("pathlib").Path(__import__("os").environ["MARKER"]).touch() or x * 2  # noqa: E731

    x = keras.Input((4,))
    layer = L.Lambda(leave_a_mark, name="scaled")
    if nested:
        inner = keras.Input((4,))
        layer = keras.Model(inner, layer(inner))
    keras.Model(x, L.Dense(2)(layer(x))).save(tmp_path / f"model{suffix}")
    assert marker.exists()  # the code does run when the model is made
    marker.unlink()
    error = load_error(tmp_path / f"model{suffix}")
    assert "Lambda" in error.message
    assert "Python code" in error.message
    assert "'scaled'" in error.message
    assert error.reason == "refused-code"
    assert error.hint
    assert not marker.exists()


def a_function_of_the_users(x):
    return x * 2


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_lambda_around_a_named_function_is_refused_too(tmp_path, suffix):
    """There is no code in such a file, only the function's name."""
    x = keras.Input((4,))
    keras.Model(x, L.Lambda(a_function_of_the_users)(x)).save(tmp_path / f"model{suffix}")
    error = load_error(tmp_path / f"model{suffix}")
    assert "Lambda" in error.message
    assert error.reason == "refused-code"
    assert error.hint


CUSTOM = textwrap.dedent(
    """
    import keras

    class Scaled(keras.layers.Layer):
        def __init__(self, by=3.0, **options):
            super().__init__(**options)
            self.by = by

        def call(self, x):
            return self.by * x

        def get_config(self):
            return super().get_config() | {"by": self.by}
    """
)


@pytest.fixture
def custom(tmp_path):
    """A saved model with a layer of the user's own, and the file that defines it."""
    found = {}
    exec(CUSTOM, found)
    x = keras.Input((4,))
    model = keras.Model(x, L.Dense(2, use_bias=False)(found["Scaled"](by=2.0)(x)))
    model.set_weights([np.arange(8, dtype=np.float32).reshape(4, 2)])
    model.save(tmp_path / "custom.keras")
    (tmp_path / "scaled.py").write_text(CUSTOM)
    return tmp_path


def test_a_custom_class_is_named(custom):
    error = load_error(custom / "custom.keras")
    assert "Scaled" in error.message
    assert "--custom-objects FILE.py" in error.hint
    assert error.reason == "custom-class"


def test_a_custom_class_from_a_file_of_the_users(custom):
    found = sal.load(str(custom / "custom.keras"), custom_objects=str(custom / "scaled.py")).attribute(X, target=1)
    np.testing.assert_array_equal(found.values, 2 * np.float32([1, 3, 5, 7]))
    assert "Scaled" not in keras.saving.get_custom_objects()


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "there is no file"), ("def f(:", "can't be run: SyntaxError"), ("1 / 0", "can't be run: ZeroDivision")],
)
def test_a_file_of_custom_objects_that_is_none(custom, content, message):
    path = custom / "objects.py"
    if content:
        path.write_text(content)
    with pytest.raises(UsageError, match=message) as caught:
        sal.load(str(custom / "custom.keras"), custom_objects=str(path))
    assert "--custom-objects" in caught.value.message


def test_a_file_without_the_class_names_it_still(custom):
    (custom / "empty.py").write_text("")
    error = load_error(custom / "custom.keras", custom_objects=str(custom / "empty.py"))
    assert "Scaled" in error.message
    assert error.reason == "custom-class"


def test_a_model_that_was_never_built(tmp_path):
    with pytest.raises(ModelError, match="was never built") as caught:
        sal.wrap(keras.Sequential([L.Dense(2)]))
    assert "call it once on an example" in caught.value.hint
    assert caught.value.reason == "not-built"


@pytest.mark.parametrize("thing", [None, "model.keras", 3, lambda x: x])
def test_only_keras_models_are_wrapped(thing):
    with pytest.raises(ModelError, match="expected a Keras 3 model, got"):
        sal.wrap(thing)


def test_a_sequential_model_built_by_its_first_call(tmp_path):
    model = keras.Sequential([L.Dense(3, "tanh"), L.Dense(2, "softmax")])
    model(np.zeros((5, 4), np.float32))
    model.save(tmp_path / "late.keras")
    for found in (sal.wrap(model), sal.load(str(tmp_path / "late.keras"))):
        assert found.attribute(X, target=0).values.shape == (4,)
