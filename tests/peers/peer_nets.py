"""Two tiny networks in Keras, a sample of each, our maps of them, and everything that ours drew at random.

`given()` is what the peers' scripts get: plain arrays, so that they need nothing of ours.
"""

from functools import lru_cache

import numpy as np

TARGET, POINTS, DRAWS, EPSILON, NEURON = 1, 12, 16, 0.01, (1, 2, 3)
RADII = (0.01, 0.03, 0.1, 0.3)
LIME = {"draws": 60, "width": 0.25, "alpha": 1.0, "cells": 2, "features": "grid"}


@lru_cache
def weights():
    random = np.random.default_rng(203)  # the target is negative and not on top, its Grad-CAM has both signs

    def layer(*shape):
        fan_in = np.prod(shape[:-1])
        return random.normal(0, np.sqrt(2 / fan_in), shape), random.normal(0, 0.1, shape[-1])

    shapes = {
        "conv/c1": (3, 3, 3, 6),
        "conv/c2": (3, 3, 6, 8),
        "conv/top": (128, 4),
        "mlp/d1": (12, 10),
        "mlp/top": (10, 4),
    }
    found = {}
    for name, shape in shapes.items():
        kernel, bias = layer(*shape)
        found |= {f"{name}/kernel": np.float32(kernel), f"{name}/bias": np.float32(bias)}
    return found


@lru_cache
def samples():
    random = np.random.default_rng(3)
    return {"conv": random.random((8, 8, 3), np.float32), "mlp": random.normal(size=12).astype(np.float32)}


@lru_cache
def keras_nets():
    from saliency_cli.autodiff.runtime import keras

    conv = keras.Sequential(
        [
            keras.Input((8, 8, 3), name="x"),
            keras.layers.Conv2D(6, 3, activation="relu", name="c1"),
            keras.layers.Conv2D(8, 3, activation="relu", name="c2"),
            keras.layers.Flatten(),
            keras.layers.Dense(4, activation="softmax", name="top"),
        ]
    )
    mlp = keras.Sequential(
        [
            keras.Input((12,), name="x"),
            keras.layers.Dense(10, activation="relu", name="d1"),
            keras.layers.Dense(4, activation="softmax", name="top"),
        ]
    )
    nets = {"conv": conv, "mlp": mlp}
    for prefix, net in nets.items():
        for layer in net.layers:
            if layer.weights:
                layer.set_weights([weights()[f"{prefix}/{layer.name}/{part}"] for part in ("kernel", "bias")])
    return nets


@lru_cache
def model(name="conv"):
    import saliency_cli

    return saliency_cli.wrap(keras_nets()[name])


def attributed(method, name="conv", *, x=None, metrics=(), **settings):
    """Our attribution of the sample by the Python interface; channels are summed for metrics."""
    x = samples()[name] if x is None else x
    settings = {"target": TARGET, "reduce": "sum", "batch_size": 8} | settings
    return model(name).attribute(x, method=method, metrics=metrics, **settings)


def ours(method, name="conv", *, x=None, **options):
    return attributed(method, name, x=x, options=options).values


def measured(metric, method="gradient", name="conv", *, options=None, **settings):
    """The value of one metric of a map; its options stand in its name."""
    found = attributed(method, name, metrics=(metric,), options=options or {}, **settings)
    ((label, value),) = found.metrics.items()
    assert value is not None, (label, found.record.notes)
    return value


def metric(name, **options):
    from saliency_cli.runs.needs import METRICS

    return METRICS.build(name, options)


def subject_of(plane, **facts):
    """A subject that has a plane, for metrics that look at nothing else."""
    from saliency_cli.subject import Subject

    known = {"weights": np.ones(1), "value": 0.0, "logits": np.empty(0), "scores": np.empty(0), "top": 0}
    return Subject(sample(), {}, "x", plane, attribute=None, **known | facts)


def compared(name, plane, other):
    """The value of a metric that compares two maps."""
    from saliency_cli.subject import Reference, evaluate

    return evaluate(metric(name), subject_of(plane, reference=Reference(other)), None).value


