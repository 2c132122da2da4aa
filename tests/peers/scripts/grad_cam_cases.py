"""pytorch-grad-cam's maps on the PyTorch twin, at the layer's own resolution, before it cuts and scales them."""

import no_torchvision  # noqa: F401 — before pytorch_grad_cam, which imports torchvision
import numpy as np
import pytorch_grad_cam as cams
import torch
from peer_cases import run
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch_twin import inputs, logits, nets

KINDS = {
    "grad-cam": cams.GradCAM,
    "grad-cam++": cams.GradCAMPlusPlus,
    "xgrad-cam": cams.XGradCAM,
    "hirescam": cams.HiResCAM,
    "layercam": cams.LayerCAM,
    "elementwise-grad-cam": cams.GradCAMElementWise,
    "eigen-cam": cams.EigenCAM,
    "eigen-grad-cam": cams.EigenGradCAM,
    "score-cam": cams.ScoreCAM,
    "ablation-cam": cams.AblationCAM,
}


def twin(given):
    return logits(given)


class HalfPixel(torch.nn.Upsample):
    """Score-CAM's masks enlarged as ours are; theirs align the corners."""

    def __init__(self, size):
        super().__init__(size=tuple(size), mode="bilinear", align_corners=False)


def maps(given):
    found = {}
    torch.nn.UpsamplingBilinear2d = HalfPixel
    for name, kind in KINDS.items():
        net, x = nets(given)["conv"], inputs(given)["conv"].clone()
        targets = [ClassifierOutputTarget(int(given["target"]))]
        with kind(model=net, target_layers=[net.r2]) as cam:
            output = cam.activations_and_grads(x)
            if cam.uses_gradients:
                net.zero_grad()
                sum(target(row) for target, row in zip(targets, output, strict=True)).backward()
            activations = cam.activations_and_grads.activations[0].cpu().data.numpy()
            grads = cam.activations_and_grads.gradients
            grads = grads[0].cpu().data.numpy() if grads else None
            found[name] = np.asarray(cam.get_cam_image(x, net.r2, targets, activations, grads, False))[0]
    return found


run("grad-cam", [twin, maps])
