"""Files of Keras 1 and 2, opened by tf_keras: read for danger first, migrated, built, every weight assigned.

tf_keras keeps what these files meant (`hard_sigmoid` has other numbers in Keras 3). It has no safe mode for
HDF5 of its own, and it resolves names that a file gives: the scan comes first, and the safe mode is put
around it.
"""

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

from saliency_cli.autodiff.model import Model
from saliency_cli.autodiff.runtime import keras
from saliency_cli.autodiff.user_code import run_python
from saliency_cli.errors import ModelError, UsageError
from saliency_cli.models.applications import layers_in
from saliency_cli.models.legacy.config import Legacy, read_legacy
from saliency_cli.models.legacy.live import wrap
from saliency_cli.models.legacy.migration import migrate, notes
from saliency_cli.models.legacy.runtime import import_tf_keras, quiet, settings_kept
from saliency_cli.models.legacy.scan import refuse, scan
from saliency_cli.models.legacy.weights import assign_weights
from saliency_cli.models.options import OpenOptions
from saliency_cli.models.replace import Replacement, replacements_of

_FORMATS = {"legacy-zip": "keras-zip", "legacy-hdf5": "keras-hdf5"}


def load(path: Path, options: OpenOptions) -> Model:
    """Open a model of Keras 1 or 2. Raises `ModelError` for one that is refused, broken or can't be built.

    `options.replace` puts stock layers where Lambdas stand, `options.custom_objects` names a Python file
    with the model's own classes (it is run), `options.trust` lets code in the file run.
    """
    legacy = read_legacy(path)
    if legacy is None:
        raise ModelError(f"'{path}' is not a model of Keras 1 or 2", reason="not-a-model")
    replacements = replacements_of(options.replace, legacy.config)
    import_tf_keras()
    objects = layers_in(legacy.config, "tf_keras") | _objects(options.custom_objects)
    if not options.trust:
        refuse(legacy, scan(legacy.config, objects), replacements)
    with quiet(), settings_kept():
        try:
            live = _built(legacy, replacements, objects, trust=options.trust)
            assign_weights(live, legacy)
        except ModelError as error:
            if replacements and error.reason in ("weights-mismatch", "unloadable"):
                error.hint = f"does {', '.join(options.replace)} give an output of the shape that the Lambda gave?"
            raise
    said = notes(legacy.config)
    if legacy.major == 1 and not legacy.backend and _convolves(live):
        said += ("Keras 1 doesn't say whether Theano wrote the file; its kernels are taken as TensorFlow's",)
    training = legacy.training if isinstance(legacy.training, dict) else {}
    return wrap(
        live,
        loss=_plain(training.get("loss", training.get("loss_config"))),
        notes=said,
        format=_FORMATS[legacy.kind],
        writer=legacy.writer,
        path=path.as_posix(),
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def _objects(file: str | None) -> dict[str, Any]:
    if file is None:
        return {}
    found = run_python(file, "--custom-objects", "--custom-objects FILE.py")
    for name, value in found.items():
        if isinstance(value, type) and issubclass(value, keras.layers.Layer) and value.__module__ == Path(file).stem:
            raise UsageError(
                f"--custom-objects {file}: '{name}' is a layer of Keras 3, and the model is one of Keras 2",
                hint="derive it from tf_keras: import tf_keras as keras",
                reason="custom-class",
            )
    return found


def _built(legacy: Legacy, replacements: dict[str, Replacement], objects: dict[str, Any], *, trust: bool) -> Any:
    """Return the live model of a file's configuration, its variables not yet assigned."""
    tf_keras = import_tf_keras()
    from tf_keras.src.saving import serialization_lib
    from tf_keras.src.saving.legacy.saved_model import json_utils

    scope = serialization_lib.SafeModeScope(safe_mode=not trust)
    try:
        config = migrate(legacy, replacements, objects)
        with scope, tf_keras.saving.custom_object_scope(objects):
            if legacy.kind == "legacy-zip":
                return serialization_lib.deserialize_keras_object(config, safe_mode=not trust)
            return tf_keras.layers.deserialize(json_utils.decode(json.dumps(config)))
    except ModelError:
        raise
    except Exception as error:
        raise _explained(legacy, error) from error


def _explained(legacy: Legacy, error: Exception) -> ModelError:
    first = _cause(error)
    if "Unknown layer" in first or "Unknown activation" in first or "Could not locate" in first:
        return ModelError(
            f"'{legacy.path}' needs a class or function that is not part of Keras: {first}",
            hint="--custom-objects FILE.py that defines it with `import tf_keras as keras` (the file will be run)",
            reason="custom-class",
        )
    return ModelError(
        f"'{legacy.path}' ({legacy.writer}) can't be built by tf_keras: {first}",
        hint="--debug shows where it stopped",
        reason="unloadable",
    )


def _cause(error: Exception) -> str:
    """Return the line of a long message of tf_keras that says what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    for line in lines:
        if line.startswith("Exception encountered: "):
            return line.removeprefix("Exception encountered: ")[:300]
    if lines[0].startswith("Exception encountered when calling") and len(lines) > 1:
        return f"{lines[0]} {lines[1]}"[:400]
    return lines[0][:300]


def _convolves(model: Any) -> bool:
    return any("Conv" in type(layer).__name__ for layer in model._flatten_layers())


def _plain(loss: Any) -> Any:
    """Return a saved loss without what Keras 3 doesn't read: private modules, `reduction: auto`."""
    if isinstance(loss, list):
        return [_plain(item) for item in loss]
    if not isinstance(loss, dict):
        return loss
    if "class_name" not in loss:
        return {name: _plain(item) for name, item in loss.items()}
    if loss["class_name"] == "function":
        return loss.get("config")
    inner = {key: value for key, value in (loss.get("config") or {}).items() if key not in ("reduction", "fn")}
    with contextlib.suppress(TypeError, ValueError):
        keras.losses.get({"class_name": loss["class_name"], "config": inner})
        return {"class_name": loss["class_name"], "config": inner}
    return loss
