"""The Python interface: load or wrap a model, attribute an array, look at the map."""

import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import saliency_cli as sal
from saliency_cli.autodiff.runtime import keras
from saliency_cli.errors import InputError, ModelError, UsageError

L = keras.layers
X = np.float32([0.5, -1.0, 2.0, 0.25])
W = np.float32([[1, 2, -3], [4, -5, 6], [-7, 8, 9], [1, 1, 1]])


def classifier(scale=1.0):
    x = keras.Input((4,), name="features")
    model = keras.Model(x, L.Dense(3, "softmax", use_bias=False, name="classes")(x))
    model.set_weights([scale * W])
    return model


@pytest.fixture(scope="module")
def model():
    return sal.wrap(classifier())


@pytest.fixture(scope="module")
def pictures():
    x = keras.Input((8, 8, 3), name="picture")
    net = keras.Model(
        x, L.Dense(2, "softmax")(L.Flatten()(L.Conv2D(2, 3, activation="tanh")(L.Rescaling(1 / 255)(x))))
    )
    rng = np.random.default_rng(0)
    net.set_weights([rng.normal(size=w.shape).astype(np.float32) for w in net.get_weights()])
    return sal.wrap(net)


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photos") / "photo.png"
    pixels = np.random.default_rng(1).integers(0, 256, (12, 16, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def refused(error, **arguments):
    """The error `attribute` ends with for wrong arguments."""
    x = arguments.pop("x", X)
    model = arguments.pop("model", None) or sal.wrap(classifier())
    with pytest.raises(error) as caught:
        model.attribute(x, **arguments)
    return caught.value


def test_the_gradient_of_the_top_class(model):
    found = model.attribute(X)
    top = int((X @ W).argmax())
    np.testing.assert_array_equal(found.values, W[:, top])
    assert found.values.dtype == np.float32
    assert (found.prediction.kind, found.prediction.index, found.prediction.label) == ("class", top, str(top))
    p = np.exp(X @ W - (X @ W).max())
    assert found.prediction.score == pytest.approx((p / p.sum())[top], rel=1e-5)
    target = found.record.target
    assert (target.space, target.output, target.weights) == ("logit", "classes", {str(top): 1.0})
    assert target.value == pytest.approx((X @ W)[top], rel=1e-6)
    assert found.flags == ()
    assert list(found.inputs) == ["features"]


def test_the_numbers_of_the_record(model):
    record = model.attribute(X, target=1).record.inputs["features"]
    assert record.l1 == pytest.approx(abs(W[:, 1]).sum())
    assert record.l2 == pytest.approx(np.sqrt((W[:, 1] ** 2).sum()))
    assert record.max == pytest.approx(8)
    assert record.sum == pytest.approx(W[:, 1].sum())
    assert record.top[0].index == [2]
    assert record.unit == "target per unit of input"


@pytest.mark.parametrize(
    ("target", "expected"),
    [(0, W[:, 0]), ("2", W[:, 2]), (np.int64(1), W[:, 1]), ("0 - 1", W[:, 0] - W[:, 1]), ("2*1", 2 * W[:, 1])],
)
def test_targets(model, target, expected):
    np.testing.assert_allclose(model.attribute(X, target=target).values, expected)


def test_class_names(model):
    found = model.attribute(X, target="dog", class_names=["cat", "dog", "bird"])
    np.testing.assert_array_equal(found.values, W[:, 1])
    assert found.record.target.label == "dog"
    assert found.prediction.label in ("cat", "dog", "bird")


@pytest.mark.parametrize(
    ("method", "options", "expected"),
    [
        ("gradient-times-input", {}, X * W[:, 1]),
        ("integrated-gradients", {"baseline": "zero", "points": 4}, X * W[:, 1]),
        ("smoothgrad", {"draws": 5}, W[:, 1]),
        ("smoothgrad-squared", {"draws": 5}, W[:, 1] ** 2),
        ("vargrad", {"draws": 5}, 0 * X),
    ],
)
def test_methods_and_their_options(model, method, options, expected):
    found = model.attribute(X, method=method, options=options, target=1)
    np.testing.assert_allclose(found.values, expected, rtol=1e-5, atol=1e-7)
    assert found.record.method == method


def test_spaces(model):
    z = X @ W
    p = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
    found = model.attribute(X, target=1, space="log-probability")
    np.testing.assert_allclose(found.values, W @ (np.eye(3)[1] - p), rtol=1e-5, atol=1e-8)


def test_a_loss(model):
    z = X @ W
    p = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
    for loss in ("categorical_crossentropy", "sparse_categorical_crossentropy"):
        found = model.attribute(X, loss=loss, label=0)
        np.testing.assert_allclose(found.values, W @ (p - np.eye(3)[0]), rtol=1e-5, atol=1e-8)
        assert found.record.target.value == pytest.approx(-np.log(p[0]), rel=1e-5)
        assert found.record.target.loss == loss


@pytest.mark.parametrize("x", [X.tolist(), X.astype(np.float64), X[None], tuple(X), {"features": X}])
def test_what_counts_as_a_sample(model, x):
    np.testing.assert_array_equal(model.attribute(x).values, model.attribute(X).values)


def test_the_sample_is_left_as_it_was(model):
    x = X.copy()
    x.flags.writeable = False
    model.attribute(x, method="smoothgrad", options={"draws": 3})
    np.testing.assert_array_equal(x, X)


def test_the_same_call_gives_the_same_bits_and_another_seed_others(pictures):
    x = np.random.default_rng(3).random((8, 8, 3), np.float32) * 255
    arguments = {"method": "smoothgrad", "options": {"draws": 4}}
    first, second, other = (pictures.attribute(x, **arguments, seed=seed).values for seed in (0, 0, 1))
    assert first.tobytes() == second.tobytes() != other.tobytes()


def test_a_file_is_prepared_as_on_the_command_line(pictures, photo):
    by_text, by_path = pictures.attribute(str(photo)), pictures.attribute(photo)
    np.testing.assert_array_equal(by_text.values, by_path.values)
    pixels = np.asarray(Image.open(photo).resize((8, 8), Image.Resampling.BILINEAR), np.float32)
    near = pictures.attribute(pixels).values
    assert np.corrcoef(near.ravel(), by_path.values.ravel())[0, 1] > 0.9
    assert by_path.flags == ()


def test_loading_and_attributing_at_once(tmp_path):
    path = tmp_path / "model.keras"
    classifier().save(path)
    for where in (path, str(path)):
        np.testing.assert_array_equal(sal.attribute(where, X, target=2).values, W[:, 2])
    assert sal.load(path).inputs == ("features",)
    assert sal.load(path, device="cpu").outputs == ("classes",)


@pytest.mark.parametrize("kind", ["overlay", "heatmap", "panel"])
def test_pictures_of_the_map(pictures, photo, kind):
    found = pictures.attribute(photo)
    image = found.to_image(kind)
    assert min(image.size) >= 12
    assert image.size == (16, 12) or kind == "panel"
    assert len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)) > 8


