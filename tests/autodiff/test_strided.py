"""The gradient of a strided convolution of few channels, done another way, is the gradient TensorFlow gives."""

import numpy as np
import pytest
from asking import ask, compiled
from tiny_models import L, keras, seeded

from saliency_cli.autodiff.runtime import tf
from saliency_cli.autodiff.strided import replaced
from saliency_cli.autodiff.walks import ancestors
from saliency_cli.differentiable import GRADIENT

PADDINGS = {"same": "SAME", "valid": "VALID", "by hand": [[0, 0], [2, 1], [1, 3], [0, 0]]}


def leading_to(tensors):
    return set.union(*(ancestors(tensor.op) for tensor in tensors))


def both(x, kernel, stride, padding):
    """Return the gradient of a random sum of a convolution's outputs by phases and by TensorFlow, and what ran."""

    @tf.function(autograph=False)
    def gradient(x, kernel, *, ours):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.nn.conv2d(2 * x, kernel, stride, padding)
            value = tf.reduce_sum(y * tf.random.stateless_normal(y.shape, (1, 2), dtype=y.dtype))
        found = [tape.gradient(value, x)]
        (found,) = replaced(found, value) if ours else found
        return found

    graph = gradient.get_concrete_function(x, kernel, ours=True).graph
    slow = "Conv2DBackpropInput" in {graph.get_operation_by_name(name).type for name in leading_to(graph.outputs)}
    return gradient(x, kernel, ours=True).numpy(), gradient(x, kernel, ours=False).numpy(), not slow


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("stride", [2, 3, 4])
@pytest.mark.parametrize("size", [(7, 7), (3, 3), (2, 5), (1, 4)])
@pytest.mark.parametrize("shape", [(13, 16, 3), (9, 11, 1)])
def test_it_is_the_gradient_of_the_convolution(shape, size, stride, padding):
    rng = np.random.default_rng(0)
    x, kernel = tf.constant(rng.normal(size=(2, *shape))), tf.constant(rng.normal(size=(*size, shape[-1], 5)))
    ours, expected, by_phases = both(x, kernel, stride, PADDINGS[padding])
    assert by_phases or padding == "by hand" or stride > min(size)
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(ours, expected, atol=1e-12)


def test_what_is_no_gain_or_another_operation_is_left_alone():
    rng = np.random.default_rng(0)
    x, many = tf.constant(rng.normal(size=(2, 12, 12, 3))), tf.constant(rng.normal(size=(2, 12, 12, 8)))
    kernel, of_many = tf.constant(rng.normal(size=(3, 3, 3, 4))), tf.constant(rng.normal(size=(3, 3, 8, 4)))
    half, small = tf.cast(x, tf.float16), tf.cast(kernel, tf.float16)
    assert both(x, kernel, 2, "SAME")[2]
    assert not both(x, kernel, 1, "SAME")[2]
    assert not both(x, kernel, [2, 1], "SAME")[2]
    assert not both(many, of_many, 2, "SAME")[2]
    assert not both(half, small, 2, "SAME")[2]


@pytest.mark.parametrize("rescaled", [False, True])
def test_a_run_asks_for_it(rescaled):
    """Behind another layer the gradient is read by an operation, else it is the result."""
    inputs = keras.Input((20, 20, 3))
    x = L.Rescaling(0.5)(inputs) if rescaled else inputs
    x = L.Conv2D(4, 5, strides=2, padding="same", activation="relu")(x)
    live = seeded(keras.Model(inputs, L.Dense(3)(L.Flatten()(x))))
    function = compiled(live)
    x = np.random.default_rng(0).normal(size=(2, 20, 20, 3)).astype(np.float32)
    found = ask(function, x, weights=np.eye(3, dtype=np.float32)[[0, 2]]).gradients[function.model.inputs[0].name]
    with tf.GradientTape() as tape:
        given = tf.constant(x)
        tape.watch(given)
        value = tf.reduce_sum(live(given) * np.eye(3, dtype=np.float32)[[0, 2]])
    expected = tape.gradient(value, given).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    graph = function.function(GRADIENT).graph
    kinds = {graph.get_operation_by_name(name).type for name in leading_to(graph.outputs)}
    assert "DepthToSpace" in kinds
    assert "Conv2DBackpropInput" not in kinds


def test_a_transposed_convolution_of_the_target_is_left_alone():
    @tf.function(autograph=False)
    def gradient(x, kernel):
        with tf.GradientTape() as tape:
            tape.watch(x)
            up = tf.nn.conv2d_transpose(x, kernel, (2, 12, 12, 3), 2)
            value = tf.reduce_sum(up * up)
        return value, *replaced([tape.gradient(value, x)], value)

    rng = np.random.default_rng(0)
    graph = gradient.get_concrete_function(rng.normal(size=(2, 6, 6, 4)), rng.normal(size=(3, 3, 3, 4))).graph
    assert "DepthToSpace" not in {operation.type for operation in graph.get_operations()}
