"""A saved model, whatever its format, opened: told by its content, handed to the file that knows it."""

import importlib
from collections.abc import Callable
from pathlib import Path

from saliency_cli.autodiff.model import Model
from saliency_cli.models.options import OpenOptions
from saliency_cli.models.recognition import recognise
from saliency_cli.models.screening import require_same, start

# Format → the module whose `load(path, options)` opens it.
LOADERS = {
    "keras-zip": "keras_file",
    "keras-hdf5": "keras_file",
    "saved-model": "saved_model",
    "tfjs-graph": "tfjs_graph",
    "tfjs-layers": "tfjs_layers",
    "frozen-graph": "frozen_graph",
    "legacy-zip": "legacy_keras",
    "legacy-hdf5": "legacy_keras",
}


def open_model(path: Path, options: OpenOptions, prepare: Callable[[], object] = lambda: None) -> Model:
    """Open a saved model: read for danger in a child process first, then loaded with Keras's settings watched.

    `prepare` runs while the child reads: TensorFlow's import, which takes longer, belongs there.

    Raises:
        ModelError: the file isn't a model, is broken, or was refused.
        UsageError: the file of `options.custom_objects` can't be run.
    """
    replaced = tuple(text.partition("=")[0] for text in options.replace)
    custom = options.custom_objects is not None
    with start(path, trust=options.trust, custom=custom, replaced=replaced) as reading:
        prepare()
        screened = reading.result()
    found = recognise(path)
    if found.format.startswith("legacy"):
        # Before the guard, so that its settings are watched too.
        importlib.import_module("saliency_cli.models.legacy_runtime").import_tf_keras()
    loader = importlib.import_module(f"saliency_cli.models.{LOADERS[found.format]}")
    guarded = importlib.import_module("saliency_cli.models.settings_guard").guarded
    with guarded(path, screened.numbers):
        model: Model = loader.load(path, options)
    if path.is_file():
        require_same(screened, model.sha256, path)
    return model
