"""Captum as its README shows it, on a PyTorch twin of the Keras ResNet50: batches of 8, channels first."""

import numpy as np
import torch
from captum.attr import NoiseTunnel, Saliency
from twin import resnet50
from whole import BATCH, DRAWS, METHOD, MODEL, NOISE, batches, write

net = resnet50(np.load(MODEL))
explainer = Saliency(net)
if METHOD == "smoothgrad":
    explainer = NoiseTunnel(explainer)
for paths, pictures in batches():
    x = torch.tensor(pictures).movedim(-1, 1).contiguous()
    with torch.no_grad():
        targets = net(x).argmax(dim=1)
    if METHOD == "smoothgrad":
        # A draw of every picture at a time: the same batch as the others.
        draws = {"nt_samples": DRAWS, "nt_samples_batch_size": max(1, BATCH // len(x)), "stdevs": 2 * NOISE}
        maps = explainer.attribute(x, target=targets, abs=False, **draws)
    else:
        maps = explainer.attribute(x.requires_grad_(), target=targets, abs=False)
    write(paths, maps.movedim(1, -1).detach().numpy())
