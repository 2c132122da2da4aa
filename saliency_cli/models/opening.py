"""A saved model, whatever its format, opened: told by its content, handed to the file that knows it."""

import importlib
from collections.abc import Callable
from pathlib import Path

from saliency_cli.autodiff.model import Model
from saliency_cli.models.options import OpenOptions, require_meant
from saliency_cli.models.recognition import recognise
from saliency_cli.models.screening.parent import require_same, start

# Format → the module whose `load(path, options)` opens it.
LOADERS = {
    "keras-zip": "keras3.loading",
    "keras-hdf5": "keras3.loading",
    "saved-model": "graphs.saved_model",
    "tfjs-graph": "graphs.tfjs_graph",
    "tfjs-layers": "tfjs.loading",
    "frozen-graph": "graphs.frozen_graph",
    "legacy-zip": "legacy.loading",
    "legacy-hdf5": "legacy.loading",
}

# Formats whose model is the one file, so that the hash of what was read and of what was loaded are the same.
_ONE_FILE = ("keras-zip", "keras-hdf5", "legacy-zip", "legacy-hdf5", "frozen-graph")


def open_model(path: Path, options: OpenOptions, prepare: Callable[[], object] = lambda: None) -> Model:
    """Open a saved model: read for danger in a child process first, then loaded with Keras's settings watched.

    `prepare` runs while the child reads: TensorFlow's import, which takes longer, belongs there.

    Raises:
        ModelError: the file isn't a model, is broken, or was refused.
        UsageError: the file of `options.custom_objects` can't be run.
    """
    custom = options.custom_objects is not None
    with start(path, trust=options.trust, custom=custom, replaced=options.replaced) as reading:
        prepare()
        screened = reading.result()
    found = recognise(path)
    require_meant(options, path, found.format)
    if found.format.startswith("legacy"):
        # Before the guard, so that its settings are watched too.
        importlib.import_module("saliency_cli.models.legacy.runtime").import_tf_keras()
    loader = importlib.import_module(f"saliency_cli.models.{LOADERS[found.format]}")
    guarded = importlib.import_module("saliency_cli.models.settings_guard").guarded
    with guarded(path, screened.numbers):
        model: Model = loader.load(path, options)
    if found.format in _ONE_FILE:
        require_same(screened, model.sha256, path)
    return model
