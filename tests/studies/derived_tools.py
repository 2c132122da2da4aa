"""Ways to ask a live Keras model for its derivatives, and the same model in float64."""

import json
from pathlib import Path

import numpy as np

from saliency_cli.autodiff.runtime import keras
from saliency_cli.models.keras3.live import wrap
from saliency_cli.runs.engine import compile_engine
from saliency_cli.runs.inquiring import inquire
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.studies.hessian import Hessian
from saliency_cli.studies.jacobian import Jacobians

SAMPLES = Path(__file__).resolve().parents[2] / "sample_models"
CPU = "/CPU:0"


def opened(model):
    return model if hasattr(model, "forward") else wrap(model)


def jacobian(model, x, *, outputs=(), space=None, class_names=(), batch_size=None, **options):
    request = ComputeRequest("", target="all", outputs=tuple(outputs), space=space, batch_size=batch_size)
    engine = compile_engine(opened(model), CPU, request, single=False)
    return inquire(engine, x, request, Jacobians(**options), class_names=tuple(class_names))


def hessian(model, x, *, target="top", batch_size=1, loss=None, label=None, seed=0, space=None, **options):
    request = ComputeRequest("", target=target, batch_size=batch_size, loss=loss, label=label, seed=seed, space=space)
    engine = compile_engine(opened(model), CPU, request, single=True)
    return inquire(engine, x, request, Hessian(**options))


def in_float64(name):
    """A sample model rebuilt in float64, with the same weights."""
    model = keras.saving.load_model(SAMPLES / f"{name}.keras", compile=False)
    config = json.loads(model.to_json().replace("float32", "float64"))
    rebuilt = keras.models.model_from_json(json.dumps(config))
    rebuilt.set_weights(model.get_weights())
    return rebuilt


def numbers_for(model, seed=0):
    """Random inputs of a wrapped model by name, of its own types."""
    rng = np.random.default_rng(seed)
    return {spec.name: rng.normal(size=spec.shape).astype(spec.dtype) for spec in model.inputs}
