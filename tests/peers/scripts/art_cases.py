"""ART's attacks on the PyTorch twin: every sample at every radius, in the model's units."""

import numpy as np
import torch
from art.attacks.evasion import BasicIterativeMethod, DeepFool, FastGradientMethod, ProjectedGradientDescentPyTorch
from art.estimators.classification import PyTorchClassifier
from peer_cases import run
from torch_twin import logits, nets

torch.manual_seed(0)
np.random.seed(0)  # noqa: NPY002 ART draws from there


def twin(given):
    return logits(given)


def _set(given):
    net = nets(given)["conv"]
    classifier = PyTorchClassifier(net, torch.nn.CrossEntropyLoss(), (3, 8, 8), 4, clip_values=(0.0, 1.0))
    return classifier, np.moveaxis(given["attack/x"], -1, 1).copy(), np.eye(4)[given["attack/y"]]


def _perturbed(given, radii, build):
    classifier, x, y = _set(given)
    found = [build(classifier, float(radius)).generate(x, y) for radius in radii]
    return np.stack([np.moveaxis(each, 1, -1) for each in found])


def fgsm(given):
    return {"x": _perturbed(given, given["attack/radii"], lambda c, eps: FastGradientMethod(c, np.inf, eps))}


def fgm(given):
    return {"x": _perturbed(given, given["attack/radii2"], lambda c, eps: FastGradientMethod(c, 2, eps))}


def iterative(given):
    def build(classifier, eps):
        return BasicIterativeMethod(classifier, eps, eps * 0.125, max_iter=10, verbose=False)

    return {"x": _perturbed(given, given["attack/radii"], build)}


def pgd(given):
    def build(norm):
        return lambda classifier, eps: ProjectedGradientDescentPyTorch(
            classifier, norm, eps, eps * 0.125, max_iter=20, num_random_init=1, verbose=False
        )

    return {
        "x": _perturbed(given, given["attack/radii"], build(np.inf)),
        "x2": _perturbed(given, given["attack/radii2"], build(2)),
    }


def deepfool(given):
    classifier, x, _ = _set(given)
    attack = DeepFool(classifier, max_iter=50, epsilon=0.02, nb_grads=4, verbose=False)
    return {"2": np.moveaxis(attack.generate(x), 1, -1)}


run("adversarial-robustness-toolbox", [twin, fgsm, fgm, iterative, pgd, deepfool])