def sample(name="conv"):
    """The sample as the methods get it: what is drawn depends on its content and the seed."""
    from saliency_cli.differentiable import Sample

    (key,) = model(name).inputs
    return Sample({key: samples()[name]}, (key,), lambda _: {key: np.zeros_like(samples()[name])})


def near_copies(purpose, radius, draws):
    from saliency_cli.metrics.max_sensitivity import neighbour

    (key,) = model().inputs
    return np.stack([neighbour(sample(), purpose, draw, radius)[key] for draw in range(draws)])


def noisy_copies(noise, draws):
    """The points x − I of infidelity."""
    (key,), x = model().inputs, samples()["conv"]
    sigma = noise * (float(x.max()) - float(x.min()))
    normal = [sample().generator(f"infidelity|{key}", draw).standard_normal(x.shape) for draw in range(draws)]
    return np.stack([x - sigma * each for each in normal]).astype(np.float32)


def smooth_noise(noise, draws):
    (key,), x = model().inputs, samples()["conv"]
    sigma, found = np.float32(noise * (float(x.max()) - float(x.min()))), np.empty((draws, *x.shape), np.float32)
    for draw in range(draws):
        sample().normal(key, draw, found[draw])
    return found * sigma


def references():
    return np.random.default_rng(8).random((5, 8, 8, 3), np.float32)


def expected_draws(draws):
    """The reference and the share of the way of every draw of expected gradients with `sampling=plain`."""
    drawn = [sample().generator("expected-gradients", draw) for draw in range(draws)]
    pairs = [(int(random.integers(5)), float(random.random())) for random in drawn]
    return np.array([row for row, _ in pairs]), np.array([t for _, t in pairs])


def groups():
    """Four cells of 4 × 4 places."""
    return np.repeat(np.repeat(np.arange(4).reshape(2, 2), 4, 0), 4, 1)


def lime_kept():
    kept = [sample().generator("lime", draw).random(4) < 0.5 for draw in range(LIME["draws"])]
    return np.array([np.ones(4, bool), *kept[1:]])


def subsets(name, count, size, draws):
    return np.stack([sample(name).generator("mufidelity", draw).permutation(count)[:size] for draw in range(draws)])


def rise_masks(draws, cells):
    from saliency_cli.methods.rise import Rise

    (key,) = model().inputs
    method = Rise(draws=draws, cells=cells)
    return np.stack([method.mask(sample(), key, draw)[..., 0] for draw in range(draws)])


def other_class():
    others = [c for c in range(4) if c != TARGET]
    return others[int(sample().generator("random-logit", 0).integers(3))]


def drawn_weights():
    """The convolutional network's weights with 1, 2 and 3 layers drawn anew, by depth."""
    from saliency_cli.autodiff.randomising import redrawn

    named = {tuple(weight.name.split("/")[-2:]): weight for weight in model()._model.weights}
    found = {}
    for depth, layers in enumerate((("top",), ("top", "c2"), ("top", "c2", "c1")), 1):
        for layer in ("c1", "c2", "top"):
            for part in ("kernel", "bias"):
                value = weights()[f"conv/{layer}/{part}"]
                if layer in layers:
                    value = redrawn(named[layer, part], 0, kernel=part == "kernel")
                found[f"drawn{depth}/conv/{layer}/{part}"] = np.asarray(value, np.float32)
    return found


def regions():
    from saliency_cli.segmentation import regions as found

    masks = np.zeros((len(each := found(samples()["conv"], 2)), 64), bool)
    for row, places in zip(masks, each, strict=True):
        row[places] = True
    return masks.reshape(-1, 8, 8)


def complete():
    """Integrated gradients, scaled so that they add up to the change of the target from zero."""
    found = np.float64(ours("integrated-gradients", points=POINTS))
    ends = [
        attributed("gradient", x=x).record.target.value for x in (samples()["conv"], np.zeros((8, 8, 3), np.float32))
    ]
    return np.float32(found * ((ends[0] - ends[1]) / found.sum()))


def mask():
    found = np.zeros((8, 8), bool)
    found[2:6, 3:7] = True
    return found


