"""Captum on ResNet50 in PyTorch, its weights and statistics those of the Keras model; pictures are channels first."""

import sys

import numpy as np
import torch
from answering import BATCH, CLASS, DRAWS, POINTS, answer
from captum.attr import IntegratedGradients, NoiseTunnel, Saliency
from torch import nn

given = np.load(sys.argv[1])


def convolution(name, stride=1, padding=0):
    kernel = torch.tensor(given[f"{name}_conv/kernel"]).permute(3, 2, 0, 1).contiguous()
    layer = nn.Conv2d(kernel.shape[1], kernel.shape[0], kernel.shape[-1], stride, padding)
    layer.weight.data, layer.bias.data = kernel, torch.tensor(given[f"{name}_conv/bias"])
    norm = nn.BatchNorm2d(kernel.shape[0], eps=1.001e-5)
    norm.weight.data, norm.bias.data = (torch.tensor(given[f"{name}_bn/{part}"]) for part in ("gamma", "beta"))
    norm.running_mean, norm.running_var = (
        torch.tensor(given[f"{name}_bn/moving_{part}"]) for part in ("mean", "variance")
    )
    return nn.Sequential(layer, norm)


class Block(nn.Module):
    def __init__(self, name, stride, shortcut):
        super().__init__()
        self.shortcut = convolution(f"{name}_0", stride) if shortcut else nn.Identity()
        self.way = nn.Sequential(
            convolution(f"{name}_1", stride), nn.ReLU(), convolution(f"{name}_2", padding=1), nn.ReLU(),
            convolution(f"{name}_3"),
        )  # fmt: skip

    def forward(self, x):
        return torch.relu(self.shortcut(x) + self.way(x))


def resnet50():
    blocks = [
        Block(f"conv{stage}_block{number}", 2 if number == 1 and stage > 2 else 1, number == 1)
        for stage, count in ((2, 3), (3, 4), (4, 6), (5, 3))
        for number in range(1, count + 1)
    ]
    top = nn.Linear(2048, given["predictions/bias"].size)
    top.weight.data = torch.tensor(given["predictions/kernel"].T.copy())
    top.bias.data = torch.tensor(given["predictions/bias"])
    start = [convolution("conv1", 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(*start, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), top, nn.Softmax(-1)).eval()


def first(pictures):
    return torch.tensor(pictures).movedim(-1, 1).contiguous()


net = resnet50()
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
