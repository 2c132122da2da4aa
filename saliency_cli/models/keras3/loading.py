"""`.keras` and HDF5 files written by Keras 3, loaded by Keras itself, its safe mode on unless trusted."""

import dataclasses
import hashlib
import re
from pathlib import Path
from typing import Any

from saliency_cli.autodiff.model import Model
from saliency_cli.autodiff.runtime import keras
from saliency_cli.autodiff.user_code import run_python
from saliency_cli.errors import ModelError
from saliency_cli.models.applications import layers_in
from saliency_cli.models.keras3.file import read_config, readable
from saliency_cli.models.keras3.live import losses_by_output, wrap
from saliency_cli.models.options import NONE, OpenOptions
from saliency_cli.models.recognition import recognise
from saliency_cli.models.replace import replacements_of, with_replacements


def load(path: Path, options: OpenOptions = NONE) -> Model:
    """Load a saved model. Raises `ModelError` for a file that isn't one, is broken, or was refused.

    `options.custom_objects` names a Python file whose classes and functions the model may refer to; it is
    run. `options.replace` puts stock layers where Lambdas stand.
    """
    found = recognise(path)
    config = read_config(path, found.format)
    replacements = replacements_of(options.replace, config)
    objects = layers_in(config, "keras") | _objects(options.custom_objects)
    with readable(path, found.format, with_replacements(config, replacements) if replacements else None) as file:
        try:
            live = _load(file, path, objects, safe=not options.trust)
        except ModelError as error:
            if replacements and error.reason == "unloadable":
                error.hint = f"does {', '.join(options.replace)} give an output of the shape that the Lambda gave?"
            raise
    training = found.compile_config or {}
    model = wrap(
        live,
        fixed=True,
        losses={},
        format=found.format,
        writer=found.writer,
        path=path.as_posix(),
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )
    loss = training.get("loss", training.get("loss_config"))
    return _with_losses(model, losses_by_output(loss, model.outputs))


def _with_losses(model: Model, losses: dict[str, Any]) -> Model:
    return dataclasses.replace(model, losses=losses)


def _load(file: Path, path: Path, objects: dict[str, Any], *, safe: bool) -> Any:
    try:
        with keras.saving.custom_object_scope(objects):
            return keras.saving.load_model(file, compile=False, safe_mode=safe)
    except Exception as error:
        raise _explained(path, error) from error


def _explained(path: Path, error: Exception) -> ModelError:
    first = str(error).strip().partition("\n")[0][:300] or type(error).__name__
    text = str(error)
    if "ambda" in text and "safe" in text:
        return ModelError(
            f"'{path}' holds a Lambda layer, which is code inside the file; it was not run",
            hint="put a stock layer in its place: --replace NAME=LAYER:KEY=VALUE",
            reason="refused-lambda",
        )
    missing = re.search(r"Could not locate (class|function) '([^']+)'|Unknown (layer): '?([\w>]+)", text)
    if missing:
        kind, name = [part for part in missing.groups() if part]
        return ModelError(
            f"'{path}' needs a {kind} that is not part of Keras: {name}",
            hint=f"--custom-objects FILE.py with {name.rpartition('>')[2]} in it (the file will be run)",
            reason="custom-class",
        )
    return ModelError(
        f"Keras can't load '{path}': {first}", hint="--debug shows where it stopped", reason="unloadable"
    )


def _objects(file: str | None) -> dict[str, Any]:
    if file is None:
        return {}
    return run_python(file, "--custom-objects", "--custom-objects FILE.py")
