"""Xplique: pictures and one-hot targets in, maps out, no reduction of channels."""

import sys

import keras
import numpy as np
from answering import BATCH, CLASS, DRAWS, POINTS, answer
from xplique.attributions import IntegratedGradients, Saliency, SmoothGrad

model = keras.saving.load_model(sys.argv[1], compile=False)
x = np.random.default_rng(0).random((int(sys.argv[2]), *model.input_shape[1:]), np.float32)
few = x[: int(sys.argv[3])]
y = np.eye(model.output_shape[-1], dtype=np.float32)[np.full(len(x), CLASS)]
settings = {"batch_size": BATCH, "reducer": None}
gradient = Saliency(model, **settings)
smooth = SmoothGrad(model, nb_samples=DRAWS, **settings)
path = IntegratedGradients(model, steps=POINTS, **settings)
answer(
    {
        "gradient": lambda: np.asarray(gradient.explain(x, y)),
        "smoothgrad": lambda: np.asarray(smooth.explain(few, y[: len(few)])),
        "integrated-gradients": lambda: np.asarray(path.explain(few, y[: len(few)])),
    }
)
