"""Captum's methods and metrics on the PyTorch twin, fed with our noise, our draws and our groups."""

import warnings

import captum.attr as attr
import numpy as np
import torch
from captum.metrics import infidelity as captum_infidelity
from captum.metrics import sensitivity_max
from peer_cases import run
from torch_twin import first, inputs, last, logits, nets

warnings.simplefilter("ignore")


def twin(given):
    return logits(given)


def _both(given):
    return nets(given)["conv"], inputs(given)["conv"], int(given["target"])


def gradients(given):
    net, x, target = _both(given)
    return {
        "gradient": last(attr.Saliency(net).attribute(x.clone(), target=target, abs=False)),
        "gradient_times_input": last(attr.InputXGradient(net).attribute(x.clone(), target=target)),
    }


RULES = {
    "gauss-legendre": "gausslegendre", "midpoint": "riemann_middle", "trapezoid": "riemann_trapezoid",
    "left": "riemann_left", "right": "riemann_right",
}  # fmt: skip


def integrated_gradients(given):
    net, x, target = _both(given)
    n, found = int(given["points"]), {}
    for ours, theirs in RULES.items():
        values, delta = attr.IntegratedGradients(net).attribute(
            x, target=target, n_steps=n, method=theirs, return_convergence_delta=True
        )
        found |= {ours: last(values), f"delta-{ours}": delta[0].item()}
    return found


class Given:
    """Random functions that hand out what was drawn already, for the length of a block."""

    def __init__(self, **functions):
        places = {"normal": (torch, "normal"), "uniform": (np.random, "uniform"), "choice": (np.random, "choice")}
        self.places = [(*places[name], function) for name, function in functions.items()]

    def __enter__(self):
        self.real = [(owner, name, getattr(owner, name)) for owner, name, _ in self.places]
        for owner, name, function in self.places:
            setattr(owner, name, function)

    def __exit__(self, *_):
        for owner, name, function in self.real:
            setattr(owner, name, function)


def smoothgrad(given):
    net, x, target = _both(given)
    noise = first(given["conv/smooth_noise"])
    found = {}
    for ours, theirs in (("mean", "smoothgrad"), ("squared", "smoothgrad_sq"), ("variance", "vargrad")):
        with Given(normal=lambda *_, **__: noise):
            tunnel = attr.NoiseTunnel(attr.Saliency(net))
            values = tunnel.attribute(x, nt_type=theirs, nt_samples=len(noise), stdevs=1.0, target=target, abs=False)
        found[ours] = last(values)
    return found


def expected_gradients(given):
    net, x, target = _both(given)
    references, rows, ts = first(given["conv/references"]), given["conv/eg_rows"], given["conv/eg_ts"]
    draws = {"uniform": lambda *_, **__: ts.copy(), "choice": lambda *_, **__: rows.copy()}
    with Given(normal=lambda mean, std: torch.zeros(std.shape), **draws):
        values = attr.GradientShap(net).attribute(x, references, n_samples=len(rows), stdevs=0.0, target=target)
    return {"value": last(values)}


def occlusion(given):
    net, x, target = _both(given)

    def hidden(window, stride):
        return last(
            attr.Occlusion(net).attribute(
                x, sliding_window_shapes=(3, window, window), strides=(3, stride, stride), target=target, baselines=0
            )
        )

    return {"whole": hidden(4, 2), "cut": hidden(3, 2)}


def _groups(given):
    return torch.tensor(given["conv/groups"])[None, None].expand(1, 3, -1, -1).contiguous()


def ablation_and_shapley(given):
    net, x, target = _both(given)
    mask = _groups(given)
    settings = {"target": target, "feature_mask": mask, "baselines": 0}
    return {
        "ablation": last(attr.FeatureAblation(net).attribute(x, **settings)),
        "shapley": last(attr.ShapleyValues(net).attribute(x, **settings)),
        "columns": _column_ablation(given),
    }


def _column_ablation(given):
    found = attr.FeatureAblation(nets(given)["mlp"]).attribute(
        inputs(given)["mlp"], target=int(given["target"]), baselines=0
    )
    return found[0].numpy()


def lime(given):
    """Captum's LIME with our draws; its exponential kernel has 2·width² under D², ours width²."""
    from captum._utils.models.linear_model import SkLearnRidge

    net, x, target = _both(given)
    mask, kept = _groups(given), torch.tensor(given["conv/lime_kept"]).float()
    left = iter(kept[:, None])

    def weight(_, __, z, **___):
        return torch.exp(-((1 - torch.sqrt(z.mean())) ** 2) / float(given["lime_width"]) ** 2)

    method = attr.LimeBase(
        net,
        SkLearnRidge(alpha=float(given["lime_alpha"])),
        weight,
        lambda *_, **__: next(left),
        perturb_interpretable_space=True,
        from_interp_rep_transform=lambda z, original, **_: original * z[0][mask],
        to_interp_rep_transform=None,
    )
    return {"weights": method.attribute(x, target=target, n_samples=len(kept)).numpy()[0]}


