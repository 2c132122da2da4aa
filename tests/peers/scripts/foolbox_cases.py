"""Foolbox's attacks on the PyTorch twin: every sample at every radius, in the model's units."""

import eagerpy
import foolbox as fb
import numpy as np
import torch
from peer_cases import run
from torch_twin import first, logits, nets

torch.manual_seed(0)


def twin(given):
    return logits(given)


def _set(given):
    model = fb.PyTorchModel(nets(given)["conv"], bounds=(0, 1), device="cpu")
    return model, first(given["attack/x"]), torch.tensor(given["attack/y"])


def _perturbed(attack, given, radii):
    """Return the perturbed samples `(radii, n, rows, columns, channels)`."""
    model, x, y = _set(given)
    found = [attack(model, x, y, epsilons=float(radius))[1] for radius in radii]
    return np.stack([each.permute(0, 2, 3, 1).numpy() for each in found])


def fgsm(given):
    return {"x": _perturbed(fb.attacks.LinfFastGradientAttack(random_start=False), given, given["attack/radii"])}


def fgm(given):
    return {"x": _perturbed(fb.attacks.L2FastGradientAttack(random_start=False), given, given["attack/radii2"])}


def iterative(given):
    attack = fb.attacks.LinfBasicIterativeAttack(rel_stepsize=0.125, steps=10, random_start=False)
    return {"x": _perturbed(attack, given, given["attack/radii"])}


def pgd(given):
    attack = fb.attacks.LinfProjectedGradientDescentAttack(rel_stepsize=0.125, steps=20, random_start=True)
    two = fb.attacks.L2ProjectedGradientDescentAttack(rel_stepsize=0.125, steps=20, random_start=True)
    return {
        "x": _perturbed(attack, given, given["attack/radii"]),
        "x2": _perturbed(two, given, given["attack/radii2"]),
    }


def targeted(given):
    model, x, _ = _set(given)
    criterion = fb.criteria.TargetedMisclassification(eagerpy.astensor(torch.tensor(given["attack/target"])))
    attack = fb.attacks.LinfProjectedGradientDescentAttack(rel_stepsize=0.125, steps=20, random_start=False)
    found = [attack(model, x, criterion, epsilons=float(radius))[1] for radius in given["attack/radii"]]
    return {"x": np.stack([each.permute(0, 2, 3, 1).numpy() for each in found])}


def deepfool(given):
    model, x, y = _set(given)
    found = {}
    for name, attack in (("inf", fb.attacks.LinfDeepFoolAttack), ("2", fb.attacks.L2DeepFoolAttack)):
        perturbed = attack(steps=50, candidates=4, overshoot=0.02, loss="logits")(model, x, y, epsilons=None)[0]
        found[name] = perturbed.permute(0, 2, 3, 1).numpy()
    return found


def saturated(given):
    """The logits a hundred times as large: the softmax of float32 is exactly 1."""
    net = nets(given)["conv"]
    with torch.no_grad():
        net.top.weight *= 100
        net.top.bias *= 100
    model = fb.PyTorchModel(net, bounds=(0, 1), device="cpu")
    x, y = first(given["attack/x"]), torch.tensor(given["attack/y"])
    attack = fb.attacks.LinfFastGradientAttack(random_start=False)
    found = attack(model, x, y, epsilons=float(given["attack/radii"][-1]))[1]
    return {"x": found.permute(0, 2, 3, 1).numpy()}


run("foolbox", [twin, fgsm, fgm, iterative, pgd, targeted, deepfool, saturated])
