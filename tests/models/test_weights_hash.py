"""The hash of a model's weights: the same for every copy of the same weights, another after any change."""

import numpy as np
import pytest
from saved_models import L, keras, tiny

from saliency_cli.models.keras3.live import weights_hash, wrap
from saliency_cli.models.keras3.loading import load


def test_stable_over_saving_and_loading(saved, tmp_path):
    expected = weights_hash(tiny())
    again = keras.saving.load_model(saved / "tiny.keras")
    again.save(tmp_path / "again.keras")
    paths = [saved / name for name in ("tiny.keras", "tiny.h5", "compiled.keras")]
    assert {load(path).weights_sha256 for path in (*paths, tmp_path / "again.keras")} == {expected}
    assert wrap(tiny()).weights_sha256 == expected
    assert weights_hash(tiny(name="another")) == expected


def test_the_seeds_of_random_layers_are_no_weights(tmp_path):
    """Keras draws them anew at every load."""
    x = keras.Input((4,))
    keras.Model(x, L.Dense(2)(L.Dropout(0.5)(x))).save(tmp_path / "dropout.keras")
    assert len({load(tmp_path / "dropout.keras").weights_sha256 for _ in range(3)}) == 1


@pytest.mark.parametrize("which", range(4))
def test_different_after_any_change(which):
    model = tiny()
    weights = model.get_weights()
    weights[which].flat[-1] = np.nextafter(weights[which].flat[-1], np.float32(9))
    model.set_weights(weights)
    assert weights_hash(model) != weights_hash(tiny())


def test_state_that_is_not_trained_counts():
    x = keras.Input((4,))
    model = keras.Model(x, L.BatchNormalization()(x))
    before = weights_hash(model)
    gamma, beta, mean, variance = model.get_weights()
    model.set_weights([gamma, beta, mean + 1, variance])
    assert weights_hash(model) != before


def test_the_type_counts():
    def one(dtype):
        model = keras.Sequential([keras.Input((2,)), L.Dense(1, dtype=dtype)])
        model.set_weights([np.zeros((2, 1)), np.zeros(1)])
        return weights_hash(model)

    assert len({one(dtype) for dtype in ("float32", "float64", "float16")}) == 3


def test_the_shape_counts():
    def zeros(features, units):
        model = keras.Sequential([keras.Input((features,)), L.Dense(units, use_bias=False)])
        model.set_weights([np.zeros((features, units))])
        return weights_hash(model)

    assert zeros(2, 3) != zeros(3, 2)
