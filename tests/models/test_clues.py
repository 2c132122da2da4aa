"""What a model's own layers tell of the values it expects."""

import numpy as np
import pytest
from saved_models import L, keras

from saliency_cli.models.keras3.live import wrap


def clues_of(model, name=None):
    found = wrap(model).clues
    return found[name] if name else next(iter(found.values()))


def through(*layers):
    """A functional model of pictures through layers or functions, and a dense end."""
    x = y = keras.Input((8, 8, 3), name="picture")
    for layer in layers:
        y = layer(y)
    return keras.Model(x, L.Dense(2)(L.Flatten()(y)))


def nested(*layers):
    return keras.Sequential([keras.Input((8, 8, 3)), through(*layers)])


@pytest.mark.parametrize(
    ("build", "scale", "offset"),
    [
        (lambda: through(L.Rescaling(1 / 255)), 1 / 255, 0),
        (lambda: through(L.Rescaling(1 / 127.5, -1)), 1 / 127.5, -1),
        (lambda: through(L.RandomFlip(), L.ZeroPadding2D(), L.Rescaling(2.0)), 2, 0),
        (lambda: nested(L.Rescaling(1 / 255)), 1 / 255, 0),
        (lambda: through(lambda x: x / 127.5, lambda x: x - 1.0), 1 / 127.5, -1),
        (lambda: through(lambda x: x - 127.5, lambda x: x / 127.5), 1 / 127.5, -1),
        (lambda: through(lambda x: x * 2.0, lambda x: x + 3.0), 2, 3),
        (lambda: keras.Sequential([keras.Input((8, 8, 3)), L.Rescaling(0.5), L.Flatten()]), 0.5, 0),
    ],
)
def test_scaling_at_the_front_is_read_off(build, scale, offset):
    (clue,) = clues_of(build())
    assert clue.kind == "rescaling"
    assert (clue.scale, clue.offset) == (pytest.approx(scale), pytest.approx(offset))
    assert clue.path


def test_normalization_is_read_off():
    layer = L.Normalization(mean=[100.0, 120, 140], variance=[50.0**2] * 3)
    (clue,) = clues_of(through(layer))
    assert clue.kind == "normalization"
    assert clue.scale == pytest.approx(1 / 50)
    assert clue.offset == pytest.approx(-120 / 50)


def test_adapted_normalization_is_read_off():
    layer = L.Normalization()
    layer.adapt(np.float32([[0], [4], [8]]).reshape(3, 1, 1, 1) * np.ones((1, 8, 8, 3), np.float32))
    (clue,) = clues_of(through(layer))
    assert clue.kind == "normalization"
    assert clue.scale == pytest.approx(1 / np.sqrt(32 / 3), rel=1e-4)


@pytest.mark.parametrize(
    "build",
    [
        lambda: through(),
        lambda: through(L.Conv2D(2, 1), L.Rescaling(1 / 255)),
        lambda: through(L.Dense(3), lambda x: x / 255.0),
        lambda: through(lambda x: L.Concatenate()([x / 255.0, x])),
        lambda: through(lambda x: 1.0 / (x + 1.0)) and through(lambda x: keras.ops.exp(x)),
    ],
)
def test_what_tells_nothing(build):
    assert clues_of(build()) == ()


def test_every_input_has_its_own():
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    ids = keras.Input((4,), dtype="int32", name="ids")
    joined = L.Concatenate()([L.Rescaling(0.5)(a), L.Rescaling(0.25, 1)(b), L.Flatten()(L.Embedding(4, 1)(ids))])
    found = wrap(keras.Model([a, b, ids], L.Dense(1)(joined))).clues
    assert {name: (clue.scale, clue.offset) for name, (clue,) in found.items()} == {"a": (0.5, 0), "b": (0.25, 1)}


def test_a_name_of_keras_applications(monkeypatch):
    model = keras.applications.MobileNetV2(weights=None, alpha=0.35, input_shape=(96, 96, 3), classes=3)
    (clue,) = clues_of(model)
    assert (clue.kind, clue.path) == ("application", "")
    assert clue.name.startswith("mobilenet")
    around = keras.Input((96, 96, 3))
    rescaled, named = clues_of(keras.Model(around, model(L.Rescaling(1 / 127.5, -1)(around))))
    assert (rescaled.kind, named.kind, named.path) == ("rescaling", "application", model.name)