def test_a_notebook_shows_a_png(pictures, photo):
    shown = pictures.attribute(photo)._repr_png_()
    assert shown.startswith(b"\x89PNG")
    assert Image.open(BytesIO(shown)).size == (16, 12)


def test_a_table_s_map_is_drawn_too(model):
    assert model.attribute(X)._repr_png_().startswith(b"\x89PNG")


def test_pictures_there_are_none_of(model):
    found = model.attribute(X)
    with pytest.raises(UsageError, match="'pie' is no picture of a map"):
        found.to_image("pie")
    with pytest.raises(UsageError, match="the input 'left' has no map") as caught:
        found.to_image("heatmap", "left")
    assert caught.value.hint == "there are: features"


def test_several_inputs_and_outputs():
    a, b = keras.Input((2,), name="a"), keras.Input((3,), name="b")
    net = keras.Model([a, b], [L.Dense(2, name="u")(a), L.Dense(1, name="v")(L.Concatenate()([a, b]))])
    both = sal.wrap(net)
    assert (both.inputs, both.outputs) == (("a", "b"), ("u", "v"))
    x = {"a": np.ones(2), "b": np.ones(3)}
    error = refused(UsageError, model=both, x=x)
    assert "the model has 2 outputs: u, v" in error.message
    found = both.attribute(x, output_name="v")
    assert {name: array.shape for name, array in found.inputs.items()} == {"a": (2,), "b": (3,)}
    assert found.to_image("heatmap", "b").size[0] > 0
    alone = both.attribute(x, output_name="u", target=0)
    assert list(alone.inputs) == ["a"]
    assert alone.flags == ("disconnected",)
    error = refused(InputError, model=both, x={"a": np.ones(2)}, output_name="v")
    assert "the model's inputs are a, b, and a came" in error.message


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        ({"method": "smothgrad"}, "no method is called 'smothgrad'", "did you mean 'smoothgrad'?"),
        ({"method": "smoothgrad", "options": {"drawz": 3}}, "no option 'drawz'", "saliency methods smoothgrad"),
        ({"target": "top:2"}, "'top:2' is several", "call it once for each"),
        ({"target": "all"}, "'all' is several", ""),
        ({"target": 3}, "target 3 is out of range: the output has 3 classes", ""),
        ({"target": -1}, "target -1 is out of range", ""),
        ({"target": "cat"}, "no class is called 'cat'", "--class-names"),
        ({"class_names": ("a", "b")}, "the class names are 2, and the output has 3", ""),
        ({"space": "probabilty"}, "there is no space 'probabilty'", "did you mean 'probability'?"),
        ({"reduce": "xyz"}, "reduce can't be 'xyz'", "there are: max, mean, sum, l2, none"),
        ({"resize": "stretched"}, "resize can't be 'stretched'", "did you mean 'stretch'?"),
        ({"output_name": "clases"}, "the model has no output 'clases'", "did you mean 'classes'?"),
        ({"loss": "mse"}, "a loss needs to know", "--label"),
        ({"label": 1}, "labels are used by a loss, a metric or --target label", ""),
        ({"loss": "mse", "label": 1, "space": "logit"}, "a loss", ""),
        ({"loss": "mse", "label": 1, "target": 2}, "--loss is asked for", ""),
        ({"loss": "msee", "label": 1}, "no loss is called 'msee'", "did you mean 'mse'?"),
    ],
)
def test_wrong_arguments(arguments, message, hint):
    error = refused(UsageError, **arguments)
    assert message in error.message
    assert hint in error.hint


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros(5), "takes 4 (or a stack n×4), and the array is 5"),
        (np.zeros((2, 4)), "got 2 samples, and one was expected"),
        (np.float32([1, np.nan, 0, 0]), "NaN or infinite"),
        (np.array(["a", "b", "c", "d"]), "numbers were expected"),
        ({"wrong": X}, "the model's inputs are features, and wrong came"),
    ],
)
def test_a_sample_that_does_not_fit(x, message):
    assert message in refused(InputError, x=x).message


