"""One input gradient through the packer, batch norm folded, against a bare compiled loop and against a forward pass.

The bare loop is what a careful user writes (`bare.py`); the forward pass is Keras's own, compiled: the least that any
explanation of a picture can take. Random weights, random batch-norm scales and statistics, one batch on all sides.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from bare import bare
from common import Row, clocked, finish, interleaved, model, ratio, workshop
from engine import opened, solver

from saliency_cli.autodiff.runtime import keras, tf

BATCH, ROUNDS = 8, 7
# model → batches a round; against the bare loop and against the forward pass: predicted, bound
CASES = {
    "mobilenetv2": (8, (("0.72", 0.75), ("1.6", 1.7))),
    "resnet50": (3, (("0.88", 0.90), ("1.9", 2.0))),
    "efficientnetv2b0": (5, (("0.88", 0.90), None)),
}


def forward(path: Path) -> Callable[[int], None]:
    """Return a function that computes that many batches of Keras's scores, compiled before and called once."""
    live = keras.saving.load_model(path, compile=False)
    shape = (BATCH, *live.input_shape[1:])

    @tf.function(autograph=False, input_signature=[tf.TensorSpec(shape, tf.float32)])
    def scores(x):
        return live(x, training=False)

    buffer = np.random.default_rng(0).random(shape, np.float32)

    def loop(batches: int) -> None:
        for _ in range(batches):
            scores(tf.constant(buffer)).numpy()

    loop(2)
    return loop


def against(name: str, path: Path) -> list[Row]:
    """Compare with the bare loop of as many gradients, and with as many forward passes."""
    batches, bounds = CASES[name]
    run = solver(opened(path, BATCH), "gradient", BATCH * batches)
    loop, passes = bare(path, BATCH), forward(path)
    tries = [run, lambda: loop(batches), lambda: passes(batches)]
    taken = interleaved(ROUNDS, *(lambda call=call: clocked(call) for call in tries))
    ours, *others = ([spent.wall for spent in each] for each in taken)
    scale = " : ".join(f"{1000 * min(walls) / batches / BATCH:.1f}" for walls in (ours, *others))
    rows = []
    for what, walls, bound in zip(("bare loop", "Keras's forward pass"), others, bounds, strict=True):
        label, value = f"gradient, {name} : {what}", ratio(ours, walls)
        note = f"ours : loop : forward {scale} ms a picture" if walls is others[0] else ""
        if bound is None:
            rows.append(Row(label, "1.9", f"{value:.2f}"))
        else:
            predicted, most = bound
            rows.append(Row.ratio(label, predicted, value, most, note))
    return rows


def measure() -> list[Row]:
    with workshop() as folder:
        return [row for name in CASES for row in against(name, model(folder, name))]


if __name__ == "__main__":
    finish(measure)
