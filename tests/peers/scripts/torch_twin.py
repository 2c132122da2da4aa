"""The tiny networks in PyTorch, their weights copied from Keras; pictures are channels first here."""

import torch
from torch import nn

torch.set_num_threads(1)


class Conv(nn.Module):
    def __init__(self, given):
        super().__init__()
        self.c1, self.r1 = _conv(given, "conv/c1"), nn.ReLU()
        self.c2, self.r2 = _conv(given, "conv/c2"), nn.ReLU()
        self.flat, self.top = ChannelsLastFlatten(), _dense(given, "conv/top")

    def forward(self, x):
        return self.top(self.flat(self.r2(self.c2(self.r1(self.c1(x))))))


class ChannelsLastFlatten(nn.Module):
    """Keras flattens rows, columns, channels in this order."""

    def forward(self, x):
        return x.permute(0, 2, 3, 1).flatten(1)


class Mlp(nn.Module):
    def __init__(self, given):
        super().__init__()
        self.d1, self.r1, self.top = _dense(given, "mlp/d1"), nn.ReLU(), _dense(given, "mlp/top")

    def forward(self, x):
        return self.top(self.r1(self.d1(x.flatten(1))))


def nets(given):
    return {"conv": Conv(given).eval(), "mlp": Mlp(given).eval()}


def inputs(given):
    """Return both samples with a batch axis, channels first."""
    return {
        "conv": torch.tensor(given["conv/x"]).permute(2, 0, 1)[None].contiguous(),
        "mlp": torch.tensor(given["mlp/x"])[None],
    }


def first(pictures):
    """Return pictures `(…, rows, columns, channels)` channels first, as a tensor."""
    return torch.tensor(pictures).movedim(-1, -3).contiguous()


def last(tensor):
    """Return one picture of a batch of one as `(rows, columns, channels)`."""
    return tensor.detach()[0].permute(1, 2, 0).numpy()


def logits(given):
    return {name: net(inputs(given)[name]).detach()[0].numpy() for name, net in nets(given).items()}


def _conv(given, name):
    kernel = torch.tensor(given[f"{name}/kernel"]).permute(3, 2, 0, 1).contiguous()
    layer = nn.Conv2d(kernel.shape[1], kernel.shape[0], tuple(kernel.shape[2:]))
    return _filled(layer, kernel, given[f"{name}/bias"])


def _dense(given, name):
    kernel = torch.tensor(given[f"{name}/kernel"]).T.contiguous()
    return _filled(nn.Linear(kernel.shape[1], kernel.shape[0]), kernel, given[f"{name}/bias"])


def _filled(layer, kernel, bias):
    with torch.no_grad():
        layer.weight.copy_(kernel)
        layer.bias.copy_(torch.tensor(bias))
    return layer
