"""Small networks for backward rules, asked through the engine; and the rules by hand, in NumPy."""

import numpy as np
from asking import compiled

from saliency_cli.autodiff.compiled import Compiled
from saliency_cli.autodiff.runtime import keras
from saliency_cli.differentiable import GRADIENT, Trace, against

L = keras.layers


def seeded(model, seed=3, scale=0.4):
    """Give every weight a value that depends on its place alone; variances and scales are positive."""
    rng = np.random.default_rng(seed)
    drawn = []
    for variable in model.weights:
        values = rng.normal(0, scale, variable.shape)
        drawn.append(np.abs(values) + 0.3 if "variance" in variable.path or "gamma" in variable.path else values)
    model.set_weights([values.astype(variable.dtype) for values, variable in zip(drawn, model.weights, strict=True)])
    return model


def two_layers(*, biases=True, activation="relu", seed=3):
    """Five features, four hidden units, three logits."""
    x = keras.Input((5,))
    hidden = L.Dense(4, activation, use_bias=biases)(x)
    return seeded(keras.Model(x, L.Dense(3, use_bias=biases)(hidden)), seed)


def stacked(shape, *layers, seed=3, dtype=None):
    x = y = keras.Input(shape, dtype=dtype)
    for layer in layers:
        y = layer(y)
    return seeded(keras.Model(x, y), seed)


def pictures(activation="relu", *, biases=True, norm=True, pool=L.MaxPooling2D, seed=3):
    """Convolution, depthwise convolution, residual, padding, branches, mean, dense, softmax."""
    x = keras.Input((8, 8, 3), name="picture")

    def block(layer, y):
        y = layer(y)
        return L.Activation(activation)(L.BatchNormalization()(y) if norm else y)

    y = pool()(block(L.Conv2D(6, 3, padding="same", use_bias=biases), x))
    y = L.Add()([y, block(L.DepthwiseConv2D(3, padding="same", use_bias=biases), y)])
    y = L.Concatenate()([L.ZeroPadding2D()(y), L.ZeroPadding2D()(y)])
    y = L.Dense(8, activation, use_bias=biases)(L.GlobalAveragePooling2D()(y))
    return seeded(keras.Model(x, L.Dense(4, "softmax", use_bias=biases)(y)), seed)


def inputs(shape, rows=3, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, *shape)).astype(np.float32)


def by_rule(model, x, rule=None, references=(), target=0):
    """Return an evaluation and the one input's message; `rule` None is the gradient."""
    function = model if isinstance(model, Compiled) else compiled(model, batch=len(x))
    name = function.model.inputs[0].name
    given = {name: x} | {against(k, name): np.broadcast_to(r, x.shape).copy() for k, r in enumerate(references)}
    weights = np.zeros((len(x), function.facts.classes), np.float32)
    weights[:, target] = 1
    trace = GRADIENT if rule is None else Trace(rule=rule)
    found = function(given, weights, np.zeros(len(x), bool), np.zeros(len(x), np.float32), trace)
    return found, found.gradients[name]


def sums(array):
    return array.reshape(len(array), -1).sum(1)


# The rules by hand: one row, weights (in, out), every contribution written out.


def shared(rule, x, w, b, relevance, *, epsilon=0.0, gamma=0.25, alpha=2.0, low=None, high=None):
    """Relevance of the inputs of one dense layer."""
    c = x[:, None] * w
    up, down = np.maximum(c, 0), np.minimum(c, 0)
    z = c.sum(0) + b
    z_up, z_down = up.sum(0) + np.maximum(b, 0), down.sum(0) + np.minimum(b, 0)
    if rule == "epsilon":
        return (c / (z + epsilon * np.sqrt((z**2).mean()) * np.where(z >= 0, 1, -1))) @ relevance
    if rule == "gamma":
        favoured, whole = np.where(z >= 0, up, down), np.where(z >= 0, z_up, z_down)
        return ((c + gamma * favoured) / (z + gamma * whole)) @ relevance
    if rule == "zplus":
        return np.divide(up, z_up, out=np.zeros_like(up), where=z_up != 0) @ relevance
    if rule == "alpha-beta":
        parts = [np.divide(p, q, out=np.zeros_like(p), where=q != 0) for p, q in ((up, z_up), (down, z_down))]
        return (alpha * parts[0] - (alpha - 1) * parts[1]) @ relevance
    if rule == "wsquare":
        return (w**2 / (w**2).sum(0)) @ relevance
    if rule == "flat":
        return np.full(w.shape, 1 / len(w)) @ relevance
    boxed = c - low[:, None] * np.maximum(w, 0) - high[:, None] * np.minimum(w, 0)
    return (boxed / boxed.sum(0)) @ relevance


def lrp_of_two_layers(model, x, hidden_rule, first=None, target=0, **numbers):
    """Relevance of a row of features through `two_layers`."""
    arrays = [weight.astype(np.float64) for weight in model.get_weights()]
    w1, b1, w2, b2 = arrays if len(arrays) == 4 else (arrays[0], np.zeros(4), arrays[1], np.zeros(3))
    h = np.maximum(x @ w1 + b1, 0)
    relevance = np.eye(3)[target] * (h @ w2 + b2)
    relevance = shared(hidden_rule, h, w2, b2, relevance, **numbers)
    return shared(first or hidden_rule, x, w1, b1, relevance, **numbers)
