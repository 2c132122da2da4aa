"""Xplique's methods and metrics on the Keras twin, with our noise, masks and subsets in place of its own."""

import numpy as np
import tensorflow as tf
import xplique.attributions as attributions
from keras_twin import logits, net, one_hot
from peer_cases import run
from xplique import metrics
from xplique.attributions.gradient_statistics import gradient_statistic
from xplique.metrics.randomization import ProgressiveLayerRandomization

# What Xplique draws is drawn inside tf.functions, which would remember the first draw.
tf.config.run_functions_eagerly(True)


def twin(given):
    return logits(given)


def _asked(given, name="conv"):
    return given[f"{name}/x"][None], one_hot(given)


def gradients(given):
    x, y = _asked(given)
    model = net(given)
    return {
        "saliency": attributions.Saliency(model, reducer=None).explain(x, y)[0],
        "gradient-times-input": attributions.GradientInput(model, reducer=None).explain(x, y)[0],
        "ig": attributions.IntegratedGradients(model, steps=int(given["points"]), reducer=None).explain(x, y)[0],
    }


def smoothgrad(given):
    x, y = _asked(given)
    noise = given["conv/smooth_noise"]
    statistic = gradient_statistic.GradientStatistic
    real = statistic._perturb_samples
    statistic._perturb_samples = staticmethod(lambda pictures, *_: pictures + noise)
    kinds = {"mean": "SmoothGrad", "squared": "SquareGrad", "variance": "VarGrad"}
    try:
        return {
            ours: getattr(attributions, theirs)(net(given), nb_samples=len(noise), reducer=None).explain(x, y)[0]
            for ours, theirs in kinds.items()
        }
    finally:
        statistic._perturb_samples = real


def occlusion(given):
    x, y = _asked(given)
    tiled = attributions.Occlusion(net(given), patch_size=4, patch_stride=4).explain(x, y)
    return {"tiled": np.reshape(tiled, (8, 8))}


def rise(given):
    x, y = _asked(given)
    masks = tf.constant(given["conv/rise_masks"][..., None])
    real = attributions.Rise._apply_masks
    attributions.Rise._apply_masks = staticmethod(lambda picture, *_: (picture[None] * masks, masks))
    try:
        found = attributions.Rise(net(given), nb_samples=len(masks), batch_size=len(masks)).explain(x, y)
    finally:
        attributions.Rise._apply_masks = real
    return {"value": np.reshape(found, (8, 8))}


def curves(given):
    x, y = _asked(given)
    model, plane, found = net(given, activation="softmax"), given["conv/plane"][None], {}
    for name, kind in (("deletion", metrics.Deletion), ("insertion", metrics.Insertion)):
        for steps in (16, 10):
            found[f"{name}{steps}"] = kind(model, x, y, steps=steps, baseline_mode=0.0).evaluate(plane)
        detailed = kind(model, x, y, steps=10, baseline_mode=0.0).detailed_evaluate(plane)
        found[f"{name}-counts"], found[f"{name}-curve"] = list(detailed), list(detailed.values())
    signed = given["conv/ig"].sum(-1)[None]
    found["deletion-signed"] = metrics.Deletion(model, x, y, steps=16, baseline_mode=0.0).evaluate(signed)
    return found


def mufidelity(given):
    """Where our subsets are, its uniform numbers are 0; elsewhere 1."""
    x, y = _asked(given)
    subsets = given["conv/cells"]
    real = tf.random.uniform
    tf.random.uniform = lambda *_, **__: tf.constant(1 - subsets, tf.float32)
    try:
        metric = metrics.MuFidelity(
            net(given, activation="softmax"), x, y, batch_size=len(subsets), grid_size=8, nb_samples=len(subsets)
        )
        return {"value": metric.evaluate(given["conv/ig"][None])}
    finally:
        tf.random.uniform = real


def complexity(given):
    plane = given["conv/plane"][None]
    return {
        "entropy": metrics.Complexity().detailed_evaluate(plane)[0],
        "gini": metrics.Sparseness().detailed_evaluate(plane)[0],
    }


def randomisation(given):
    """Its model randomisation on three weighted layers, with its default and with one layer."""
    x, y = _asked(given)
    found = {}
    for name, strategy in (("default", None), ("one", ProgressiveLayerRandomization(1))):
        metric = metrics.ModelRandomizationMetric(net(given), x, y, randomization_strategy=strategy)
        found[name] = metric.evaluate(attributions.Saliency(net(given)))
    return found


def cams(given):
    """CAMs at the layer's own resolution: its enlargement is handed through."""
    x, y = _asked(given)
    model, found = net(given), {}
    real = tf.image.resize
    tf.image.resize = lambda images, *_, **__: images
    try:
        for name, kind in (("grad-cam", attributions.GradCAM), ("grad-cam++", attributions.GradCAMPP)):
            found[name] = np.squeeze(kind(model, conv_layer="c2").explain(x, y))
    finally:
        tf.image.resize = real
    return found


def backwards(given):
    x, y = _asked(given)
    return {
        "guided-backprop": attributions.GuidedBackprop(net(given), reducer=None).explain(x, y)[0],
        "deconvnet": attributions.DeconvNet(net(given), reducer=None).explain(x, y)[0],
    }


run(
    "xplique",
    [
        twin, gradients, smoothgrad, occlusion, rise, curves, mufidelity, complexity, randomisation, cams, backwards,
    ],
)  # fmt: skip
