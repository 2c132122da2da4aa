"""`.keras` and HDF5 files written by Keras 3, loaded by Keras itself, its safe mode on unless trusted."""

import contextlib
import hashlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from saliency_cli.autodiff.model import Model
from saliency_cli.autodiff.runtime import keras
from saliency_cli.autodiff.user_code import run_python
from saliency_cli.errors import ModelError
from saliency_cli.models.keras3.live import losses_by_output, wrap
from saliency_cli.models.options import NONE, OpenOptions
from saliency_cli.models.recognition import Recognised, recognise

_SUFFIX = {"keras-zip": ".keras", "keras-hdf5": ".h5"}


def load(path: Path, options: OpenOptions = NONE) -> Model:
    """Load a saved model. Raises `ModelError` for a file that isn't one, is broken, or was refused.

    `options.custom_objects` names a Python file whose classes and functions the model may refer to; it is
    run.
    """
    found = recognise(path)
    with _suffixed(path, found) as readable:
        live = _load(readable, path, _objects(options.custom_objects), safe=not options.trust)
    config = found.compile_config or {}
    model = wrap(
        live,
        losses={},
        format=found.format,
        writer=found.writer,
        path=path.as_posix(),
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )
    loss = config.get("loss", config.get("loss_config"))
    return _with_losses(model, losses_by_output(loss, model.outputs))


def _with_losses(model: Model, losses: dict[str, Any]) -> Model:
    import dataclasses

    return dataclasses.replace(model, losses=losses)


def _load(readable: Path, path: Path, objects: dict[str, Any], *, safe: bool) -> Any:
    try:
        with keras.saving.custom_object_scope(objects):
            return keras.saving.load_model(readable, compile=False, safe_mode=safe)
    except Exception as error:
        raise _explained(path, error) from error


def _explained(path: Path, error: Exception) -> ModelError:
    first = str(error).strip().partition("\n")[0][:300] or type(error).__name__
    text = str(error)
    if "ambda" in text and "safe" in text:
        return ModelError(
            f"'{path}' holds a Lambda layer, which is code inside the file; it was not run",
            hint="replace the Lambda with a stock layer (Rescaling, Reshape, …) or a registered one, and save again",
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


@contextlib.contextmanager
def _suffixed(path: Path, found: Recognised) -> Iterator[Path]:
    """Give Keras a name with the suffix it insists on, whatever the file is called."""
    suffix = _SUFFIX[found.format]
    if path.suffix == suffix:
        yield path
        return
    with tempfile.TemporaryDirectory() as directory:
        link = Path(directory, path.stem + suffix)
        link.symlink_to(path.resolve())
        yield link


def _objects(file: str | None) -> dict[str, Any]:
    if file is None:
        return {}
    return run_python(file, "--custom-objects", "--custom-objects FILE.py")
