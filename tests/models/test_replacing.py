"""`--replace` in files of Keras 3: a stock layer where a Lambda stands, no code run and no trust needed."""

import json
import zipfile

import h5py
import numpy as np
import pytest

from saliency_cli.autodiff.compiled import Compiled
from saliency_cli.autodiff.runtime import keras
from saliency_cli.errors import ModelError, UsageError
from saliency_cli.models.opening import open_model
from saliency_cli.models.options import OpenOptions

L = keras.layers
SCALE = "scale=Rescaling:scale=0.5,offset=-1"


def scaled(scale):
    """A model whose first layer, called `scale`, is the one given."""
    x = keras.Input((4,), name="features")
    return keras.Model(x, L.Dense(3, "softmax", name="classes")(scale(x)), name="scaled")


def within(scale):
    """The same inside a model, which is inside a wrapper's model."""
    inner = keras.Sequential([keras.Input((5, 4)), scale, L.Dense(2)], name="inner")
    x = keras.Input((5, 4), name="steps")
    return keras.Model(x, L.Dense(3)(L.Flatten()(inner(x))), name="within")


def joined(join):
    """A layer called `scale` that takes two tensors."""
    x = keras.Input((4,), name="features")
    return keras.Model(x, L.Dense(3)(join([L.Dense(2, name="a")(x), L.Dense(2, name="b")(x)])), name="joined")


BUILDERS = {
    "scaled": (scaled, lambda x: 0.5 * x - 1, SCALE, lambda: L.Rescaling(0.5, -1.0)),
    "within": (within, lambda x: 0.5 * x - 1, SCALE, lambda: L.Rescaling(0.5, -1.0)),
    "joined": (joined, lambda both: both[0] + both[1], "scale=Add", L.Add),
}


def saved(folder, name, suffix):
    """A model with a Lambda as a file, and its twin of stock layers."""
    build, function, _, stock = BUILDERS[name]
    model, twin = build(L.Lambda(function, name="scale")), build(stock())
    rng = np.random.default_rng(1)
    model.set_weights([rng.normal(size=w.shape).astype(np.float32) for w in model.get_weights()])
    twin.set_weights(model.get_weights())
    model.compile(loss="mse")
    model.save(folder / f"{name}.{suffix}")
    return folder / f"{name}.{suffix}", twin


def value(model, x):
    return Compiled(model, model.outputs[0].name, batch=len(x)).predict({model.inputs[0].name: x})


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("name", BUILDERS)
def test_a_replaced_lambda_computes_what_its_twin_does(tmp_path, name, suffix):
    path, twin = saved(tmp_path, name, suffix)
    before = path.read_bytes()
    with pytest.raises(ModelError) as caught:
        open_model(path, OpenOptions())
    assert caught.value.reason == "refused-code"
    opened = open_model(path, OpenOptions(replace=(BUILDERS[name][2],)))
    x = np.random.default_rng(0).normal(size=(2, *opened.inputs[0].shape)).astype(np.float32)
    traced = opened.forward({opened.inputs[0].name: x})
    np.testing.assert_allclose(next(iter(traced.outputs.values())), twin(x), rtol=1e-6)
    assert opened.losses
    assert opened.sha256 == __import__("hashlib").sha256(before).hexdigest()
    assert path.read_bytes() == before


def test_a_clue_is_read_off_the_replacement(tmp_path):
    path, _ = saved(tmp_path, "scaled", "keras")
    (clue,) = open_model(path, OpenOptions(replace=(SCALE,))).clues["features"]
    assert (clue.kind, clue.scale, clue.offset) == ("rescaling", 0.5, -1.0)


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_another_shape_is_told(tmp_path, suffix):
    path, _ = saved(tmp_path, "scaled", suffix)
    text = "scale=Reshape:target_shape=[2,2]"
    with pytest.raises(ModelError) as caught:
        open_model(path, OpenOptions(replace=(text,)))
    assert caught.value.hint == f"does {text} give an output of the shape that the Lambda gave?"


@pytest.mark.parametrize(
    ("text", "words", "hint"),
    [
        ("scal=Flatten", "no layer 'scal'", "did you mean 'scale'?"),
        ("classes=Flatten", "'classes' is a Dense, and only a Lambda can be replaced", "its Lambda layers: scale"),
    ],
)
def test_only_a_lambda_that_is_there_can_be_replaced(tmp_path, text, words, hint):
    path, _ = saved(tmp_path, "scaled", "keras")
    with pytest.raises(UsageError, match=words) as caught:
        open_model(path, OpenOptions(replace=(SCALE, text)))
    assert caught.value.hint == hint


def test_a_model_without_a_lambda_says_so(tmp_path):
    scaled(L.Rescaling(2.0, name="scale")).save(tmp_path / "m.keras")
    with pytest.raises(UsageError) as caught:
        open_model(tmp_path / "m.keras", OpenOptions(replace=("x=Flatten",)))
    assert caught.value.hint == "it has no Lambda layer"


# --- stock layers saved without their module ----------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_layers_that_live_beside_an_architecture_are_found(tmp_path, suffix):
    from keras.src.applications.convnext import LayerScale
    from keras.src.applications.inception_resnet_v2 import CustomScaleLayer

    x = keras.Input((3,), name="x")
    y = LayerScale(0.5, 3, name="gamma")(L.Dense(3)(x))
    model = keras.Model(x, L.Dense(2)(CustomScaleLayer(0.3, name="mixed")([y, x])))
    model.save(tmp_path / f"m.{suffix}")
    opened = open_model(tmp_path / f"m.{suffix}", OpenOptions())
    assert {"LayerScale", "CustomScaleLayer"} <= {layer.kind for layer in opened.layers}
    rows = np.ones((1, 3), np.float32)
    found = opened.forward({"x": rows}).outputs
    np.testing.assert_allclose(next(iter(found.values())), model(rows), rtol=1e-6)


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_they_are_found_in_files_of_keras_2_too(tmp_path, suffix):
    import legacy_corpus
    from tf_keras.src.applications.convnext import LayerScale

    live = legacy_corpus.seeded(legacy_corpus.functional(LayerScale(0.5, 3, name="gamma"), shape=(3,)))
    path = legacy_corpus.save(live, tmp_path / f"m.{suffix}")
    legacy_corpus.assert_agrees(open_model(path, OpenOptions()), live)


def test_the_copy_holds_what_the_file_holds(tmp_path):
    from saliency_cli.models.keras3.file import read_config, readable

    for suffix in ("keras", "h5"):
        path, _ = saved(tmp_path, "scaled", suffix)
        kind = {"keras": "keras-zip", "h5": "keras-hdf5"}[suffix]
        with readable(path, kind, {"class_name": "Other"}) as copy:
            assert read_config(copy, kind) == {"class_name": "Other"}
            if suffix == "h5":
                with h5py.File(path) as old, h5py.File(copy) as new:
                    assert set(old["model_weights"]) == set(new["model_weights"])
            else:
                with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy) as new:
                    assert old.namelist() == new.namelist()
                    assert old.read("model.weights.h5") == new.read("model.weights.h5")
                    assert json.loads(new.read("metadata.json")) == json.loads(old.read("metadata.json"))