def metrics(given):
    net, x, target = _both(given)
    a = first(given["conv/gradient"])[None]
    copies = first(given["conv/noisy_copies"])
    found = {}
    for name, normalised in (("infidelity", False), ("scaled", True)):
        found[name] = captum_infidelity(
            net, lambda *_: (x - copies, copies), x, a, target=target, n_perturb_samples=len(copies),
            normalize=normalised,
        )[0].item()  # fmt: skip
    with torch.no_grad():
        value = net(x)[0, target]
        found["changes"] = float(((value - net(copies)[:, target]) ** 2).mean())
    near = first(given["conv/sensitivity_copies"])

    def explain(pictures, target):
        (pictures,) = pictures if isinstance(pictures, tuple) else (pictures,)
        with torch.enable_grad():
            return (attr.Saliency(net).attribute(pictures.clone(), target=target, abs=False),)

    found["max_sensitivity"] = sensitivity_max(
        explain, x, perturb_func=lambda _: near, n_perturb_samples=len(near), target=target
    )[0].item()
    return found


def backwards(given):
    """Methods with rules of their own for the way back."""
    net, x, target = _both(given)
    references = first(given["conv/references"])
    deep = attr.DeepLift(net).attribute(x, torch.zeros_like(x), target=target)
    return {
        "deeplift": last(deep),
        "deep-shap": last(attr.DeepLiftShap(net).attribute(x, references, target=target)),
        "guided-backprop": last(attr.GuidedBackprop(net).attribute(x.clone(), target=target)),
        "deconvnet": last(attr.Deconvolution(net).attribute(x.clone(), target=target)),
    }


def layers(given):
    """Everything at the layer's own resolution, channels last."""
    net, x, target = _both(given)
    n, zero = int(given["points"]), torch.zeros_like(x)
    after = net.r2(net.c2(net.r1(net.c1(x)))).detach().requires_grad_()
    (slopes,) = torch.autograd.grad(net.top(net.flat(after))[0, target], after)
    settings = {"baselines": zero, "target": target}
    return {
        "gradient": last(slopes),
        "activation": last(attr.LayerActivation(net, net.r2).attribute(x)),
        "gradient-x-activation": last(attr.LayerGradientXActivation(net, net.r2).attribute(x, target=target)),
        "early": last(net.r1(net.c1(x))),
        "conductance": last(
            attr.LayerConductance(net, net.r1).attribute(x, n_steps=1000, method="riemann_trapezoid", **settings)
        ),
        "internal-influence": last(
            attr.InternalInfluence(net, net.r1).attribute(x, n_steps=n + 1, method="riemann_trapezoid", **settings)
        ),
        "layer-ig": last(
            attr.LayerIntegratedGradients(net, net.r1).attribute(x, n_steps=n, method="gausslegendre", **settings)
        ),
        "grad-cam": attr.LayerGradCam(net, net.r2).attribute(x, target=target)[0, 0].detach().numpy(),
        "guided-grad-cam": last(
            attr.GuidedGradCam(net, net.r2).attribute(x.clone(), target=target, interpolate_mode="bilinear")
        ),
    }


def biases(given):
    """What every convolution's bias contributes, by PyTorch alone."""
    net, x, target = _both(given)
    kept = {}
    for name in ("c1", "c2"):
        getattr(net, name).register_forward_hook(lambda _, __, output, name=name: kept.__setitem__(name, output))
    value = net(x)[0, target]
    slopes = torch.autograd.grad(value, list(kept.values()))
    found = {
        name: last(each * getattr(net, name).bias[:, None, None]) for name, each in zip(kept, slopes, strict=True)
    }
    return found | {"version": np.array(torch.__version__)}


def neurons(given):
    net, x, _ = _both(given)
    row, column, channel = given["neuron"].tolist()
    unit = (channel, row, column)
    found = attr.NeuronIntegratedGradients(net, net.r2).attribute(
        x, unit, n_steps=int(given["points"]), method="gausslegendre"
    )
    return {"gradient": last(attr.NeuronGradient(net, net.r2).attribute(x.clone(), unit)), "ig": last(found)}


def attacks(given):
    """The class on top along our grid of ε, and at each of our ε's after every step of PGD from our start."""
    from captum.robust import FGSM, PGD

    net, x, _ = _both(given)
    top = net(x).argmax(1)
    fast = FGSM(net, torch.nn.CrossEntropyLoss(reduction="none"), lower_bound=0, upper_bound=1)
    flips = [int(net(fast.perturb(x.clone(), float(e), top)).argmax(1) != top) for e in given["fgsm_grid"]]
    slow = PGD(net, torch.nn.CrossEntropyLoss(reduction="none"), lower_bound=0, upper_bound=1)
    found = []
    for radius in given["pgd_radii"].tolist():
        slow._random_point = lambda *_, radius=radius: x + radius * first(given["conv/pgd_start"])[None]
        steps = int(given["pgd_steps"])
        ways = [
            slow.perturb(x.clone(), radius, 2.5 * radius / steps, n, top, random_start=True) for n in range(steps + 1)
        ]
        found.append(max(int(net(way).argmax(1) != top) for way in ways))
    return {"fgsm": flips, "pgd": found}


run(
    "captum",
    [
        twin, gradients, integrated_gradients, smoothgrad, expected_gradients, occlusion, ablation_and_shapley, lime,
        metrics, attacks, backwards, layers, neurons, biases,
    ],
)  # fmt: skip
