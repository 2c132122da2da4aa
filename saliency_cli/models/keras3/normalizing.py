"""A Keras model's batch normalisations, folded for the length of a trace into what comes before them."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from saliency_cli.autodiff.folding import folded
from saliency_cli.autodiff.runtime import keras, tf

Tensor = Any


@contextlib.contextmanager
def folding(paths: Mapping[str, Any], done: list[str], kind: Any = None) -> Iterator[None]:
    """Fold what can be for the length of the block, and tell in `done` which layers were, by path.

    `kind` is the class of batch normalisation, Keras 3's unless another is given. Subclasses and layers with a
    `call` of the caller's own are left alone.
    """
    kind = kind or keras.layers.BatchNormalization
    layers = {path: layer for path, layer in paths.items() if type(layer) is kind and "call" not in vars(layer)}
    try:
        for path, layer in layers.items():
            layer.__dict__["call"] = _folding(path, layer, layer.call, done)
        yield
    finally:
        for layer in layers.values():
            layer.__dict__.pop("call", None)


def foldable(paths: Mapping[str, Any], kind: Any = None) -> bool:
    """Whether a model has a batch normalisation that might be folded."""
    return any(type(layer) is (kind or keras.layers.BatchNormalization) for layer in paths.values())


def _folding(path: str, layer: Any, call: Any, done: list[str]) -> Any:
    def called(inputs: Tensor, training: Any = None, mask: Tensor | None = None) -> Tensor:
        axis = layer.axis[0] if isinstance(layer.axis, (list, tuple)) else layer.axis
        last = axis in (-1, inputs.shape.rank - 1)
        found = folded(inputs, *_line(layer)) if last and mask is None and not training else None
        if found is None:
            return call(inputs, training=training, mask=mask)
        if path not in done:
            done.append(path)
        return found

    return called


def _line(layer: Any) -> tuple[Any, Any]:
    """Return the factor and the summand of a normalisation in inference, float64, `(channels,)`."""
    with tf.init_scope():
        mean, variance = _read(layer.moving_mean), _read(layer.moving_variance)
        scale = (1.0 if layer.gamma is None else _read(layer.gamma)) / np.sqrt(variance + layer.epsilon)
        return scale, (0.0 if layer.beta is None else _read(layer.beta)) - mean * scale


def _read(variable: Any) -> Any:
    return np.asarray(variable.numpy(), np.float64)
