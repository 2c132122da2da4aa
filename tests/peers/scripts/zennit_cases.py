"""Zennit's attributors and rules on the PyTorch twin."""

import no_torchvision  # noqa: F401 — before zennit, which imports torchvision
import torch
import zennit.attribution as attribution
from peer_cases import run
from torch_twin import inputs, last, logits, nets
from zennit.composites import NameMapComposite
from zennit.rules import AlphaBeta, Epsilon, Flat, Gamma, Pass, WSquare, ZBox, ZPlus


def twin(given):
    return logits(given)


def _both(given):
    target = torch.eye(4)[[int(given["target"])]]
    return nets(given)["conv"], inputs(given)["conv"], target


def gradient(given):
    net, x, target = _both(given)
    with attribution.Gradient(net) as attributor:
        return {"value": last(attributor(x.clone(), target)[1])}


def integrated_gradients(given):
    net, x, target = _both(given)
    with attribution.IntegratedGradients(net, n_iter=int(given["points"])) as attributor:
        return {"value": last(attributor(x.clone(), target)[1])}


def smoothgrad(given):
    """Of n draws zennit's last has no noise; the others get ours."""
    net, x, target = _both(given)
    # It multiplies what it draws by the range of the sample.
    noise = torch.tensor(given["conv/smooth_noise"]).movedim(-1, -3) / (x.max() - x.min())
    left, real = iter(noise[:, None]), torch.randn_like
    torch.randn_like = lambda *_, **__: next(left)
    try:
        with attribution.SmoothGrad(net, noise_level=1.0, n_iter=len(noise) + 1) as attributor:
            found = attributor(x.clone(), target)[1]
    finally:
        torch.randn_like = real
    return {"value": last(found), "n": len(noise) + 1}


def _relevance(given, rules, start=None):
    """Relevance by a rule for each layer; it starts as the target's value, or as `start`."""
    net, x, target = _both(given)
    activations = [(name, Pass()) for name in ("r1", "r2")]
    composite = NameMapComposite([([name], rule) for name, rule in [*rules.items(), *activations]])
    value = net(x).detach() if start is None else start
    with attribution.Gradient(net, composite) as attributor:
        return last(attributor(x.clone(), target * value)[1])


def _everywhere(rule):
    return {name: rule() for name in ("c1", "c2", "top")}


def _epsilon(given):
    """Zennit's ε is a number; ours a share of the root mean square of what a layer gives out."""
    net, x, _ = _both(given)
    before = {"c1": net.c1(x)}
    before["c2"] = net.c2(net.r1(before["c1"]))
    before["top"] = net.top(net.flat(net.r2(before["c2"])))
    share = float(given["epsilon"])
    return {name: Epsilon(share * float(z.detach().square().mean().sqrt())) for name, z in before.items()}


def lrp(given):
    _, x, _ = _both(given)
    epsilon = _epsilon(given)
    plus = {"c1": ZPlus(), "c2": ZPlus()}
    box = ZBox(low=torch.zeros_like(x), high=torch.ones_like(x), zero_params="bias")
    without = {name: ZPlus(zero_params="bias") for name in ("c2", "top")}
    return {
        "lrp-epsilon": _relevance(given, epsilon),
        "lrp-gamma": _relevance(given, _everywhere(lambda: Gamma(0.25))),
        "lrp-zplus": _relevance(given, _everywhere(ZPlus)),
        "lrp-alpha-beta": _relevance(given, _everywhere(lambda: AlphaBeta(2, 1))),
        "lrp-epsilon-plus": _relevance(given, epsilon | plus),
        "lrp-epsilon-plus-flat": _relevance(given, epsilon | plus | {"c1": Flat()}),
        "lrp-epsilon-alpha2-beta1": _relevance(given, epsilon | {"c1": AlphaBeta(2, 1), "c2": AlphaBeta(2, 1)}),
        "lrp-zbox": _relevance(given, epsilon | {"c1": box, "c2": Gamma(0.25)}),
        "wsquare": _relevance(given, epsilon | {"c1": WSquare(zero_params="bias")}),
        "deep-taylor": _relevance(given, without | {"c1": box}),
        "excitation-backprop": _relevance(given, without | {"c1": ZPlus(zero_params="bias")}, start=1.0),
    }


run("zennit", [twin, gradient, integrated_gradients, smoothgrad, lrp])
