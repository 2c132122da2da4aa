"""A PyTorch ResNet50 with the weights and statistics of the Keras model, as `weights.py` wrote them."""

import torch
from torch import nn


def convolution(given, name, stride=1, padding=0):
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
    def __init__(self, given, name, stride, shortcut):
        super().__init__()
        self.shortcut = convolution(given, f"{name}_0", stride) if shortcut else nn.Identity()
        self.way = nn.Sequential(
            convolution(given, f"{name}_1", stride), nn.ReLU(), convolution(given, f"{name}_2", padding=1), nn.ReLU(),
            convolution(given, f"{name}_3"),
        )  # fmt: skip

    def forward(self, x):
        return torch.relu(self.shortcut(x) + self.way(x))


def resnet50(given):
    """Return the network, channels first, with a softmax at its end; `given`: arrays by Keras's names of weights."""
    blocks = [
        Block(given, f"conv{stage}_block{number}", 2 if number == 1 and stage > 2 else 1, number == 1)
        for stage, count in ((2, 3), (3, 4), (4, 6), (5, 3))
        for number in range(1, count + 1)
    ]
    top = nn.Linear(2048, given["predictions/bias"].size)
    top.weight.data = torch.tensor(given["predictions/kernel"].T.copy())
    top.bias.data = torch.tensor(given["predictions/bias"])
    start = [convolution(given, "conv1", 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(*start, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), top, nn.Softmax(-1)).eval()
