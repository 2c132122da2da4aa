"""A saved model, whatever its format, opened: told by its content, handed to the file that knows it."""

import importlib
from pathlib import Path

from saliency_cli.autodiff.model import Model
from saliency_cli.models.options import OpenOptions
from saliency_cli.models.recognition import recognise

# Format → the module whose `load(path, options)` opens it.
LOADERS = {
    "keras-zip": "keras_file",
    "keras-hdf5": "keras_file",
    "saved-model": "saved_model",
    "tfjs-graph": "tfjs_graph",
    "frozen-graph": "frozen_graph",
    "legacy-zip": "legacy_keras",
    "legacy-hdf5": "legacy_keras",
}


def open_model(path: Path, options: OpenOptions) -> Model:
    """Open a saved model. Raises `ModelError` for a file that isn't one, is broken, or was refused."""
    found = recognise(path)
    loader = importlib.import_module(f"saliency_cli.models.{LOADERS[found.format]}")
    model: Model = loader.load(path, options)
    return model
