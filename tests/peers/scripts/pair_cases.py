"""PAIR saliency's methods; its callback is the PyTorch twin. NumPy functions it was written for are lent to it."""

import numpy as np
import saliency.core as saliency
import torch
from peer_cases import run
from torch_twin import first, logits, nets

_quantile = np.quantile


def _old_quantile(a, q, interpolation="linear"):
    """NumPy 2.4 no longer takes the name `interpolation`, which release 0.2.1 uses."""
    return _quantile(a, q, method=interpolation)


def twin(given):
    return logits(given)


def _callback(given):
    net, target = nets(given)["conv"].double(), int(given["target"])

    def call(pictures, call_model_args=None, expected_keys=None):
        x = first(np.asarray(pictures, np.float64)).requires_grad_()
        values = net(x)[:, target]
        if expected_keys and saliency.OUTPUT_LAYER_VALUES in expected_keys:
            return {saliency.OUTPUT_LAYER_VALUES: values.detach().numpy()}
        (slopes,) = torch.autograd.grad(values.sum(), x)
        return {saliency.INPUT_OUTPUT_GRADIENTS: slopes.movedim(-3, -1).numpy()}

    return call


def gradient(given):
    x, call = given["conv/x"].astype(np.float64), _callback(given)
    found = {"plain": saliency.GradientSaliency().GetMask(x, call)}
    noise, real = given["conv/smooth_noise"], np.random.normal
    for name, squared in (("mean", False), ("squared", True)):
        left = iter(noise)
        np.random.normal = lambda *_, left=left: next(left)
        try:
            found[name] = saliency.GradientSaliency().GetSmoothedMask(
                x, call, stdev_spread=0.15, nsamples=len(noise), magnitude=squared
            )
        finally:
            np.random.normal = real
    return found


def integrated_gradients(given):
    x, call = given["conv/x"].astype(np.float64), _callback(given)
    return {"value": saliency.IntegratedGradients().GetMask(x, call, x_steps=int(given["points"]), batch_size=4)}


def guided_ig(given):
    x, call = given["conv/x"].astype(np.float64), _callback(given)
    found = {}
    try:
        saliency.GuidedIG().GetMask(x, call, x_steps=2)
        found["fails"] = ""
    except TypeError as error:
        found["fails"] = str(error)
    np.quantile = _old_quantile
    try:
        for steps in (20, 50):
            found[f"steps{steps}"] = saliency.GuidedIG().GetMask(x, call, x_steps=steps, fraction=0.25, max_dist=0.05)
    finally:
        np.quantile = _quantile
    return found


def blur_ig(given):
    x, call = given["conv/x"].astype(np.float64), _callback(given)
    settings = {"max_sigma": 1.6, "grad_step": 1e-4}
    found = {"zeros": saliency.BlurIG().GetMask(x, call, steps=400, **settings)}
    from saliency.core import blur_ig as module
    from scipy import ndimage

    def reflected(image, sigma):
        return image if sigma == 0 else ndimage.gaussian_filter(image, sigma=[sigma, sigma, 0], mode="reflect")

    padded, module.gaussian_blur = module.gaussian_blur, reflected
    try:
        found["reflected"] = saliency.BlurIG().GetMask(x, call, steps=400, **settings)
    finally:
        module.gaussian_blur = padded
    return found


def occlusion(given):
    x, call = given["conv/x"].astype(np.float64), _callback(given)
    return {"value": saliency.Occlusion().GetMask(x, call, size=3, value=0)}


def xrai(given):
    """The ranking of regions alone, by our integrated gradients and our regions."""
    x, regions = given["conv/x"], given["conv/regions"]
    dense = given["conv/ig"].sum(-1, dtype=np.float64)
    settings = saliency.XRAIParameters(algorithm="full")
    settings.experimental_params["min_pixel_diff"] = 1
    wide = np.repeat(dense[..., None], 3, -1)
    found = saliency.XRAI().GetMask(x, None, segments=list(regions), base_attribution=wide, extra_parameters=settings)
    return {"value": found}


run("saliency", [twin, gradient, integrated_gradients, guided_ig, blur_ig, occlusion, xrai])
