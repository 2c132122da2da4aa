"""Build a model with random weights and save it where the first argument says, by its file's name."""

import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
from keras import layers


def small() -> keras.Model:
    """A classifier of 28×28 RGB pictures as a beginner builds it."""
    return keras.Sequential(
        [
            keras.Input((28, 28, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ],
        name="small",
    )


def mobilenet() -> keras.Model:
    """MobileNetV2 224×224, as keras.applications draws its weights."""
    return keras.applications.MobileNetV2(weights=None)


def normalised(model: keras.Model, low: float = -1, high: float = 1) -> keras.Model:
    """Give every batch normalisation random scales and shifts, and the statistics of random pictures in a range.

    As they are drawn, all are the identity but for an epsilon: nothing would be seen of them.
    """
    rng = np.random.default_rng(0)
    found = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    momenta = [layer.momentum for layer in found]
    for layer in found:
        size = layer.gamma.shape
        layer.gamma.assign(rng.uniform(0.5, 1.5, size))
        layer.beta.assign(rng.normal(0, 0.2, size))
        layer.momentum = 0.0
    model(rng.uniform(low, high, (8, *model.input_shape[1:])).astype(np.float32), training=True)
    for layer, momentum in zip(found, momenta, strict=True):
        layer.momentum = momentum
    return model


def mobilenetv2() -> keras.Model:
    """MobileNetV2 224×224 with random weights and batch-norm statistics."""
    return normalised(keras.applications.MobileNetV2(weights=None))


def resnet50() -> keras.Model:
    """ResNet50 224×224 with random weights and batch-norm statistics."""
    return normalised(keras.applications.ResNet50(weights=None))


def efficientnetv2b0() -> keras.Model:
    """EfficientNetV2B0 224×224 with random weights and batch-norm statistics."""
    return normalised(keras.applications.EfficientNetV2B0(weights=None), 0, 255)


BUILDERS = {builder.__name__: builder for builder in (small, mobilenet, mobilenetv2, resnet50, efficientnetv2b0)}

if __name__ == "__main__":
    keras.utils.set_random_seed(0)
    path = Path(sys.argv[1])
    BUILDERS[path.stem]().save(path)
