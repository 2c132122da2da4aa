"""A map lies over the places of the input, whichever way round the model has them."""

import numpy as np
import pytest
from tiny_models import L, drawn, keras, seeded, tf

import saliency_cli as sal

SHAPE = (6, 8, 2)
X = drawn(*SHAPE)
METHODS = [
    "grad-cam", "hirescam", "score-cam", "ablation-cam", "layer-activation", "fullgrad", "conductance",
    "layer-integrated-gradients",
]  # fmt: skip


class Mirrored(L.Layer):
    """The picture the other way round along its columns."""

    def call(self, inputs):
        return tf.reverse(inputs, [2])


WAYS = {
    "turned": (L.Permute((2, 1, 3)), lambda a: np.swapaxes(a, 0, 1)),
    "mirrored": (Mirrored(), lambda a: a[:, ::-1]),
}


def model_of(shape, before=()):
    """Convolutions with one column and row more than they need, so that nothing of them is symmetrical."""
    x = y = keras.Input(shape)
    for layer in before:
        y = layer(y)
    y = L.Conv2D(4, (2, 3), padding="same", activation="relu")(y)
    y = L.MaxPooling2D((1, 2))(y)
    y = L.Conv2D(3, (1, 2), activation="swish", name="last")(y)
    return seeded(keras.Model(x, L.Dense(3)(L.Flatten()(y))))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", METHODS)
def test_a_model_that_turns_its_input_has_the_map_turned_back(way, method):
    layer, turn = WAYS[way]
    turned = np.ascontiguousarray(turn(X))
    plain = sal.wrap(model_of(turned.shape)).attribute(turned, method=method, target=1)
    found = sal.wrap(model_of(SHAPE, [layer])).attribute(X, method=method, target=1)
    assert np.ptp(plain.values) > 0
    np.testing.assert_allclose(turn(found.values), plain.values, rtol=1e-4, atol=1e-6)
    for path, native in plain.layers.items():
        np.testing.assert_allclose(turn(found.layers[path]), native, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("way", [lambda: L.Permute((2, 1, 3)), Mirrored])
def test_turned_there_and_back_it_is_as_it_was(way):
    x = keras.Input(SHAPE)
    hidden = way()(L.Conv2D(3, 2, activation="relu")(way()(x)))
    model = seeded(keras.Model(x, L.Dense(3)(L.Flatten()(hidden))))
    path = model.layers[3].name
    found = sal.wrap(model).attribute(X, method="layer-activation", options={"layer": path}, target=1)
    np.testing.assert_allclose(found.layers[path], keras.Model(x, hidden)(X[None])[0], rtol=1e-5, atol=1e-6)


def test_channels_moved_to_the_front_leave_places_as_they_are():
    x = keras.Input(SHAPE)
    hidden = L.Permute((3, 1, 2), name="front")(L.Conv2D(3, 2, activation="relu", name="last")(x))
    model = seeded(keras.Model(x, L.Dense(3)(L.Flatten()(hidden))))
    found = sal.wrap(model).attribute(X, method="layer-activation", options={"layer": "last+front"}, target=1)
    np.testing.assert_array_equal(found.layers["last"], found.layers["front"])
