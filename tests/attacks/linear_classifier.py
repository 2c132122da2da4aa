"""A linear classifier in NumPy that answers an attack's asks as the engine does, and balls around its inputs."""

import numpy as np

from saliency_cli.differentiable import Answer, Sample
from saliency_cli.registry import Registry
from saliency_cli.threat import Ball, Goal, Reach

ATTACKS = Registry("saliency_cli.attacks", "attack")


class Linear:
    """z = Σ W·x + b over the inputs by name, in float64. `asked` holds every ask, `points` what was asked about."""

    def __init__(self, weights, bias=0.0):
        weights = weights if isinstance(weights, dict) else {"x": weights}
        self.weights = {name: np.asarray(w, np.float64) for name, w in weights.items()}
        self.bias = np.asarray(bias, np.float64)
        self.asked, self.points = [], []

    def logits(self, inputs):
        return sum(w.reshape(len(w), -1) @ np.ravel(inputs[name]) for name, w in self.weights.items()) + self.bias

    def answer(self, ask, sample):
        self.asked.append(ask)
        assert ask.n == 1
        out = {name: np.full_like(sample.inputs[name], np.nan) for name in sample.floating}
        ask.point(0, out)
        self.points.append({name: array.copy() for name, array in out.items()})
        z = self.logits({**sample.inputs, **out})
        scores, slopes = scored(z, ask.trace.space)
        gradients = {n: np.tensordot(ask.about @ slopes, w, 1) for n, w in self.weights.items()}
        value = np.array([ask.about @ scores])
        return Answer(value, np.array([z.argmax()]), gradients if ask.trace.gradient else {}, logits=z)

    def solve(self, program, sample):
        try:
            ask = next(program)
            while True:
                ask = program.send(self.answer(ask, sample))
        except StopIteration as stop:
            return stop.value

    def attack(self, attack, ball, goal, **settings):
        built = ATTACKS.build(attack, settings) if isinstance(attack, str) else attack
        return self.solve(built.perturb(ball, goal), ball.sample)

    @property
    def gradients(self):
        return sum(ask.trace.gradient for ask in self.asked)


def scored(z, space):
    """The classes' scores in a space, and their derivatives by the logits `(classes, classes)`."""
    if space == "logit":
        return z, np.eye(len(z))
    scores, slopes = np.empty(len(z)), np.eye(len(z))
    for k in range(len(z)):
        others = np.delete(np.arange(len(z)), k)
        if space == "log-odds":
            ahead = np.logaddexp.reduce(z[others])
            slopes[k, others] = -np.exp(z[others] - ahead)
        else:
            assert space == "margin"
            ahead = z[others].max()
            slopes[k, others[z[others].argmax()]] = -1
        scores[k] = z[k] - ahead
    return scores, slopes


def ball_around(x, epsilon=1.0, norm="inf", *, ends=(-100.0, 100.0), whole=False, scale=1.0, bounded=True, seed=0):
    """The ball around one array, or several by name; the model gets `scale` times the file's values."""
    given = {n: np.asarray(a, np.float64) for n, a in (x if isinstance(x, dict) else {"x": x}).items()}
    sample = Sample({n: np.float64(scale * a) for n, a in given.items()}, tuple(given), lambda _: {}, seed)
    radii = epsilon if isinstance(epsilon, dict) else dict.fromkeys(given, epsilon)

    def reach(name, start):
        return Reach(start, *ends, radii[name], whole, lambda v: scale * np.asarray(v), lambda g: scale * g)

    return Ball(sample, {name: reach(name, start) for name, start in given.items()}, norm, bounded)


def goal(model, ball, target=None, truth=None):
    z = model.logits(ball.sample.inputs)
    return Goal(int(z.argmax()) if truth is None else truth, len(z), target)


def moved(ball, found, name="x"):
    """How far an input was moved, in the units of its file."""
    return found.values[name] - ball.reaches[name].start
