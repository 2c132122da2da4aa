"""Write a Keras ResNet50's weights, a picture and the scores it gets, as plain arrays: MODEL RESULT."""

import sys

import keras
import numpy as np

model = keras.saving.load_model(sys.argv[1], compile=False)
found = {weight.path: np.asarray(weight) for weight in model.weights}
x = np.random.default_rng(0).random((2, *model.input_shape[1:]), np.float32)
np.savez(sys.argv[2], x=x, scores=np.asarray(model(x, training=False)), **found)
