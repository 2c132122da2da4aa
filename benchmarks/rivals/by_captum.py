"""Captum on ResNet50 in PyTorch, its weights and statistics those of the Keras model; pictures are channels first."""

import sys

import numpy as np
import torch
from answering import BATCH, CLASS, DRAWS, POINTS, answer
from captum.attr import IntegratedGradients, NoiseTunnel, Saliency
from twin import resnet50

given = np.load(sys.argv[1])


def first(pictures):
    return torch.tensor(pictures).movedim(-1, 1).contiguous()


net = resnet50(given)
with torch.no_grad():
    difference = np.abs(net(first(given["x"])).numpy() - given["scores"]).max() / given["scores"].max()
assert difference < 1e-3, f"the PyTorch twin answers differently: {difference:.2g}"

x = first(np.random.default_rng(0).random((int(sys.argv[2]), *given["x"].shape[1:]), np.float32))
few = x[: int(sys.argv[3])]
gradient, path = Saliency(net), IntegratedGradients(net)
tunnel = NoiseTunnel(gradient)


def gradients():
    for start in range(0, len(x), BATCH):
        gradient.attribute(x[start : start + BATCH].clone(), target=CLASS, abs=False)


def smooth():
    for each in few:
        tunnel.attribute(
            each[None], nt_samples=DRAWS, nt_samples_batch_size=BATCH, stdevs=0.15, target=CLASS, abs=False
        )


def along():
    for each in few:
        path.attribute(each[None], n_steps=POINTS, target=CLASS, internal_batch_size=BATCH)


def bare():
    """A gradient without Captum: what PyTorch itself takes."""
    for start in range(0, len(x), BATCH):
        part = x[start : start + BATCH].clone().requires_grad_()
        torch.autograd.grad(net(part)[:, CLASS].sum(), part)


answer({"gradient": gradients, "smoothgrad": smooth, "integrated-gradients": along, "bare": bare})
