"""A model changed in known ways: some should pass a check, some must not."""

from collections.abc import Callable, Iterator

import keras
import numpy as np
from training import Architecture, Task, fit, trained

# Variant → the profile a user would check it by. `None`: broken, every profile that compares should stop it.
PROFILES: dict[str, str | None] = {
    "same": "reexport",
    "fp16": "reexport",
    "int8": "finetune",
    "noise-1%": "finetune",
    "fine-tune-2e-4": "finetune",
    "fine-tune-2e-3": "finetune",
    "retrain": "retrain",
    "shortcut": None,
    "top-randomised": None,
    "untrained": None,
}


def variants(
    model: keras.Model, architecture: Architecture, task: Task, seed: int
) -> Iterator[tuple[str, keras.Model]]:
    """Yield every variant of a trained model by name."""
    rng = np.random.default_rng(seed)
    yield "same", model
    yield "fp16", _changed(model, lambda w: w.astype(np.float16).astype(w.dtype))
    yield "int8", _changed(model, _int8)
    yield "noise-1%", _changed(model, lambda w: w + 0.01 * w.std() * rng.standard_normal(w.shape).astype(w.dtype))
    for name, rate in (("fine-tune-2e-4", 2e-4), ("fine-tune-2e-3", 2e-3)):
        tuned = _changed(model, lambda w: w)
        keras.utils.set_random_seed(1000 + seed)
        fit(tuned, task, 1, rate)
        yield name, tuned
    yield "retrain", trained(architecture, task, 500 + seed)
    yield "shortcut", trained(architecture, task, seed, marked=True)
    yield "top-randomised", _top_randomised(model, rng)
    keras.utils.set_random_seed(2000 + seed)
    yield "untrained", architecture.build()


def _changed(model: keras.Model, change: Callable[[np.ndarray], np.ndarray]) -> keras.Model:
    other = keras.models.clone_model(model)
    other.set_weights([change(w) if w.ndim > 1 else w for w in model.get_weights()])
    return other


def _int8(w: np.ndarray) -> np.ndarray:
    """Round to 8 bits, one scale a tensor."""
    step = np.abs(w).max() / 127
    return (np.rint(w / step) * step).astype(w.dtype)


def _top_randomised(model: keras.Model, rng: np.random.Generator) -> keras.Model:
    other = keras.models.clone_model(model)
    weights = model.get_weights()
    weights[-2] = (weights[-2].std() * rng.standard_normal(weights[-2].shape)).astype(np.float32)
    other.set_weights(weights)
    return other
