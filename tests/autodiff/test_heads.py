"""The gradient of a logit, a probability and a log-probability against a tape written by hand."""

import numpy as np
import pytest
from asking import ask, compiled, one
from tiny_models import CLASSES, HEADS, SHAPE, drawn, headed, relative, table, taped

from saliency_cli.autodiff.runtime import tf
from saliency_cli.errors import UsageError

X = drawn(2, *SHAPE)
KINDS = pytest.mark.parametrize("kind", HEADS)


@KINDS
def test_the_gradient_of_a_logit(kind):
    model, twin = headed(kind)
    function = compiled(model)
    assert function.facts.head == "softmax"
    assert function.facts.logits_found
    assert function.facts.classes == CLASSES
    for index in (0, 3):
        found = ask(function, X, weights=one(index, CLASSES))
        (gradient,) = found.gradients.values()
        assert gradient.shape == X.shape
        assert relative(gradient, taped(twin, X, lambda z: tf.reduce_sum(z[:, index]))) < 1e-6  # noqa: B023
        np.testing.assert_allclose(found.values, twin(X).numpy()[:, index], rtol=1e-5)
        np.testing.assert_allclose(found.scores, tf.nn.softmax(twin(X)).numpy(), rtol=1e-5)
        np.testing.assert_allclose(found.logits, twin(X).numpy(), rtol=1e-5, atol=1e-6)


@KINDS
def test_the_gradient_of_a_logit_is_not_that_of_the_output(kind):
    model, _ = headed(kind)
    (found,) = ask(compiled(model), X, weights=one(1, CLASSES)).gradients.values()
    assert relative(found, taped(model, X, lambda p: tf.reduce_sum(p[:, 1]))) > 0.1


@pytest.mark.parametrize("kind", ["dense softmax", "nested", "log softmax"])
def test_the_other_spaces(kind):
    model, twin = headed(kind)
    for space, of_logits in (
        ("probability", tf.nn.softmax),
        ("log-probability", tf.nn.log_softmax),
    ):
        found = ask(compiled(model, space=space), X, weights=one(2, CLASSES))
        expected = taped(twin, X, lambda z: tf.reduce_sum(of_logits(z)[:, 2]))  # noqa: B023
        assert (
            relative(
                found.gradients["picture"] if "nested" not in kind else next(iter(found.gradients.values())), expected
            )
            < 2e-6
        )
        np.testing.assert_allclose(found.values, of_logits(twin(X)).numpy()[:, 2], rtol=1e-5)


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        ("logit", lambda p: np.eye(4)[1] + 0 * p),
        ("probability", lambda p: p[:, [1]] * (np.eye(4)[1] - p)),
        ("log-probability", lambda p: np.eye(4)[1] - p),
    ],
)
def test_softmax_identities_at_the_logits(space, expected):
    """With an identity before the softmax, ∂p_c/∂z = p_c(δ − p) and ∂log p_c/∂z = δ − p."""
    from tiny_models import L, keras

    model = keras.Sequential([keras.Input((4,)), L.Softmax()])
    z = drawn(2, 4)
    p = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    (found,) = ask(compiled(model, space=space), z, weights=one(1, 4)).gradients.values()
    np.testing.assert_allclose(found, expected(p), rtol=1e-5, atol=1e-7)


def test_a_sum_of_classes_is_the_sum_of_their_gradients():
    model, twin = headed("dense softmax")
    found = ask(compiled(model), X, weights=np.float32([1, 0, -2, 0.5]))
    expected = taped(twin, X, lambda z: tf.reduce_sum(z[:, 0] - 2 * z[:, 2] + 0.5 * z[:, 3]))
    assert relative(found.gradients["picture"], expected) < 1e-6


def test_the_top_class_is_chosen_row_by_row():
    model, twin = headed("dense softmax")
    x = drawn(6, *SHAPE, seed=4)
    logits = twin(x).numpy()
    assert len(set(logits.argmax(-1))) > 1
    found = ask(compiled(model, batch=6), x)
    np.testing.assert_array_equal(found.tops, logits.argmax(-1))
    np.testing.assert_allclose(found.values, logits.max(-1), rtol=1e-5)
    expected = taped(twin, x, lambda z: tf.reduce_sum(tf.reduce_max(z, -1)))
    assert relative(found.gradients["picture"], expected) < 1e-6


