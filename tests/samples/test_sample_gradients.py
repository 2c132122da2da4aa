"""Every sample model: the gradient equals a tape written by hand, and finite differences in float64."""

import json
from pathlib import Path

import numpy as np
import pytest

import saliency_cli as sal

MODELS = Path(__file__).resolve().parents[2] / "sample_models"

# Each sample model and output, with the position of the class differentiated, and what is behind its softmax.
CASES = [
    ("shapes", None, 2),
    ("nested", None, 3),
    ("signal", None, 1),
    ("table", None, 2),
    ("two_inputs_two_outputs", "digit", 4),
    ("two_inputs_two_outputs", "amount", 0),
    ("linear", None, 0),
    ("quadratic", None, 0),
    ("product", None, 0),
    ("saturated", None, 1),
    ("binary", None, 1),
]

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:keras.*")


def sample(live, seed=3):
    """One input array a model input, in the range the model expects."""
    rng = np.random.default_rng(seed)
    scale = 255.0 if live.inputs[0].shape[-1] in (1, 3) and len(live.inputs[0].shape) == 4 else 1.0
    return {tensor.name: rng.uniform(0.1, scale, tensor.shape[1:]).astype(np.float32) for tensor in live.inputs}


def logit_model(live, output):
    """The model up to its logits, taken apart by hand: what the tool finds in the graph."""
    import keras

    clone = with_weights(keras.models.clone_model(live), live)
    index = live.output_names.index(output) if output else 0
    layer = clone
    while isinstance(layer, keras.Model):
        last = layer.outputs[index if layer is clone else 0]._keras_history.operation
        parent, layer = layer, last
    if isinstance(layer, (keras.layers.Softmax, keras.layers.Activation)):
        layer_before = layer._inbound_nodes[0].input_tensors[0]
        return keras.Model(clone.inputs, layer_before) if parent is clone else None
    if hasattr(layer, "activation"):
        layer.activation = keras.activations.linear
    return clone


def by_hand(model, arrays, output, unit):
    """The gradient of one logit by an ordinary tape."""
    import tensorflow as tf

    tensors = {name: tf.constant(array[None]) for name, array in arrays.items()}

    @tf.function
    def gradients():
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            result = model(
                list(tensors.values()) if len(tensors) > 1 else next(iter(tensors.values())), training=False
            )
            if isinstance(result, (list, tuple)):
                result = result[output]
            score = tf.reshape(result, [-1])[unit]
        return tape.gradient(score, tensors)

    return {name: gradient.numpy()[0] for name, gradient in gradients().items()}


@pytest.mark.parametrize(("name", "output", "target"), CASES, ids=lambda value: str(value))
def test_gradient_equals_a_tape_by_hand(name, output, target):
    import keras

    live = keras.saving.load_model(MODELS / f"{name}.keras", compile=False)
    arrays = sample(live)
    position = live.output_names.index(output) if output else 0
    unit = 0 if name == "binary" else target
    expected = by_hand(logit_model(live, output), arrays, position, unit)
    found = sal.load(str(MODELS / f"{name}.keras")).attribute(arrays, target=target, output_name=output)
    assert set(found.inputs) == set(expected)
    for key, gradient in found.inputs.items():
        np.testing.assert_allclose(gradient, expected[key], rtol=1e-6, atol=1e-6 * np.abs(expected[key]).max())


@pytest.mark.parametrize(("name", "output", "target"), CASES, ids=lambda value: str(value))
def test_gradient_agrees_with_finite_differences(name, output, target):
    import keras

    live = keras.saving.load_model(MODELS / f"{name}.keras", compile=False)
    arrays = sample(live)
    found = sal.load(str(MODELS / f"{name}.keras")).attribute(arrays, target=target, output_name=output)
    wide = in_float64(logit_model(live, output))
    position = live.output_names.index(output) if output else 0
    unit = 0 if name == "binary" else target

    def score(points):
        values = [np.float64(array[None]) for array in points.values()]
        result = wide(values if len(values) > 1 else values[0], training=False)
        result = result[position] if isinstance(result, (list, tuple)) else result
        return float(np.asarray(result).reshape(-1)[unit])

    rng = np.random.default_rng(5)
    for key, gradient in found.inputs.items():
        direction = rng.normal(size=gradient.shape)
        step = 1e-5 * max(1.0, float(np.abs(arrays[key]).max()))
        ahead = {**arrays, key: arrays[key].astype(np.float64) + step * direction}
        behind = {**arrays, key: arrays[key].astype(np.float64) - step * direction}
        slope = (score(ahead) - score(behind)) / (2 * step)
        scale = float(np.linalg.norm(gradient))
        assert abs(slope - float((gradient * direction).sum())) <= 2e-4 * scale


def in_float64(model):
    """The same weights computed in float64."""
    import keras

    text = json.dumps(keras.saving.serialize_keras_object(model)).replace('"float32"', '"float64"')
    return with_weights(keras.saving.deserialize_keras_object(json.loads(text)), model)


def with_weights(model, source):
    """Copy weights; a Normalization layer keeps its statistics in a second form that must follow."""
    model.set_weights(source.get_weights())
    for layer in model._flatten_layers():
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()
    return model
