"""Quantus's metrics on the PyTorch twin, fed with our maps, our perturbed copies and our drawn weights."""

import warnings
from copy import deepcopy

import numpy as np
import quantus
import torch
from peer_cases import run
from torch_twin import first, inputs, logits, nets

warnings.simplefilter("ignore")
QUIET = {"disable_warnings": True, "display_progressbar": False}
PLAIN = {"abs": False, "normalise": False, **QUIET}


def twin(given):
    return logits(given)


def planes(given):
    """Metrics of a map alone, or of a map and a mask."""
    x, plane, mask = first(given["conv/x"])[None].numpy(), given["conv/plane"], given["conv/mask"]
    tied = given["conv/tied"]

    def asked(metric, values=plane, s=None):
        a = np.array(values, np.float64)[None, None]
        s = None if s is None else np.array(s)[None, None]
        return metric(model=None, x_batch=x, y_batch=np.array([0]), a_batch=a, s_batch=s, channel_first=True)[0]

    return {
        "gini": asked(quantus.Sparseness(**PLAIN)),
        "entropy": asked(quantus.Complexity(**PLAIN)),
        "pointing": [asked(quantus.PointingGame(**PLAIN), s=each) for each in (mask, ~mask)],
        "pointing_tied": asked(quantus.PointingGame(**PLAIN), tied, mask),
        "mass": asked(quantus.RelevanceMassAccuracy(**PLAIN), s=mask),
        "rank": asked(quantus.RelevanceRankAccuracy(**PLAIN), s=mask),
        "topk": asked(quantus.TopKIntersection(k=int(given["conv/k"]), **PLAIN), s=given["conv/other_top"]),
    }


def _explain(model, inputs, targets, **_):
    """A plain gradient as Quantus wants an explanation: channels first, in NumPy."""
    x = torch.as_tensor(inputs, dtype=torch.float32).clone().requires_grad_()
    chosen = model(x)[torch.arange(len(x)), torch.as_tensor(np.asarray(targets)).long()]
    return torch.autograd.grad(chosen.sum(), x)[0].numpy()


def _common(given, name="conv"):
    net, x = nets(given)[name], inputs(given)[name].numpy()
    x = x if name == "conv" else x[:, None]
    return {"model": net, "x_batch": x, "y_batch": np.array([int(given["target"])]), "channel_first": True}


def _replay(copies):
    """A perturbation that hands out the given copies one after the other."""
    left = iter(copies.reshape(len(copies), 1, -1))
    return lambda arr, indices, **_: next(left).astype(arr.dtype)


def stability(given):
    facts = _common(given)
    a, found = first(given["conv/gradient"])[None].numpy(), {}
    for name, kind, copies in (
        ("max_sensitivity", quantus.MaxSensitivity, "conv/sensitivity_copies"),
        ("local_lipschitz", quantus.LocalLipschitzEstimate, "conv/lipschitz_copies"),
    ):
        replayed = first(given[copies]).numpy()
        metric = kind(nr_samples=len(replayed), perturb_func=_replay(replayed), **PLAIN)
        found[name] = metric(**facts, a_batch=a, explain_func=_explain)[0]
    return found


def infidelity(given):
    """One patch as large as the picture, so that our noise can stand for Quantus's black squares."""
    facts, copies = _common(given), first(given["conv/noisy_copies"]).numpy()
    metric = quantus.Infidelity(
        n_perturb_samples=len(copies), perturb_patch_sizes=[8], perturb_func=_replay(copies), **PLAIN
    )
    own = quantus.Infidelity(n_perturb_samples=1, perturb_patch_sizes=[4], perturb_baseline=0.0, **PLAIN)
    a = first(given["conv/gradient"])[None].numpy()
    return {"replayed": metric(**facts, a_batch=a)[0], "own": own(**facts, a_batch=a)[0]}


def completeness(given):
    facts = _common(given)
    metric = quantus.Completeness(perturb_baseline=0.0, **PLAIN)
    return {"verdict": metric(**facts, a_batch=first(given["conv/complete"])[None].numpy())[0]}


def pixel_flipping(given):
    facts = _common(given, "mlp") | {"softmax": True}
    metric = quantus.PixelFlipping(features_in_step=1, perturb_baseline=0.0, **PLAIN)
    return {"curve": metric(**facts, a_batch=np.abs(given["mlp/gradient"])[None, None])[0]}


def faithfulness_correlation(given):
    facts, subsets = _common(given, "mlp") | {"softmax": True}, given["mlp/subsets"]
    left, real = iter(subsets), np.random.choice
    metric = quantus.FaithfulnessCorrelation(
        nr_runs=len(subsets), subset_size=subsets.shape[1], perturb_baseline=0.0,
        **{**PLAIN, "return_aggregate": False},
    )  # fmt: skip
    np.random.choice = lambda *_, **__: next(left)
    try:
        return {"value": metric(**facts, a_batch=given["mlp/ig"][None, None])[0]}
    finally:
        np.random.choice = real


def random_logit(given):
    facts = _common(given)
    real = np.random.randint
    metric = quantus.RandomLogit(
        num_classes=4, similarity_func=quantus.similarity_func.correlation_pearson, **PLAIN | {"abs": True}
    )
    others = [c for c in range(4) if c != int(given["target"])]
    np.random.randint = lambda *_, **__: np.array([others.index(int(given["conv/other_class"]))])
    try:
        return {"value": metric(**facts, a_batch=_plane(given), explain_func=_folded)[0]}
    finally:
        np.random.randint = real


def _plane(given):
    return given["conv/plane"][None, None].astype(np.float32)


def _folded(model, inputs, targets, **_):
    """|Σ over channels of the gradient|, as our metrics fold a map here."""
    return np.abs(_explain(model, inputs, targets).sum(1, keepdims=True))


def model_randomisation(given):
    """Quantus's cascade, with the weights that we drew anew in place of its own."""
    from quantus.helpers.model.pytorch_model import PyTorchModel

    facts = _common(given)
    drawn = [{name: given[f"drawn{depth}/{name}"] for name in _NAMES} for depth in (1, 2, 3)]

    def layers(self, order="top_down", seed=0):
        for weights, name in zip(drawn, ("top", "c2", "c1"), strict=True):
            yield name, nets({**given, **weights})["conv"]

    real = PyTorchModel.get_random_layer_generator
    PyTorchModel.get_random_layer_generator = layers
    known = {"a_batch": _plane(given), "explain_func": _folded}
    settings = {"similarity_func": quantus.similarity_func.correlation_pearson, **PLAIN, "abs": True}
    try:
        scores = quantus.MPRT(**settings)(**deepcopy(facts), **known)
        mean = quantus.MPRT(**settings, return_average_correlation=True)(**deepcopy(facts), **known)
    finally:
        PyTorchModel.get_random_layer_generator = real
    return {"scores": [scores[name][0] for name in ("top", "c2", "c1")], "mean": mean[0]}


_NAMES = [f"conv/{layer}/{part}" for layer in ("c1", "c2", "top") for part in ("kernel", "bias")]

run(
    "quantus",
    [
        twin, planes, stability, infidelity, completeness, pixel_flipping, faithfulness_correlation, random_logit,
        model_randomisation,
    ],
)  # fmt: skip
