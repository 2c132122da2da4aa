"""Clipping: closed forms, TensorFlow's own functions, and maps clipped by the command's one request."""

import numpy as np
import pytest

import saliency_cli as sal
from saliency_cli.clipping import Clip, clip_of, norm, together
from saliency_cli.errors import InputError, UsageError

ARRAYS = {"a": np.float32([[3, 0], [0, 4]]), "b": np.float32([12])}


def drawn(seed):
    rng = np.random.default_rng(seed)
    return {"a": rng.normal(size=(4, 3)).astype(np.float32), "b": rng.normal(size=5).astype(np.float32)}


def test_by_norm_each_array_on_its_own():
    found = Clip("norm", 6.0).apply(ARRAYS)
    np.testing.assert_array_equal(found.arrays["a"], ARRAYS["a"])
    np.testing.assert_allclose(found.arrays["b"], [6])
    assert (found.before, found.after) == ({"a": 5.0, "b": 12.0}, {"a": 5.0, "b": 6.0})


def test_by_value():
    found = Clip("value", 3.5).apply({"a": np.float32([-4, -1, 2, 9])})
    np.testing.assert_array_equal(found.arrays["a"], [-3.5, -1, 2, 3.5])


def test_by_global_norm_all_arrays_together():
    found = Clip("global-norm", 6.5).apply(ARRAYS)
    assert together(found.before) == 13
    assert together(found.after) == pytest.approx(6.5)
    for name, array in ARRAYS.items():
        np.testing.assert_allclose(found.arrays[name], array / 2)


@pytest.mark.parametrize("kind", ["norm", "value", "global-norm"])
def test_what_is_within_the_limit_stays_to_the_bit(kind):
    arrays = drawn(0)
    for name, array in Clip(kind, 1e3).apply(arrays).arrays.items():
        assert array.tobytes() == arrays[name].tobytes()
        assert array.dtype == np.float32


@pytest.mark.parametrize("kind", ["norm", "value", "global-norm"])
def test_zeros_stay_zeros(kind):
    found = Clip(kind, 1.0).apply({"a": np.zeros(3, np.float32)})
    assert not found.arrays["a"].any()
    assert found.after == {"a": 0.0}


@pytest.mark.parametrize("limit", [0.05, 0.9, 2.0, 40.0])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_what_tensorflow_does(limit, seed):
    from saliency_cli.autodiff.runtime import tf

    arrays = drawn(seed)
    tensors = [tf.constant(array) for array in arrays.values()]
    expected = {
        "norm": [tf.clip_by_norm(t, limit) for t in tensors],
        "value": [tf.clip_by_value(t, -limit, limit) for t in tensors],
        "global-norm": tf.clip_by_global_norm(tensors, limit)[0],
    }
    for kind, whole in expected.items():
        found = Clip(kind, limit).apply(arrays)
        for array, tensor in zip(found.arrays.values(), whole, strict=True):
            np.testing.assert_allclose(array, tensor.numpy(), rtol=1e-6, atol=1e-9)
    assert together({name: norm(array) for name, array in arrays.items()}) == pytest.approx(
        float(tf.linalg.global_norm(tensors)), rel=1e-6
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((1.0, 2.0, None), "--clip-norm and --clip-value exclude each other"),
        ((1.0, None, 2.0), "--clip-norm and --clip-global-norm exclude each other"),
        ((0.0, None, None), "--clip-norm is 0; it is a number above 0"),
        ((None, -1.0, None), "--clip-value is -1"),
        ((None, None, float("nan")), "--clip-global-norm is nan"),
        ((None, None, float("inf")), "--clip-global-norm is inf"),
    ],
)
def test_what_makes_no_sense(given, words):
    with pytest.raises(UsageError, match=words):
        clip_of(*given)


def test_one_way_or_none():
    assert clip_of(None, None, None) is None
    assert clip_of(None, 2.0, None) == Clip("value", 2.0)


@pytest.fixture(scope="module")
def pair():
    """z = 3·a₀ + 4·a₁ + 12·b: gradients of lengths 5 and 12, 13 together."""
    from saliency_cli.autodiff.runtime import keras

    a, b = keras.Input((2,), name="a"), keras.Input((1,), name="b")
    model = keras.Model([a, b], keras.layers.Dense(1, use_bias=False)(keras.layers.Concatenate()([a, b])))
    model.set_weights([np.float32([[3], [4], [12]])])
    return sal.wrap(model)


@pytest.mark.parametrize(
    ("arguments", "a", "b", "after"),
    [
        ({"clip_norm": 6}, [3, 4], [6], np.sqrt(25 + 36)),
        ({"clip_norm": 1}, [0.6, 0.8], [1], np.sqrt(2)),
        ({"clip_value": 3.5}, [3, 3.5], [3.5], np.sqrt(9 + 2 * 3.5**2)),
        ({"clip_global_norm": 6.5}, [1.5, 2], [6], 6.5),
    ],
)
@pytest.mark.parametrize("method", ["gradient", "smoothgrad"])
def test_maps_of_two_inputs(pair, arguments, a, b, after, method):
    found = pair.attribute({"a": np.ones(2), "b": np.ones(1)}, method=method, target=0, **arguments)
    np.testing.assert_allclose(found.inputs["a"], a, rtol=1e-6)
    np.testing.assert_allclose(found.inputs["b"], b, rtol=1e-6)
    details = found.record.details
    assert details["norm_before"] == pytest.approx(13)
    assert details["norm_after"] == pytest.approx(after)
    assert (details["norm_before.a"], details["norm_before.b"]) == pytest.approx((5, 12))
    assert np.hypot(details["norm_after.a"], details["norm_after.b"]) == pytest.approx(after)
    assert found.record.inputs["b"].l2 == pytest.approx(b[0])


def test_without_clipping_nothing_is_said_of_it(pair):
    assert not any("norm" in key for key in pair.attribute({"a": np.ones(2), "b": np.ones(1)}).record.details)


def test_python_refuses_two_ways_at_once(pair):
    with pytest.raises(UsageError, match="exclude each other"):
        pair.attribute({"a": np.ones(2), "b": np.ones(1)}, clip_norm=1, clip_value=1)


def test_a_map_that_is_not_finite_is_told_before_it_is_clipped():
    """Divided by its norm all of it would be NaN."""
    from saliency_cli.autodiff.runtime import keras

    x = keras.Input((4,))
    root = sal.wrap(keras.Model(x, keras.layers.Dense(2, use_bias=False)(keras.ops.sqrt(x))))
    with pytest.raises(InputError, match="gave 1 of 4 values NaN or infinite"):
        root.attribute(np.float32([0, 1, 4, 9]), target=0, clip_norm=1)