def test_flags_of_a_saturated_head():
    hot = sal.wrap(classifier(scale=100))
    assert hot.attribute(X, space="probability").flags == ("saturated",)
    assert hot.attribute(X, space="log-probability").flags == ("saturated",)
    assert hot.attribute(X).flags == ()


def test_the_probability_of_a_class_that_is_out_of_the_question_is_saturated_too():
    """p(1 − p) is as small at p = 0 as at p = 1; log p is not."""
    warm = sal.wrap(classifier(scale=3))
    loser = int((X @ W).argmin())
    assert warm.attribute(X, target=loser, space="probability").flags == ("saturated",)
    assert warm.attribute(X, target=loser, space="log-probability").flags == ()


def test_flags_of_dead_units_and_of_equal_values():
    x = keras.Input((4,))
    dead = keras.Model(x, L.Dense(3)(L.Dense(5, "relu", kernel_initializer="zeros", bias_initializer="zeros")(x)))
    assert sal.wrap(dead).attribute(X, target=0).flags == ("all-zero",)
    even = keras.Model(x, L.Dense(2, kernel_initializer="ones")(x))
    assert sal.wrap(even).attribute(X, target=0).flags == ("constant",)


def test_flags_of_the_methods(model):
    flat = np.ones(4, np.float32)
    assert model.attribute(flat, method="smoothgrad", options={"draws": 2}).flags == ("no-noise",)
    options = {"baseline": "zero", "points": 2}
    flags = model.attribute(0 * flat, method="integrated-gradients", options=options).flags
    assert flags == ("baseline-is-input", "all-zero")