@lru_cache
@lru_cache
def attacked():
    """Samples for attacks, the classes on top of them, others as targets, and radii in both norms."""
    x = np.random.default_rng(21).random((24, 8, 8, 3), np.float32)
    y = keras_nets()["conv"].predict(x, verbose=0).argmax(axis=1)
    radii = {"attack/radii": np.array([0.02, 0.05, 0.1]), "attack/radii2": np.array([0.15, 0.4, 0.8])}
    return {"attack/x": x, "attack/y": y, "attack/target": (y + 1) % 4, **radii}


@lru_cache
def attack_engine():
    from saliency_cli.runs.engine import compile_engine
    from saliency_cli.runs.request import ComputeRequest

    return compile_engine(model()._model, model()._device, ComputeRequest("", batch_size=1), single=True)


def perturbed(attack, norm, epsilon, *, targets=None, **settings):
    """Our perturbed samples in the model's units, in [0, 1], whether or not they flip."""
    from saliency_cli.runs.inquiring import inquire
    from saliency_cli.runs.request import ComputeRequest
    from saliency_cli.studies.perturb import Perturb

    found = []
    for k, x in enumerate(attacked()["attack/x"]):
        to = None if targets is None else str(targets[k])
        study = Perturb(attack, settings, epsilon, norm, to, valid_range=(0.0, 1.0))
        (array,) = inquire(attack_engine(), x, ComputeRequest(""), study).found.arrays.values()
        found.append(array)
    return np.stack(found)


def given():
    gradient, plane = ours("gradient"), np.abs(ours("gradient").sum(-1, dtype=np.float64))
    other = np.abs(ours("gradient-times-input").sum(-1, dtype=np.float64))
    k = round(0.25 * plane.size)
    top = np.zeros(plane.shape, bool)
    top.flat[np.argsort(-other, axis=None)[:k]] = True
    tied = np.zeros((8, 8))
    tied[[0, 3, 4], [0, 4, 5]] = 1.0
    rows, ts = expected_draws(DRAWS)
    return {
        **weights(),
        **drawn_weights(),
        "target": np.array(TARGET),
        "points": np.array(POINTS),
        "conv/x": samples()["conv"],
        "mlp/x": samples()["mlp"],
        "conv/gradient": gradient,
        "conv/plane": plane,
        "conv/ig": ours("integrated-gradients", points=POINTS),
        "mlp/gradient": ours("gradient", "mlp"),
        "mlp/ig": ours("integrated-gradients", "mlp", points=POINTS),
        "fgsm_grid": 0.5 ** np.arange(8, -1, -1),
        "pgd_radii": np.array(RADII),
        "pgd_steps": np.array(10),
        "conv/pgd_start": sample().generator("pgd-flip-rate|x", 0).uniform(-1, 1, (8, 8, 3)).astype(np.float32),
        "conv/complete": complete(),
        "conv/mask": mask(),
        "conv/tied": tied,
        "conv/k": np.array(k),
        "conv/other_top": top,
        "conv/other_class": np.array(other_class()),
        "conv/sensitivity_copies": near_copies("max-sensitivity", 0.02, 10),
        "conv/lipschitz_copies": near_copies("local-lipschitz", 0.02, 10),
        "conv/noisy_copies": noisy_copies(0.1, 30),
        "conv/smooth_noise": smooth_noise(0.15, DRAWS),
        "conv/references": references(),
        "conv/eg_rows": rows,
        "conv/eg_ts": ts,
        "conv/groups": groups(),
        "conv/regions": regions(),
        "conv/lime_kept": lime_kept(),
        "lime_width": np.array(LIME["width"]),
        "lime_alpha": np.array(LIME["alpha"]),
        "conv/rise_masks": rise_masks(DRAWS, 4),
        "mlp/subsets": subsets("mlp", 12, 2, 40),
        **attacked(),
        "epsilon": np.array(EPSILON),
        "neuron": np.array(NEURON),
        "conv/cells": np.stack([np.isin(np.arange(64), each) for each in subsets("conv", 64, 13, 40)]),
    }
