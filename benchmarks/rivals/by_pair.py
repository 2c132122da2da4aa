"""PAIR saliency, a picture a call, with a callback that runs TensorFlow eagerly or compiled (third argument).

It runs in our own environment with the peer's package lent to it: the peer itself knows no framework.
"""

import sys

import keras
import numpy as np
import tensorflow as tf
from answering import BATCH, CLASS, DRAWS, POINTS, answer

sys.path.append(sys.argv[5])  # behind everything of this environment
import saliency.core as saliency

model = keras.saving.load_model(sys.argv[1], compile=False)
x = np.random.default_rng(0).random((int(sys.argv[2]), *model.input_shape[1:]), np.float32)
few = x[: int(sys.argv[3])]


def gradients(pictures):
    with tf.GradientTape() as tape:
        tape.watch(pictures)
        scores = model(pictures)[:, CLASS]
    return tape.gradient(scores, pictures)


compiled = sys.argv[4] == "compiled"
function = tf.function(gradients, autograph=False) if compiled else gradients


def callback(pictures, **_):
    return {saliency.INPUT_OUTPUT_GRADIENTS: function(tf.constant(pictures, tf.float32)).numpy()}


# Points at a time along the path: its own default is one; the compiled callback gets the batch of the others.
points = {"x_steps": POINTS, "batch_size": BATCH if compiled else 1}
plain, path = saliency.GradientSaliency(), saliency.IntegratedGradients()
smoothed = {"stdev_spread": 0.15, "nsamples": DRAWS, "magnitude": False}
answer(
    {
        "gradient": lambda: [plain.GetMask(each, callback) for each in x],
        "smoothgrad": lambda: [plain.GetSmoothedMask(each, callback, **smoothed) for each in few],
        "integrated-gradients": lambda: [path.GetMask(each, callback, **points) for each in few],
    }
)
