"""What a graph takes of memory is predicted, and refused before it is asked for where there is not as much."""

import numpy as np
import pytest
from asking import ask, compiled
from tiny_models import L, any_size, drawn, keras, seeded

from saliency_cli.autodiff import memory
from saliency_cli.autodiff.liveness import peak
from saliency_cli.autodiff.runtime import tf
from saliency_cli.errors import ModelError
from saliency_cli.models.keras3.live import wrap
from saliency_cli.runs.engine import batch_shape

MB = 2**20


def graph_of(function):
    """The graph of a function of one array of a mebibyte."""
    return tf.function(function).get_concrete_function(tf.TensorSpec((MB // 4,), tf.float32)).graph


def diamond(x):
    a = tf.cumsum(x)
    b = tf.cumsum(a)
    return tf.cumsum(tf.cumsum(b)) + a


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: tf.nn.relu(tf.nn.relu(x)), 1),  # in place
        (lambda x: tf.reshape(tf.reshape(x, (2, -1)), (-1,)), 1),  # one array in other shapes
        (lambda x: tf.cumsum(tf.cumsum(tf.cumsum(x))), 2),  # one read, one written
        (diamond, 3),  # one kept for later beside these
        (lambda x: (tf.cumsum(x), tf.cumsum(x), tf.cumsum(x)), 4),
        (lambda x: tf.reduce_sum(tf.cumsum(x)), 2),
    ],
)
def test_what_is_held_at_once(function, expected):
    assert peak(graph_of(function)) == pytest.approx(expected * MB, abs=16)


def test_what_leads_nowhere_and_what_is_no_float_takes_nothing():
    def idle(x):
        tf.stack([tf.cumsum(x)] * 50)
        return x + tf.cast(tf.reduce_sum(tf.cast(x, tf.int64)), tf.float32)

    assert peak(graph_of(idle)) < 2 * MB


@pytest.fixture
def little(monkeypatch):
    """A machine that has a megabyte left, and cares about it."""
    monkeypatch.setattr(memory, "_LITTLE", 0)
    monkeypatch.setattr(memory, "available", lambda: 10**6)


def convolved(**options):
    x = keras.Input((64, 64, 3), **options)
    return seeded(keras.Model(x, L.Dense(2)(L.GlobalAveragePooling2D()(L.Conv2D(32, 3, activation="relu")(x)))))


@pytest.mark.parametrize(
    ("batch", "options", "hint"),
    [(8, {}, "--batch-size 1"), (1, {}, "a smaller input"), (8, {"batch_size": 8}, "a smaller")],
)
def test_too_large_a_batch_is_refused_before_it_is_asked_for(little, batch, options, hint):
    with pytest.raises(ModelError, match="GB of memory here, and 0 GB are free") as caught:
        _ = compiled(convolved(**options), batch=batch).facts
    assert caught.value.reason == "memory"
    assert caught.value.exit_code == 4
    assert caught.value.hint.startswith(hint)
    assert ("a batch of 8" if batch == 8 else "one sample") in caught.value.message


def test_what_fits_is_not_refused(monkeypatch):
    monkeypatch.setattr(memory, "_LITTLE", 0)
    monkeypatch.setattr(memory, "available", lambda: 10**9)
    assert compiled(convolved(), batch=8).facts.classes == 2
    monkeypatch.setattr(memory, "available", lambda: None)  # a system that doesn't tell
    assert compiled(convolved(), batch=8).facts.classes == 2


def test_open_sizes_are_not_judged(little):
    assert compiled(any_size()).facts.classes == 4


def test_running_out_is_told(monkeypatch):
    function = compiled(convolved(), batch=2)
    _ = function.facts

    def exhausted(*_):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setattr(function, "function", lambda _: exhausted)
    with pytest.raises(ModelError, match="a batch of 2 is more than the memory holds") as caught:
        ask(function, drawn(2, 64, 64, 3))
    assert caught.value.hint == "--batch-size 1"


def test_what_is_left_of_the_machine():
    left = memory.available()
    assert left is None or 10**6 < left < 10**14


@pytest.mark.parametrize(("shape", "expected"), [((256, 256, 256, 1), 1), ((512, 512, 3), 8), ((32, 32, 3), 16)])
def test_huge_inputs_go_one_by_one(shape, expected):
    x = keras.Input(shape)
    model = wrap(keras.Model(x, L.Dense(2)(x)))
    assert batch_shape(model, None, single=False) == expected
    assert batch_shape(model, 4, single=False) == 4


def test_the_mean_over_many_places_is_exact():
    """Added up in a row in float32 it would be off by 3e-4."""
    x = keras.Input((96, 96, 96, 2))
    values = 0.5 + 0.2 * np.random.default_rng(0).random((1, 96, 96, 96, 2), np.float32)
    found = ask(compiled(keras.Model(x, L.Activation("linear")(x)), batch=1), values, weights=np.float32([1, 0]))
    np.testing.assert_allclose(found.values, values[..., 0].mean(dtype=np.float64), rtol=2e-6)
    np.testing.assert_allclose(next(iter(found.gradients.values()))[..., 0], 96**-3, rtol=1e-5)
