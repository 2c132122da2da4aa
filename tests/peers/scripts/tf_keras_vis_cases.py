"""tf-keras-vis on the Keras twin, unscaled; CAMs at the layer's own resolution."""

import numpy as np
from keras_twin import logits, net
from peer_cases import run
from tf_keras_vis.gradcam import Gradcam
from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus
from tf_keras_vis.layercam import Layercam
from tf_keras_vis.saliency import Saliency
from tf_keras_vis.utils.scores import CategoricalScore


def twin(given):
    return logits(given)


def _asked(given):
    return CategoricalScore([int(given["target"])]), given["conv/x"][None]


def gradient(given):
    score, x = _asked(given)
    settings = {"keepdims": True, "normalize_map": False}
    plain = Saliency(net(given), clone=True)(score, x, gradient_modifier=lambda g: g, **settings)
    noise, real = given["conv/smooth_noise"], np.random.normal
    np.random.normal = lambda *_, **__: noise[:, None]
    try:
        smooth = Saliency(net(given), clone=True)(score, x, smooth_samples=len(noise), smooth_noise=0.15, **settings)
    finally:
        np.random.normal = real
    return {"plain": np.asarray(plain)[0], "smooth": np.asarray(smooth)[0]}


def cams(given):
    score, x = _asked(given)
    found = {}
    for name, kind in (("grad-cam", Gradcam), ("grad-cam++", GradcamPlusPlus), ("layercam", Layercam)):
        values = kind(net(given), clone=True)(score, x, penultimate_layer="c2", expand_cam=False, normalize_cam=False)
        found[name] = np.squeeze(np.asarray(values))
    return found


run("tf-keras-vis", [twin, gradient, cams])