def test_one_sigmoid_unit_is_two_classes():
    model, twin = table(1, "sigmoid")
    x = drawn(2, 5)
    function = compiled(model)
    assert (function.facts.head, function.facts.classes) == ("binary", 2)
    z = twin(x).numpy()[:, 0]
    for index, sign in ((0, -1), (1, 1)):
        found = ask(function, x, weights=one(index, 2))
        (gradient,) = found.gradients.values()
        assert relative(gradient, taped(twin, x, lambda z: sign * tf.reduce_sum(z))) < 1e-6  # noqa: B023
        np.testing.assert_allclose(found.values, sign * z, rtol=1e-5)
        np.testing.assert_allclose(found.scores[:, index], 1 / (1 + np.exp(-sign * z)), rtol=1e-5)
        probable = ask(compiled(model, space="probability"), x, weights=one(index, 2))
        (gradient,) = probable.gradients.values()
        assert relative(gradient, taped(model, x, lambda p: sign * tf.reduce_sum(p))) < 1e-6  # noqa: B023
    np.testing.assert_array_equal(found.tops, z > 0)


def test_a_multi_label_sigmoid():
    model, twin = table(3, "sigmoid")
    x = drawn(2, 5)
    function = compiled(model)
    assert (function.facts.head, function.facts.classes) == ("sigmoid", 3)
    found = ask(function, x, weights=one(1, 3))
    (gradient,) = found.gradients.values()
    assert relative(gradient, taped(twin, x, lambda z: tf.reduce_sum(z[:, 1]))) < 1e-6
    np.testing.assert_allclose(found.scores, model(x).numpy(), rtol=1e-5)
    (gradient,) = ask(compiled(model, space="log-probability"), x, weights=one(1, 3)).gradients.values()
    assert relative(gradient, taped(twin, x, lambda z: tf.reduce_sum(tf.math.log_sigmoid(z[:, 1])))) < 2e-6


@pytest.mark.parametrize("units", [1, 3])
def test_a_linear_head(units):
    model, _ = table(units)
    x = drawn(2, 5)
    function = compiled(model)
    assert (function.facts.head, function.facts.logits_found, function.facts.classes) == ("linear", False, units)
    found = ask(function, x, weights=one(units - 1, units))
    (gradient,) = found.gradients.values()
    assert relative(gradient, taped(model, x, lambda y: tf.reduce_sum(y[:, units - 1]))) < 1e-6
    np.testing.assert_allclose(found.values, model(x).numpy()[:, units - 1], rtol=1e-5)
    assert (found.tops == -1).all() == (units == 1)


def test_a_space_the_head_does_not_have_is_refused():
    with pytest.raises(UsageError, match="--space probability needs a softmax or sigmoid") as caught:
        _ = compiled(table(3)[0], space="probability").facts
    assert "its last operation is linear" in caught.value.message
    assert caught.value.reason == "no-logits"
    assert "leave --space away" in caught.value.hint


@pytest.mark.parametrize(
    "end",
    ["softmax over positions", "softmax over two axes", "regrouped", "by hand", "hard sigmoid", "after the head"],
)
def test_what_is_no_head_is_taken_as_it_is(end):
    from tiny_models import L, keras

    x = keras.Input((3, 4))
    y = {
        "softmax over positions": lambda: L.Softmax(axis=1)(x),
        "softmax over two axes": lambda: L.Softmax(axis=(1, 2))(x),
        "regrouped": lambda: L.Reshape((4, 3))(L.Softmax()(x)),
        "by hand": lambda: keras.ops.exp(x) / keras.ops.sum(keras.ops.exp(x), -1, keepdims=True),
        "hard sigmoid": lambda: L.Activation("hard_sigmoid")(x),
        "after the head": lambda: L.Softmax()(x) * 2.0,
    }[end]()
    model = keras.Model(x, y)
    function = compiled(model)
    assert not function.facts.logits_found
    values = drawn(2, 3, 4)
    found = ask(function, values, weights=one(2, function.facts.classes))
    (gradient,) = found.gradients.values()
    expected = taped(model, values, lambda y: tf.reduce_sum(tf.reduce_mean(y[:, :, 2], axis=1)))
    assert relative(gradient, expected) < 1e-6


def test_a_saturated_head_hides_the_gradient_of_the_probability_only():
    model, twin = headed("dense softmax")
    from tiny_models import keras

    hot = keras.models.clone_model(model)
    *others, kernel, bias = model.get_weights()
    hot.set_weights([*others, 2000 * kernel, 2000 * bias])
    (probable,) = ask(compiled(hot, space="probability"), X).gradients.values()
    (logit,) = ask(compiled(hot), X).gradients.values()
    assert abs(probable).max() < 1e-20
    expected = 2000 * taped(twin, X, lambda z: tf.reduce_sum(tf.reduce_max(z, -1)))
    assert relative(logit, expected) < 1e-5
