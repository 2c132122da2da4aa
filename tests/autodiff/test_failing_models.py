"""Models that fail when they are called: the model's fault, or that of one input and of no other."""

import numpy as np
import pytest
from asking import compiled
from tiny_models import L, drawn, keras, seeded, tf

import saliency_cli as sal
from saliency_cli.autodiff.packing import Job, Packer, Query
from saliency_cli.differentiable import Ask, Sample
from saliency_cli.errors import InputError, ModelError


class OpenOnly(L.Layer):
    """Refuses a batch whose size is known."""

    def call(self, inputs):
        if inputs.shape[0] is not None:
            raise RuntimeError("no size, please")
        return inputs


class Below(L.Layer):
    """Refuses values from 10 on, in the graph."""

    def call(self, inputs):
        tf.debugging.assert_less(tf.reduce_max(inputs), 10.0)
        return inputs


def test_a_layer_that_raises_is_the_model_s_fault():
    x = keras.Input((3,))
    with pytest.raises(
        ModelError, match=r"batch of 2: in the layer OpenOnly: RuntimeError: no size, please$"
    ) as caught:
        _ = compiled(keras.Model(x, L.Dense(2)(OpenOnly()(x)))).facts
    assert caught.value.reason == "failing-model"
    assert caught.value.exit_code == 4
    assert "--batch-size 1" in caught.value.hint


@pytest.mark.parametrize("method", ["gradient", "integrated-gradients", "occlusion"])
def test_a_word_beyond_the_vocabulary_is_the_input_s_fault(method):
    words, x = keras.Input((4,), dtype="int32", name="words"), keras.Input((3,), name="x")
    y = L.Concatenate()([L.Flatten()(L.Embedding(5, 3)(words)), x])
    model = sal.wrap(seeded(keras.Model({"words": words, "x": x}, L.Dense(2)(y))))
    given = {"words": np.array([1, 2, 3, 9]), "x": np.ones(3, np.float32)}
    with pytest.raises(InputError, match=r"indices\[0,3\] = 9 is not in \[0, 5\)") as caught:
        model.attribute(given, method=method)
    assert caught.value.reason == "refused-by-model"
    assert model.attribute(given | {"words": np.array([1, 2, 3, 4])}, method=method).values.shape == (3,)


def test_companions_of_a_refused_input_are_answered():
    x = keras.Input((3,), name="x")
    model = seeded(keras.Model(x, L.Dense(2, "tanh")(Below()(x))))
    function = compiled(model, batch=8)
    rows = drawn(5, 3)
    rows[2] = 20

    def job(i):
        sample = Sample({"x": rows[i]}, ("x",), lambda _: {})

        def run():
            reply = yield Query(Ask(3, lambda _, out: sample.write(out), np.ones(3)), np.float32([1, 0]))
            return reply.answer.gradients["x"]

        return Job(i, sample, run())

    outcomes = {found.key: found for found in Packer(function, classes=2).run([job(i) for i in range(5)])}
    assert sorted(outcomes) == [0, 1, 2, 3, 4]
    assert "assertion failed" in outcomes[2].error.message
    for i in (0, 1, 3, 4):
        alone = next(Packer(function, classes=2).run([job(i)]))
        np.testing.assert_array_equal(outcomes[i].result, alone.result)


@pytest.mark.parametrize("method", ["gradient", "smoothgrad", "integrated-gradients", "occlusion", "deeplift"])
def test_an_input_of_a_single_number(method):
    x = keras.Input((), name="x")
    model = seeded(keras.Model(x, L.Dense(2)(L.Reshape((1,))(x))))
    slope = float(model.get_weights()[0][0, 1])
    found = sal.wrap(model).attribute(np.float32(2), method=method, target=1)
    assert found.values.shape == ()
    np.testing.assert_allclose(
        found.values, slope if "grad" in method[:6] or method == "smoothgrad" else 2 * slope, rtol=1e-4
    )
