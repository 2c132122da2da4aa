"""Loading a model leaves Keras's settings, the search path and the memory as they were."""

import importlib
import random
import sys

import numpy as np
import pytest

from saliency_cli.autodiff.runtime import keras, tf
from saliency_cli.errors import ModelError
from saliency_cli.models.settings_guard import guarded

CHANGES = {
    "floatx": lambda: keras.config.set_floatx("float16"),
    "epsilon": lambda: keras.config.set_epsilon(0.5),
    "image data format": lambda: keras.config.set_image_data_format("channels_first"),
    "dtype policy": lambda: keras.config.set_dtype_policy("mixed_float16"),
    "random seed": lambda: keras.utils.set_random_seed(7),
    "safe mode": keras.config.enable_unsafe_deserialization,
    "interactive logging": lambda: (
        keras.config.disable_interactive_logging()
        if keras.config.is_interactive_logging_enabled()
        else keras.config.enable_interactive_logging()
    ),
    "eager functions": lambda: tf.config.run_functions_eagerly(True),
}


def settings():
    return (
        keras.config.floatx(),
        keras.config.epsilon(),
        keras.config.image_data_format(),
        keras.config.dtype_policy().name,
        keras.utils.get_random_seed() if hasattr(keras.utils, "get_random_seed") else None,
        keras.config.is_interactive_logging_enabled(),
        tf.config.functions_run_eagerly(),
    )


def load(change, **options):
    with guarded("model.keras", **options):
        change()


def fail():
    keras.config.set_floatx("float16")
    raise ZeroDivisionError


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_setting_is_put_back_and_told(name):
    before = settings()
    with pytest.raises(ModelError) as caught:
        load(CHANGES[name])
    assert caught.value.reason == "refused-settings"
    assert name in caught.value.message
    assert settings() == before
    load(lambda: None)


def test_settings_are_put_back_after_a_load_that_failed():
    before = settings()
    with pytest.raises(ZeroDivisionError):
        load(fail)
    assert settings() == before


def test_random_generators_are_left_as_they_were():
    state, drawn = random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    with guarded("model.keras"):
        random.random()
        np.random.rand(3)  # noqa: NPY002
    assert random.getstate() == state
    assert (np.random.get_state()[1] == drawn).all()  # noqa: NPY002


@pytest.mark.parametrize("entry", ["", ".", "here"])
def test_the_current_folder_can_not_be_imported_meanwhile(entry, tmp_path, monkeypatch):
    (tmp_path / "beside_the_model.py").write_text("raise RuntimeError('it ran')")
    monkeypatch.chdir(tmp_path)
    kept = [str(tmp_path) if entry == "here" else entry, *sys.path]
    monkeypatch.setattr(sys, "path", list(kept))
    with guarded("model.keras"), pytest.raises(ModuleNotFoundError):
        importlib.import_module("beside_the_model")
    assert sys.path == kept


def test_more_weights_than_the_file_holds_are_refused_before_they_are_allocated():
    with pytest.raises(ModelError) as caught:
        load(lambda: keras.Sequential([keras.Input((100_000,)), keras.layers.Dense(100_000)]), numbers=1_000)
    assert caught.value.reason == "refused-size"
    assert "__init__" not in vars(keras.Variable) or keras.Variable.__init__.__name__ == "__init__"
    assert keras.Sequential([keras.Input((100,)), keras.layers.Dense(1_000)]).count_params() == 101_000


def test_a_load_as_large_as_its_file_passes(saved):
    from saliency_cli.models.screening.parent import screen

    found = screen(saved / "tiny.keras", trust=False)
    with guarded(saved / "tiny.keras", found.numbers):
        model = keras.saving.load_model(saved / "tiny.keras", compile=False)
    assert model.count_params() <= found.numbers


@pytest.mark.filterwarnings("ignore")
def test_older_keras_is_guarded_too():
    older = pytest.importorskip("tf_keras")
    from tf_keras.src.saving import serialization_lib as reader

    floatx = older.backend.floatx()
    with pytest.raises(ModelError, match="floatx"):
        load(lambda: older.backend.set_floatx("float16"))
    assert older.backend.floatx() == floatx
    with pytest.raises(ModelError) as caught:
        load(lambda: older.Sequential([older.layers.Input((100_000,)), older.layers.Dense(100_000)]), numbers=10)
    assert caught.value.reason == "refused-size"
    function = {"module": "shutil", "class_name": "function", "config": "rmtree", "registered_name": "rmtree"}
    with guarded("model.h5"), pytest.raises(TypeError, match="cannot be imported"):
        reader.deserialize_keras_object(function)
    assert reader.importlib.__name__ == "importlib"
