"""shap's Kernel SHAP and expected gradients on the PyTorch twin, with our draws."""

import warnings
from itertools import cycle

import numpy as np
import shap
import torch
from peer_cases import run
from torch_twin import first, inputs, logits, nets

warnings.simplefilter("ignore")


def twin(given):
    return logits(given)


def kernel_shap(given):
    """All 2¹² sets of columns; the background is one row of zeros, as our baseline is."""
    net, target = nets(given)["mlp"], int(given["target"])

    def value(rows):
        with torch.no_grad():
            return net(torch.tensor(rows, dtype=torch.float32))[:, target].double().numpy()

    explainer = shap.KernelExplainer(value, np.zeros((1, 12), np.float32))
    return {"value": explainer.shap_values(given["mlp/x"], nsamples=2**12, l1_reg=False, silent=True)}


def expected_gradients(given):
    net, x, target = nets(given)["conv"], inputs(given)["conv"], int(given["target"])
    references, rows, ts = first(given["conv/references"]), given["conv/eg_rows"], given["conv/eg_ts"]
    explainer = shap.GradientExplainer(net, references, batch_size=50, local_smoothing=0)
    choices, shares = cycle(rows), cycle(ts)
    real = np.random.choice, np.random.uniform
    np.random.choice, np.random.uniform = lambda *_, **__: next(choices), lambda *_, **__: next(shares)
    try:
        found = explainer.shap_values(x, nsamples=len(rows), rseed=0)
    finally:
        np.random.choice, np.random.uniform = real
    return {"value": np.moveaxis(found[0, ..., target], 0, -1)}


def deep(given):
    net, x, target = nets(given)["conv"], inputs(given)["conv"], int(given["target"])
    found = shap.DeepExplainer(net, first(given["conv/references"])).shap_values(x, check_additivity=False)
    return {"value": np.moveaxis(found[0, ..., target], 0, -1)}


run("shap", [twin, kernel_shap, expected_gradients, deep])
