"""tf-keras-vis as its README shows it: the last activation made linear on a clone, a score by class, batches of 8."""

import keras
from tf_keras_vis.saliency import Saliency
from tf_keras_vis.utils.model_modifiers import ReplaceToLinear
from tf_keras_vis.utils.scores import CategoricalScore
from whole import DRAWS, METHOD, MODEL, NOISE, batches, write

model = keras.saving.load_model(MODEL, compile=False)
saliency = Saliency(model, model_modifier=ReplaceToLinear(), clone=True)
smoothed = {"smooth_samples": DRAWS, "smooth_noise": NOISE} if METHOD == "smoothgrad" else {}
for paths, pictures in batches():
    score = CategoricalScore(model.predict(pictures, verbose=0).argmax(axis=-1).tolist())
    write(paths, saliency(score, pictures, **smoothed))
