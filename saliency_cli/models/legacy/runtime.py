"""tf_keras, imported on first need and kept quiet, with its global settings watched."""

import contextlib
import logging
import warnings
from collections.abc import Iterator
from typing import Any

from saliency_cli.autodiff.runtime import keras, tf
from saliency_cli.errors import ModelError


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep tf_keras's remarks on old interfaces and slow kernels off the terminal."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def import_tf_keras() -> Any:
    """Return tf_keras. Raises `ModelError` where it isn't installed."""
    with quiet():
        try:
            import tf_keras
        except ImportError as error:
            raise ModelError(
                f"models of Keras 1 and 2 are opened by tf_keras, which can't be imported: {error}",
                hint="pip install --no-deps tf-keras",
                reason="no-tf-keras",
            ) from error
    return tf_keras


@contextlib.contextmanager
def settings_kept() -> Iterator[None]:
    """Check that a block leaves Keras's global settings alone; put them back and refuse the model if not."""
    before = _settings()
    try:
        yield
    finally:
        after = _settings()
        if after != before:
            _restore(before)
    if after != before:
        changed = ", ".join(name for name, value in after.items() if value != before[name])
        raise ModelError(
            f"loading the model changed settings of Keras for the whole process ({changed}); it was refused",
            reason="refused-code",
        )


def _settings() -> dict[str, str]:
    old = import_tf_keras()
    found = {}
    for name, library in (("tf_keras", old), ("keras", keras)):
        found[f"{name} floatx"] = library.backend.floatx()
        found[f"{name} image_data_format"] = library.backend.image_data_format()
        found[f"{name} epsilon"] = library.backend.epsilon()
        found[f"{name} policy"] = (
            library.mixed_precision.global_policy().name
            if name == "tf_keras"
            else (library.mixed_precision.dtype_policy().name)
        )
    return found


def _restore(settings: dict[str, Any]) -> None:
    for name, library in (("tf_keras", import_tf_keras()), ("keras", keras)):
        library.backend.set_floatx(settings[f"{name} floatx"])
        library.backend.set_image_data_format(settings[f"{name} image_data_format"])
        library.backend.set_epsilon(settings[f"{name} epsilon"])
        set_policy = library.mixed_precision.set_global_policy
        set_policy(settings[f"{name} policy"])
