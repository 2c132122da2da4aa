"""The caller's model is left as it was: configuration, weights, policies, and no patched `call`."""

import json

import numpy as np
import pytest
from asking import ask, compiled, one
from tiny_models import HEADS, L, Subclassed, drawn, headed, keras, seeded

from saliency_cli.errors import ModelError
from saliency_cli.models.keras3.live import wrap
from saliency_cli.models.keras3.taps import layer_paths


def state_of(model):
    layers = {"": model, **layer_paths(model)}
    return {
        "config": json.dumps(model.get_config(), default=str, sort_keys=True)
        if not isinstance(model, Subclassed)
        else "",
        "weights": [w.tobytes() for w in model.get_weights()],
        "policies": {path: layer.dtype_policy.name for path, layer in layers.items()},
        "patched": [path for path, layer in layers.items() if "call" in vars(layer)],
        "nodes": {path: len(layer._inbound_nodes) for path, layer in layers.items()},
        "trainable": {path: layer.trainable for path, layer in layers.items()},
        "built": {path: layer.built for path, layer in layers.items()},
        "compiled": model.compiled,
    }


@pytest.mark.parametrize("kind", HEADS)
def test_nothing_of_the_model_is_changed(kind):
    model, _ = headed(kind)
    before = state_of(model)
    assert before["patched"] == []
    x = drawn(2, 6, 6, 2)
    predicted = model(x).numpy()
    for space in (None, "probability"):
        ask(compiled(model, space=space), x, weights=one(0, 4))
    assert state_of(model) == before
    np.testing.assert_array_equal(model(x).numpy(), predicted)


class Failing(L.Layer):
    fail = False

    def call(self, x):
        if self.fail:
            raise RuntimeError("failed while traced")
        return x * 2


def test_nothing_is_left_behind_by_an_error_while_tracing():
    x = keras.Input((4,), dtype="float16")
    failing = Failing(name="failing", dtype="mixed_float16")
    model = keras.Model(x, L.Dense(2, dtype="mixed_float16")(failing(L.Dense(4, dtype="mixed_float16")(x))))
    before = state_of(model)
    types = [tensor.dtype for tensor in model.inputs]
    failing.fail = True
    with pytest.raises(ModelError, match="failed while traced"):
        _ = compiled(model).facts
    assert state_of(model) == before
    assert [tensor.dtype for tensor in model.inputs] == types
    failing.fail = False
    assert compiled(model).facts.connected


def test_a_call_of_the_caller_s_own_is_put_back():
    model = seeded(keras.Sequential([keras.Input((4,)), L.Dense(3, name="patched")]))
    layer, original = model.layers[0], model.layers[0].call

    def own(x, training=None):
        return 3.0 * original(x)

    layer.__dict__["call"] = own
    (gradient,) = ask(compiled(model), drawn(2, 4), weights=one(0, 3)).gradients.values()
    assert vars(layer)["call"] is own
    np.testing.assert_allclose(gradient[0], 3 * model.get_weights()[0][:, 0], rtol=1e-6)


def test_later_weights_are_seen():
    """The function reads the variables, so training on and asking again gives the new gradient."""
    model = seeded(keras.Sequential([keras.Input((4,)), L.Dense(3)]))
    function = compiled(model)
    ask(function, drawn(2, 4), weights=one(0, 3))
    model.set_weights([drawn(4, 3, seed=9), drawn(3)])
    (gradient,) = ask(function, drawn(2, 4), weights=one(0, 3)).gradients.values()
    np.testing.assert_allclose(gradient[0], drawn(4, 3, seed=9)[:, 0], rtol=1e-6)


def test_another_class_does_not_trace_again():
    model, _ = headed("dense softmax")
    calls = []
    opened = wrap(model)
    forward = opened.forward
    object.__setattr__(opened, "forward", lambda inputs: calls.append(1) or forward(inputs))
    from saliency_cli.autodiff.compiled import Compiled

    function = Compiled(opened, "dense" if opened.outputs[0].name == "dense" else opened.outputs[0].name, batch=2)
    for weights in (one(0, 4), one(3, 4), None, np.float32([1, -1, 0, 0])):
        ask(function, drawn(2, 6, 6, 2), weights=weights)
    assert len(calls) == 1


def test_layers_are_addressed_by_path():
    model, _ = headed("deeply nested")
    paths = [layer.path for layer in wrap(model).layers]
    assert len(paths) == len(set(paths))
    assert any(path.count("/") >= 3 and path.split("/")[-1].startswith("conv2d") for path in paths)
    traced = compiled(model).facts.layers
    assert set(traced) == set(paths)
