"""Models whose gradient can be written down."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers


def linear() -> keras.Model:
    """`y = 2 (x1 + x2 + x3) + 1`: the gradient is (2, 2, 2) everywhere."""
    numbers = keras.Input((3,), name="numbers")
    result = layers.Dense(1, name="amount")(numbers)
    model = keras.Model(numbers, result, name="linear")
    model.set_weights([np.full((3, 1), 2.0), np.ones(1)])
    return model


def quadratic() -> keras.Model:
    """`y = x1² + x2² + x3²`: the gradient is 2x."""
    numbers = keras.Input((3,), name="numbers")
    result = layers.Dot(axes=1, name="amount")([numbers, numbers])
    return keras.Model(numbers, result, name="quadratic")


def product() -> keras.Model:
    """`y = first · second`: the gradient by the one is the other."""
    first, second = keras.Input((1,), name="first"), keras.Input((1,), name="second")
    result = layers.Multiply(name="amount")([first, second])
    return keras.Model([first, second], result, name="product")


def binary() -> keras.Model:
    """`p = sigmoid(x1 - 2 x2 + x3 / 2 + 1/4)`: its logit's gradient is (1, -2, ½), its own p (1 - p) times that."""
    numbers = keras.Input((3,), name="numbers")
    result = layers.Dense(1, activation="sigmoid", name="probability")(numbers)
    model = keras.Model(numbers, result, name="binary")
    model.set_weights([np.array([[1.0], [-2.0], [0.5]]), np.array([0.25])])
    return model


def saturated() -> keras.Model:
    """A softmax over logits of thousands: 0 is the float32 gradient of the probability, but not of the logit."""
    numbers = keras.Input((4,), name="numbers")
    result = layers.Dense(3, activation="softmax", name="class")(numbers)
    model = keras.Model(numbers, result, name="saturated")
    kernel = np.array([[1.0, -1.0, 0.0], [0.0, 1.0, -1.0], [-1.0, 0.0, 1.0], [0.5, 0.5, 0.5]])
    model.set_weights([2000 * kernel, np.zeros(3)])
    return model


def dead() -> keras.Model:
    """ReLU units far below zero for any usual input: output and logit are constant, every gradient is exactly 0."""
    numbers = keras.Input((4,), name="numbers")
    hidden = layers.Dense(4, activation="relu", name="hidden")(numbers)
    result = layers.Dense(3, activation="softmax", name="class")(hidden)
    model = keras.Model(numbers, result, name="dead")
    model.set_weights([np.eye(4), np.full(4, -1e6), np.ones((4, 3)), np.array([0.0, 1.0, 2.0])])
    return model
