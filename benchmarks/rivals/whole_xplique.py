"""Xplique as its README shows it: the softmax taken off, one-hot targets, an explainer called with pictures."""

import keras
import numpy as np
from whole import BATCH, DRAWS, METHOD, MODEL, batches, write
from xplique.attributions import Saliency, SmoothGrad

model = keras.saving.load_model(MODEL, compile=False)
model.layers[-1].activation = keras.activations.linear
smoothed = METHOD == "smoothgrad"
explainer = SmoothGrad(model, nb_samples=DRAWS, batch_size=BATCH) if smoothed else Saliency(model, batch_size=BATCH)
for paths, pictures in batches():
    targets = np.eye(1000, dtype=np.float32)[model.predict(pictures, verbose=0).argmax(axis=-1)]
    write(paths, explainer(pictures, targets))
