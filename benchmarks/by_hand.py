"""The shortest script a user would write by hand for one saliency map: MODEL PICTURE RESULT."""

import sys

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

model = keras.models.load_model(sys.argv[1])
height, width = model.input_shape[1:3]
x = keras.utils.img_to_array(keras.utils.load_img(sys.argv[2], target_size=(height, width)))
if "mobilenet" in model.name:
    x = keras.applications.mobilenet_v2.preprocess_input(x)
x = tf.constant(x[None])
with tf.GradientTape() as tape:
    tape.watch(x)
    scores = model(x)
    top = tf.reduce_max(scores[0])
gradient = tape.gradient(top, x)[0].numpy()
plt.imsave(sys.argv[3], np.abs(gradient).max(axis=-1), cmap="inferno")
