"""tf-keras-vis: a batch of pictures a call; it has no integrated gradients."""

import sys

import keras
import numpy as np
from answering import BATCH, CLASS, DRAWS, answer
from tf_keras_vis.saliency import Saliency
from tf_keras_vis.utils.scores import CategoricalScore

model = keras.saving.load_model(sys.argv[1], compile=False)
x = np.random.default_rng(0).random((int(sys.argv[2]), *model.input_shape[1:]), np.float32)
saliency = Saliency(model, clone=False)
settings = {"keepdims": True, "normalize_map": False, "gradient_modifier": None}


def maps(pictures, **more):
    for start in range(0, len(pictures), BATCH):
        part = pictures[start : start + BATCH]
        np.asarray(saliency(CategoricalScore([CLASS] * len(part)), part, **settings, **more))


answer(
    {
        "gradient": lambda: maps(x),
        "smoothgrad": lambda: maps(x[: int(sys.argv[3])], smooth_samples=DRAWS, smooth_noise=0.15),
    }
)
