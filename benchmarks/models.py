"""Build a model with random weights and save it where the first argument says: `small` or `mobilenet`."""

import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
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


if __name__ == "__main__":
    keras.utils.set_random_seed(0)
    path = Path(sys.argv[1])
    {"small": small, "mobilenet": mobilenet}[path.stem]().save(path)
