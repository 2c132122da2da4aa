"""PAIR saliency as its README shows it: a picture a call, an eager tape in the callback.

It runs in our own environment with the peer's package (last argument) lent to it: the peer itself knows no framework.
"""

import sys

import keras
import numpy as np
import tensorflow as tf
from whole import DRAWS, METHOD, MODEL, NOISE, batches, write

sys.path.append(sys.argv[6])  # behind everything of this environment
import saliency.core as saliency

model = keras.saving.load_model(MODEL, compile=False)
model.layers[-1].activation = keras.activations.linear


def call_model(images, call_model_args=None, **_):
    images = tf.convert_to_tensor(images, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(images)
        scores = model(images)[:, call_model_args]
    return {saliency.base.INPUT_OUTPUT_GRADIENTS: np.array(tape.gradient(scores, images))}


gradient = saliency.GradientSaliency()
for paths, pictures in batches():
    maps = []
    for picture in pictures:
        target = int(np.argmax(model(picture[None])[0]))
        if METHOD == "smoothgrad":
            maps.append(gradient.GetSmoothedMask(picture, call_model, target, stdev_spread=NOISE, nsamples=DRAWS))
        else:
            maps.append(gradient.GetMask(picture, call_model, target))
    write(paths, maps)