def test_a_map_that_is_not_finite_is_an_error():
    x = keras.Input((4,))
    root = sal.wrap(keras.Model(x, L.Dense(2, use_bias=False)(keras.ops.sqrt(x))))
    error = refused(InputError, model=root, x=np.float32([0, 1, 4, 9]), target=0)
    assert "gradient gave 1 of 4 values NaN or infinite for the input" in error.message
    assert error.reason == "non-finite-gradient"
    error = refused(InputError, model=root, x=-X, target=0)
    assert "the model's output for this input is nan" in error.message
    assert error.reason == "non-finite-output"


def test_a_subclassed_model_is_wrapped_as_it_is():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = L.Dense(3, "softmax", use_bias=False)

        def call(self, x):
            return self.dense(x)

    net = Net()
    with pytest.raises(ModelError, match="was never built"):
        sal.wrap(net)
    net(np.zeros((5, 4), np.float32))
    net.set_weights([W])
    wrapped = sal.wrap(net)
    np.testing.assert_array_equal(wrapped.attribute(X, target=2).values, W[:, 2])
    many = {"method": "smoothgrad", "options": {"draws": 20}}
    np.testing.assert_allclose(wrapped.attribute(X, target=2, **many).values, W[:, 2])
    with pytest.raises(UsageError, match="batch_size can't be 0"):
        wrapped.attribute(X, batch_size=0)


def test_devices_this_machine_lacks():
    for device in ("gpu:97", "tpu", "cpu:1", "gpu:x"):
        with pytest.raises(UsageError, match=f"there is no device '{device}'") as caught:
            sal.wrap(classifier(), device=device)
        assert "cpu" in caught.value.hint


def test_importing_costs_nothing():
    code = (
        "import sys, saliency_cli\n"
        "heavy = {'numpy', 'tensorflow', 'keras', 'PIL', 'msgspec'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_public():
    assert set(sal.__all__) == {
        *("Attribution", "SaliencyModel", "__version__", "attribute", "load", "wrap"),
        *("check", "compare", "evaluate"),
        *("hessian", "jacobian", "maximize", "parameters", "perturb"),
    }
    assert all(getattr(sal, name).__doc__ for name in sal.__all__ if name != "__version__")
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        _ = sal.lod
    assert Path(sal.__file__).with_name("py.typed").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"method": None}, "method is a name, and None came"),
        ({"target": 1.5}, "target is a text or an index, and 1.5 came"),
        ({"target": [1]}, "target is a text or an index"),
        ({"options": 3}, "options is a mapping, and 3 came"),
    ],
)
def test_arguments_of_another_kind(arguments, words):
    model = sal.load(str(SAMPLES / "linear.keras"))
    with pytest.raises(UsageError, match=words):
        model.attribute(np.ones(3, np.float32), **arguments)


def test_they_show_themselves_in_a_line():
    model = sal.load(str(SAMPLES / "linear.keras"))
    assert repr(model) == "<SaliencyModel linear: numbers → amount>"
    assert repr(model.attribute(np.ones(3, np.float32))) == (
        "<Attribution gradient of 0 (output), 3, flags: constant>"
    )


SAMPLES = Path(__file__).resolve().parents[1] / "sample_models"


def test_folding_is_asked_for_in_three_words_and_changes_no_map(tmp_path, pictures, photo):
    x = keras.Input((8, 8, 3))
    net = keras.Model(x, L.Dense(2)(L.Flatten()(L.ReLU()(L.BatchNormalization()(L.Conv2D(2, 3)(x))))))
    net.layers[2].moving_mean.assign([0.3, -0.2])
    net.save(tmp_path / "m.keras")
    loaded = sal.load(tmp_path / "m.keras")
    point = np.random.default_rng(0).normal(size=(8, 8, 3)).astype(np.float32)
    plain, folded = (loaded.attribute(point, fold=fold, batch_size=8).values for fold in ("no", "yes"))
    np.testing.assert_allclose(folded, plain, atol=1e-5 * np.abs(plain).max())
    with pytest.raises(UsageError, match="fold can't be 'maybe'"):
        pictures.attribute(photo, fold="maybe")
