"""Graphs opened as models and asked for gradients, beside the same gradients taken from the source itself."""

import base64
from pathlib import Path

import numpy as np
import pytest

from saliency_cli.autodiff.compiled import Compiled
from saliency_cli.autodiff.runtime import tf

SHARED = Path(__file__).resolve().parents[2].parent / "shared"


def shared(*parts):
    """A file or folder that is not part of the project; the test is skipped where it is absent."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{'/'.join(parts)} is not beside the project")
    return path


def drawn(model, batch=2, seed=0):
    """Random values for every input of a model; varying axes get length 8."""
    rng = np.random.default_rng(seed)
    shapes = {spec.name: (batch, *(8 if size is None else size for size in spec.shape)) for spec in model.inputs}
    return {
        spec.name: rng.normal(size=shapes[spec.name]).astype(spec.dtype)
        if spec.floating
        else rng.integers(0, 5, shapes[spec.name]).astype(spec.dtype)
        for spec in model.inputs
    }


def gradients(model, inputs, weights, output=None):
    """∂(Σ weights·output)/∂input by the engine, positions averaged, in the space of the output itself."""
    batch = len(next(iter(inputs.values())))
    compiled = Compiled(model, output or model.outputs[0].name, batch=batch, space="output")
    rows = np.broadcast_to(np.asarray(weights, np.float32), (batch, len(weights)))
    found = compiled(inputs, rows, np.zeros(batch, bool), np.zeros(batch, np.float32))
    return found.gradients


def own_gradients(call, inputs, weights):
    """The same by a tape over the source model. `call` takes the inputs by name and returns one tensor."""
    tensors = {name: tf.constant(value) for name, value in inputs.items()}
    floating = [name for name, value in tensors.items() if value.dtype.is_floating]

    @tf.function(autograph=False)
    def differentiate(tensors):
        with tf.GradientTape() as tape:
            tape.watch([tensors[name] for name in floating])
            y = call(tensors)
            y = tf.reduce_mean(tf.reshape(y, (y.shape[0] or tf.shape(y)[0], -1, len(weights))), 1)
            total = tf.reduce_sum(y * tf.constant(weights, y.dtype))
        return dict(zip(floating, tape.gradient(total, [tensors[name] for name in floating]), strict=True))

    return {name: value.numpy() for name, value in differentiate(tensors).items()}


def assert_same(found, expected, tolerance=1e-5, floor=0.0):
    """Agree to a part of the largest value, and to an absolute floor."""
    assert set(found) == set(expected)
    for name, value in expected.items():
        largest = np.abs(value).max()
        assert largest > 0
        assert np.abs(found[name] - value).max() <= tolerance * largest + floor, name


def recorded(entry):
    """An array as the reference files hold it."""
    content = base64.b64decode(entry["data"])
    return np.frombuffer(content, entry.get("dtype", "float32")).reshape(entry["shape"])


def recorded_targets(model, inputs, labels=None):
    """Outputs, and gradients of the scalars the reference files name, from `Model.forward` alone."""
    names = [spec.name for spec in model.inputs]

    def clipped(p):
        return tf.clip_by_value(p / tf.reduce_sum(p, -1, keepdims=True), 1e-7, 1 - 1e-7)

    @tf.function(autograph=False)
    def differentiate(*values):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(values)
            outputs = list(model.forward(dict(zip(names, values, strict=True))).outputs.values())
            flat = [tf.reshape(y, (-1,)) for y in outputs]
            targets = {
                "wsum": tf.add_n(
                    [tf.reduce_sum(y * tf.cos(tf.cast(tf.range(tf.size(y)) + 1, y.dtype))) for y in flat]
                ),
                "out0_c0": tf.reduce_sum(outputs[0][..., 0]),
            }
            if labels is not None:
                cross = -tf.reduce_sum(labels * tf.math.log(clipped(outputs[0])), -1)
                targets["ce_keras"] = tf.reduce_mean(cross)
                targets["ce_plain"] = tf.reduce_mean(-tf.reduce_sum(labels * tf.math.log(outputs[0]), -1))
        return outputs, {name: tape.gradient(value, values) for name, value in targets.items()}

    outputs, found = differentiate(*[tf.constant(value) for value in inputs])
    return [y.numpy() for y in outputs], {name: [g.numpy() for g in values] for name, values in found.items()}
