"""The bare compiled loop a careful user would write: what the engine is measured against."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from saliency_cli.autodiff.runtime import keras, tf


def bare(path: Path, batch: int) -> Callable[[int], None]:
    """Return a function that computes that many batches of input gradients, one compiled call each.

    Compiled before it is returned, and called once.
    """
    live = keras.saving.load_model(path, compile=False)
    shape = (batch, *live.input_shape[1:])

    @tf.function(autograph=False, input_signature=[tf.TensorSpec(shape, tf.float32)])
    def gradient(x):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            top = tf.reduce_max(live(x, training=False), axis=-1)
        return tape.gradient(top, x)

    buffer = np.random.default_rng(0).random(shape, np.float32)

    def loop(batches: int) -> None:
        for _ in range(batches):
            gradient(tf.constant(buffer)).numpy()

    loop(2)
    return loop
